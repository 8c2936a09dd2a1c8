"""Retrieval by meaning: sentence vectors and inner products."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrievers.base import Progress, check_query
from retrievers.encoder import DEFAULT, Encoder
from retrievers.errors import IndexFormatError
from retrievers.passage import Hit, Passage
from retrievers.passage_store import PassageStore
from retrievers.storage import check_count, new_index, open_index

_VECTORS_FILE = "vectors.faiss"
_SLAB = 2048  # passages encoded between two reports of progress
_HNSW_LINKS, _HNSW_BUILD_BREADTH, _HNSW_SEARCH_BREADTH = 32, 200, 64


class DenseRetriever:
    """Ranks passages by the cosine of their vector with the query's, over title and text.

    Each passage costs 4 bytes of memory per dimension (1.5 kB with the default encoder), with ``"hnsw"``
    about 300 bytes more. Queries are encoded one at a time, also by :meth:`search_many`, because the last
    digits of a vector depend on what else is in its batch.

    Args:
        passages: What to index at once; :meth:`add` adds more.
        encoder: ``"default"``, a model folder or a hub name (see :class:`retrievers.encoder.Encoder`), or an
            :class:`~retrievers.encoder.Encoder` already loaded.
        index: ``"flat"`` compares with every passage; ``"hnsw"`` searches a graph (Malkov and Yashunin 2016),
            much faster from some 100,000 passages on, and may miss some.
        batch_size: Passages per step of the encoder.
        device: Where the encoder runs; None chooses as sentence-transformers does.

    Raises:
        ValueError: A setting is out of range, or two passages have one id.
        ImportError: faiss or the encoder's packages are missing.
    """

    kind = "dense"

    def __init__(
        self,
        passages: Iterable[Passage] = (),
        *,
        encoder: str | Encoder = DEFAULT,
        index: str = "flat",
        batch_size: int = 64,
        device: str | None = None,
    ) -> None:
        """See the class."""
        if index not in {"flat", "hnsw"}:
            raise ValueError(f"index must be 'flat' or 'hnsw', got {index!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if isinstance(encoder, Encoder) and device is not None:
            raise ValueError(f"the encoder is loaded already; make it with device={device!r} instead")
        faiss = _import_faiss()
        self._encoder = encoder if isinstance(encoder, Encoder) else Encoder(encoder, device)
        self._index_type, self._batch_size = index, batch_size
        self._store = PassageStore()
        self._index: Any = (
            faiss.IndexFlatIP(self._encoder.dimension)
            if index == "flat"
            else faiss.IndexHNSWFlat(self._encoder.dimension, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        )
        self._index_is_mapped = False
        self.add(passages)

    @property
    def passages(self) -> Sequence[Passage]:
        """All passages, in the order in which they were added."""
        return self._store

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """The ``k`` passages of the highest cosine, -1 to 1, best first.

        Raises:
            ValueError: The query is blank or ``k`` is below 1.
        """
        check_query(query, k)
        k = min(k, len(self))
        if not k:
            return []
        vector = self._encoder.encode_query(query)
        if self._index_type == "hnsw":
            breadth = max(_HNSW_SEARCH_BREADTH, 2 * k)
            parameters = _import_faiss().SearchParametersHNSW(efSearch=breadth)
            scores, positions = self._index.search(vector, k, params=parameters)
        else:
            scores, positions = self._index.search(vector, k)
        found = positions[0] >= 0  # the graph search marks what it did not fill with -1
        scores, positions = scores[0][found], positions[0][found]
        order = np.lexsort((positions, -scores))
        return [Hit(self._store[int(positions[i])], float(scores[i])) for i in order]

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """:meth:`search` for each query."""
        return [self.search(query, k) for query in queries]

    def add(self, passages: Iterable[Passage], *, progress: Progress | None = None) -> None:
        """Encode and add passages; earlier ones are not touched.

        Raises:
            ValueError: An id is there already or occurs twice; nothing is added then.
        """
        new = self._store.check_new(passages)
        if not new:
            return
        faiss = _import_faiss()
        if self._index_is_mapped:  # faiss ends the process when a mapped index is added to
            self._index = faiss.deserialize_index(faiss.serialize_index(self._index))
            self._index_is_mapped = False
        if self._index_type == "hnsw":
            self._index.hnsw.efConstruction = _HNSW_BUILD_BREADTH  # faiss does not save it
        slabs = [new[start : start + _SLAB] for start in range(0, len(new), _SLAB)]
        texts = ([passage.full_text for passage in slab] for slab in slabs)
        done = 0
        for slab, vectors in zip(slabs, self._encoder.encode_slabs(texts, self._batch_size), strict=True):
            self._index.add(vectors)
            self._store.extend(slab)
            done += len(slab)
            if progress:
                progress(done)

    def save(self, folder: str | Path) -> None:
        """Write an index folder; see :func:`retrievers.storage.new_index` for what it may replace."""
        settings = {
            "encoder": self._encoder.name,
            "encoder_fingerprint": self._encoder.fingerprint,
            "dimension": self._encoder.dimension,
            "index": self._index_type,
            "batch_size": self._batch_size,
        }
        with new_index(folder, self.kind, settings, len(self)) as building:
            self._store.write(building)
            _import_faiss().write_index(self._index, str(building / _VECTORS_FILE))

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        verify: bool = True,
        encoder: str | Encoder | None = None,
        device: str | None = None,
    ) -> DenseRetriever:
        """Open an index folder, its vectors mapped from disk.

        Args:
            folder: Where :meth:`save` wrote.
            verify: Hold all checksums against the manifest.
            encoder: Where the encoder is now, if not where it was when the index was made.
            device: As in the constructor.

        Raises:
            FileNotFoundError: There is no such folder.
            IndexFormatError: The index cannot be used, or the encoder is not the one that made it.
        """
        manifest = open_index(folder, cls.kind, verify=verify)
        settings = manifest.settings
        try:
            retriever = cls(
                encoder=encoder or settings["encoder"],
                index=settings["index"],
                batch_size=settings["batch_size"],
                device=device,
            )
            made_by = settings["encoder_fingerprint"]
        except (KeyError, ValueError) as error:
            raise IndexFormatError(f"{folder}: the settings in the manifest cannot be used: {error}") from error
        found = retriever._encoder
        if found.fingerprint != made_by:
            raise IndexFormatError(
                f"{folder} was made by another encoder: by {settings['encoder']!r} with the fingerprint "
                f"{made_by[:12]}, and {found.name!r} has {found.fingerprint[:12]}; "
                "give the encoder that made it, or run `ragshap index` again"
            )
        faiss = _import_faiss()
        try:
            retriever._index = faiss.read_index(str(Path(folder) / _VECTORS_FILE), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise IndexFormatError(f"{folder}: faiss cannot read {_VECTORS_FILE}: {error}") from error
        retriever._index_is_mapped = True
        retriever._store = PassageStore.open(Path(folder), manifest.passages)
        check_count(folder, "the vectors", retriever._index.ntotal, manifest.passages)
        return retriever

    def __len__(self) -> int:
        """Number of passages."""
        return len(self._store)


def _import_faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError("dense retrieval needs the package faiss: pip install faiss-cpu") from error
    return faiss
