"""Retrieval by meaning: sentence vectors and inner products."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrievers.base import LocalRetriever, Progress, check_queries
from retrievers.corpora.chunking import sentence_spans
from retrievers.dense.encoder import DEFAULT, Encoder
from retrievers.dense.owners import VectorOwners
from retrievers.dense.recall import Recall, broaden, measure_recall
from retrievers.dense.vector_index import INDEXES, VectorIndex
from retrievers.dense.vectors import import_faiss
from retrievers.errors import IndexFormatError
from retrievers.passage import Hit, Passage
from retrievers.storage.index_folder import check_count, new_index, open_index
from retrievers.storage.passage_store import PassageStore

_QUERIES, _HITS = 1024, 2**20  # encoded and searched for at once, and found at once
_SLAB = 2048  # passages encoded between two reports of progress
_RECALL_QUERIES = 256
_REPORTED_AGAIN = 2  # recall is measured again when there are so many times as many vectors
_VECTORS_OF = "blocks"  # earlier indexes had one vector of each passage's beginning


class DenseRetriever(LocalRetriever):
    """Ranks passages by the cosine of their vector with the query's, over title and text.

    A passage that is longer than what the encoder reads at once has several vectors, one of each block of its text
    under its title, and the best of them counts.

    :meth:`search_many` encodes and compares up to 1,024 queries at once. Its scores agree with those of :meth:`search`
    to 1e-5 but not to the bit, because sums of products are rounded differently in batches of another shape. Passages
    whose scores are that close may change places, and an approximate index may, rarely, find another of them. For a
    list of one query the results are those of :meth:`search` to the bit.

    Passages are encoded 2,048 at a time. Memory holds one such slab, the encoder, and the vectors that were added and
    are not saved yet: 4 bytes per dimension with ``"flat"`` (1.5 kB with the default encoder), 2 with ``"ivfpq"``, and
    inside of :meth:`saving` those of at most 65,536 passages. ``"ivfpq"`` adds about 56 bytes for each passage, and a
    sample of at most 160·√n vectors in float32 while lists are learnt. With ``"hnsw"`` all vectors are in memory until
    they are saved: 2 bytes per dimension and about 280 more.

    A recall below 1 is no promise: an approximate index is measured after each addition that at least doubles it. The
    queries are sentences of 256 of its passages, one drawn from each; on half of them the breadth of the search is
    chosen, on the others :attr:`recall` is measured.

    Args:
        passages: What to index at once; :meth:`add` adds more.
        encoder: ``"default"``, ``"base"``, a model folder or a hub name (see
            :class:`retrievers.dense.encoder.Encoder`), or an :class:`~retrievers.dense.encoder.Encoder` already loaded.
        index: ``"flat"`` compares with every passage. ``"hnsw"``, a graph, and ``"ivfpq"``, lists of compressed
            vectors, are much faster from some 100,000 passages on, and may miss some; see
            :mod:`retrievers.dense.vector_index`.
        target_recall: Share of the ten passages that are truly nearest which an approximate index should find, at
            most 1; what it takes is searched for.
        batch_size: Passages per step of the encoder.
        device: Where the encoder runs; None chooses as sentence-transformers does.

    Attributes:
        recall: As it was last measured; None for ``"flat"``, and before there are two passages.

    Raises:
        ValueError: A setting is out of range, or two passages have one id.
        ImportError: faiss or the encoder's packages are missing.
    """

    kind = "dense"

    def __init__(
        self,
        passages: Iterable[Passage | str] = (),
        *,
        encoder: str | Encoder = DEFAULT,
        index: str = "flat",
        target_recall: float = 0.95,
        batch_size: int = 64,
        device: str | None = None,
    ) -> None:
        """See the class."""
        if index not in INDEXES:
            raise ValueError(f"index must be {', '.join(map(repr, INDEXES))}, got {index!r}")
        if not 0 < target_recall <= 1:
            raise ValueError(f"target_recall must be above 0 and at most 1, got {target_recall}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if isinstance(encoder, Encoder) and device is not None:
            raise ValueError(f"the encoder is loaded already; make it with device={device!r} instead")
        import_faiss()  # a missing library is better met now than after encoding
        self._encoder = encoder if isinstance(encoder, Encoder) else Encoder(encoder, device)
        self._target_recall, self._batch_size = target_recall, batch_size
        self._store = PassageStore()
        self._index: VectorIndex = INDEXES[index](self._encoder.dimension)
        self._owners = VectorOwners()
        self._being_saved = False
        self.recall: Recall | None = None
        self.add(passages)

    @property
    def passages(self) -> Sequence[Passage]:
        """All passages, in the order in which they were added."""
        return self._store

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """For each query the ``k`` passages of the highest cosine, -1 to 1, best first.

        Raises:
            ValueError: A query is blank, or ``k`` is not a whole number from 1 on.
        """
        check_queries(queries, k)
        k = min(int(k), len(self))
        if not k:
            return [[] for _ in queries]
        hits: list[list[Hit]] = []
        passage_at = cache(self._store.at)  # most passages are found for several queries
        at_once = max(1, min(_QUERIES, _HITS // k))
        for start in range(0, len(queries), at_once):
            vectors = self._encoder.encode_queries(queries[start : start + at_once])
            find = partial(self._index.search, vectors, alive=self._alive)
            for scores, positions in self._owners.search(find, k, self._n_vectors):
                found = zip(positions, scores, strict=True)
                hits.append([Hit(passage_at(position), score) for position, score in found])
        return hits

    def add(self, passages: Iterable[Passage | str], *, progress: Progress | None = None) -> None:
        """Encode and add passages; earlier ones are not touched.

        Raises:
            ValueError: An id is there already or occurs twice.
        """
        new = self._store.check_new(passages)
        slabs = [new[start : start + _SLAB] for start in range(0, len(new), _SLAB)]
        counts: deque[list[int]] = deque()  # vectors of the passages of each slab, cut before it is encoded

        def texts() -> Iterator[list[str]]:
            for slab in slabs:
                cut = self._encoder.cut(slab)
                counts.append(list(map(len, cut)))
                yield list(chain.from_iterable(cut))

        done = 0
        with self.all_or_nothing():
            for slab, vectors in zip(slabs, self._encoder.encode_slabs(texts(), self._batch_size), strict=True):
                self._index.add(vectors)
                self._owners.append(counts.popleft())
                self._store.extend(slab)
                done += len(slab)
                if progress:
                    progress(done)
            if new and not self._being_saved:
                self._settle()

    def remove(self, ids: Iterable[str]) -> int:
        """Remove passages, and say how many; their ids may be added again.

        Their vectors stay until more than half of all are of removed passages: then :meth:`save` leaves them out.

        Raises:
            ValueError: An id is not there.
        """
        return len(self._store.remove(ids))

    def measure_recall(self, queries: Sequence[str] | None = None, k: int = 10) -> Recall:
        """Share of the ``k`` passages that exact search ranks first which :meth:`search` finds.

        Exact is a comparison with every vector as the index keeps it, in float16 if it is approximate.

        Args:
            queries: Questions to ask; None takes those sentences of the passages which :attr:`recall` is measured on.
            k: Passages asked for.

        Raises:
            ValueError: There are no passages, no queries, or ``k`` is below 1.
        """
        if not len(self):
            raise ValueError("there are no passages to find")
        queries = self._sentences()[1::2] or self._sentences() if queries is None else queries
        if not queries:
            raise ValueError("give at least one query")
        check_queries(queries, k)
        return measure_recall(self._index, self._encoder.encode_queries(queries), k, self._alive)

    @contextmanager
    def saving(self, folder: str | Path) -> Iterator[None]:
        """Write an index folder, and what is added meanwhile as it comes; see the class for what stays in memory."""
        settings = {
            "encoder": self._encoder.name,
            "encoder_fingerprint": self._encoder.fingerprint,
            "dimension": self._encoder.dimension,
            "index": self._index.kind,
            "target_recall": self._target_recall,
            "batch_size": self._batch_size,
            "vectors_of": _VECTORS_OF,
        }
        drop = ~self._store.alive if 2 * len(self) < self._store.n_positions else None
        with self.all_or_nothing():
            self._being_saved = True
            with new_index(folder, self.kind, settings, self.__len__) as building:
                dropped = self._owners.spread(drop)
                with self._index.writing(building, dropped), self._store.writing(building, drop):
                    if drop is not None:
                        self._owners.keep(~drop)
                        self.recall = None  # what it was measured on is another index
                    before = self._store.n_positions
                    yield
                    if self._store.n_positions > before or drop is not None:
                        self._settle()
                self._owners.write(building)
                settings["breadth"] = self._index.breadth
                settings["recall"] = None if self.recall is None else self.recall.to_dict()
            self._being_saved = False

    @property
    def _alive(self) -> NDArray[np.bool_] | None:
        """Which vectors may be found, None for all."""
        return self._owners.spread(self._store.alive) if len(self._store.removed) else None

    @property
    def _n_vectors(self) -> int:
        """How many vectors may be found."""
        alive = self._alive
        return len(self._index) if alive is None else int(alive.sum())

    def _settle(self) -> None:
        """After additions: let the index learn, and measure its recall if much is new."""
        learnt = self._index.settle()
        if self._index.kind == "flat" or len(self) < 2:
            return
        if learnt or self.recall is None or self._n_vectors >= _REPORTED_AGAIN * self.recall.passages:
            vectors = self._encoder.encode_queries(self._sentences())
            self.recall = broaden(self._index, vectors, self._target_recall, alive=self._alive)

    def _sentences(self) -> list[str]:
        """A sentence each of passages drawn at random, the same ones for the same passages."""
        rng = np.random.default_rng(0)
        drawn = rng.choice(len(self), min(_RECALL_QUERIES, len(self)), replace=False)
        sentences = []
        for number in drawn:
            passage = self._store[int(number)]
            text = passage.text
            spans = sentence_spans(text)
            start, end = spans[rng.integers(len(spans))] if spans else (0, 0)
            sentences.append(text[start:end] or passage.full_text)
        return sentences

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
        if settings.get("vectors_of") != _VECTORS_OF:
            raise IndexFormatError(
                f"{folder} was made when an index kept one vector of each passage, which left out the end of long "
                "ones; run `ragshap index` again"
            )
        try:
            retriever = cls(
                encoder=encoder or settings["encoder"],
                index=settings["index"],
                target_recall=settings["target_recall"],
                batch_size=settings["batch_size"],
                device=device,
            )
            made_by, breadth = settings["encoder_fingerprint"], int(settings["breadth"])
            recall = None if settings["recall"] is None else Recall.from_dict(settings["recall"])
        except (KeyError, TypeError, ValueError) as error:
            raise IndexFormatError(f"{folder}: the settings in the manifest cannot be used: {error}") from error
        found = retriever._encoder
        if found.fingerprint != made_by:
            raise IndexFormatError(
                f"{folder} was made by another encoder: by {settings['encoder']!r} with the fingerprint "
                f"{made_by[:12]}, and {found.name!r} has {found.fingerprint[:12]}; "
                "give the encoder that made it, or run `ragshap index` again"
            )
        retriever._index = type(retriever._index).open(Path(folder), found.dimension)
        retriever._index.breadth, retriever.recall = breadth, recall
        retriever._store = PassageStore.open(Path(folder), manifest.passages)
        retriever._owners = VectorOwners.open(Path(folder), retriever._store.n_positions)
        check_count(folder, "the vectors", len(retriever._index), int(retriever._owners.counts.sum()))
        return retriever

    def __len__(self) -> int:
        """Number of passages."""
        return len(self._store)
