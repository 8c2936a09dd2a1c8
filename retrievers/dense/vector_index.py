"""Indexes of vectors: exact, by graph, and by lists of compressed vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from retrievers.dense.vectors import Slabs, VectorRows, exact_search, import_faiss, selecting
from retrievers.errors import IndexFormatError
from retrievers.storage.segments import SourceFolder

Found = tuple[NDArray[np.float32], NDArray[np.int64]]


class VectorIndex(ABC):
    """Finds vectors of a large inner product with a query's.

    Attributes:
        dimension: Length of a vector.
        breadth: How much of the index a search looks at, in a unit of the index; 0 if it looks at everything.
        widest: The largest breadth that makes sense.
    """

    kind: ClassVar[str]

    def __init__(self, dimension: int) -> None:
        """Make an empty index."""
        self.dimension = dimension
        self.breadth = self.widest = 0

    @abstractmethod
    def add(self, vectors: NDArray[np.float32]) -> None:
        """Add vectors, ``(n, dimension)``, behind the others."""

    def settle(self) -> bool:
        """Learn what can be learnt when an addition is complete; whether anything was."""
        return False

    @abstractmethod
    def search(self, query: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None = None) -> Found:
        """Scores and positions of at most ``k`` vectors for a query, ``(dimension,)``, in no certain order.

        ``alive``, ``(n_vectors,)``, says which may be found; None is all of them.
        """

    @abstractmethod
    def slabs(self) -> Slabs:
        """All vectors in order, as exactly as they are kept."""

    @abstractmethod
    def writing(self, folder: Path, drop: NDArray[np.bool_] | None = None) -> Any:
        """A context at whose end the index is written into ``folder``; see :meth:`VectorRows.writing`."""

    @classmethod
    @abstractmethod
    def open(cls, folder: Path, dimension: int) -> VectorIndex:
        """Open what was written, mapped from disk where that is possible.

        Raises:
            IndexFormatError: The files do not fit.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Number of vectors."""


class FlatIndex(VectorIndex):
    """Compares with every vector: exact, in time proportional to their number; 4 bytes for each dimension."""

    kind = "flat"

    def __init__(self, dimension: int) -> None:
        """See :class:`VectorIndex`."""
        super().__init__(dimension)
        self._rows = VectorRows(dimension)

    def add(self, vectors: NDArray[np.float32]) -> None:
        """See :class:`VectorIndex`."""
        self._rows.append(vectors)

    def search(self, query: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None = None) -> Found:
        """See :class:`VectorIndex`; best first."""
        return _filled(*exact_search(query[None], self._rows.slabs(), k, alive))

    def slabs(self) -> Slabs:
        """See :class:`VectorIndex`."""
        return self._rows.slabs()

    @contextmanager
    def writing(self, folder: Path, drop: NDArray[np.bool_] | None = None) -> Iterator[None]:
        """See :class:`VectorIndex`."""
        with self._rows.writing(folder, drop):
            yield

    @classmethod
    def open(cls, folder: Path, dimension: int) -> FlatIndex:
        """See :class:`VectorIndex`."""
        index = cls(dimension)
        index._rows = VectorRows.open(folder, dimension)
        return index

    def __len__(self) -> int:
        """Number of vectors."""
        return len(self._rows)


class HNSWIndex(VectorIndex):
    """Walks a graph of neighbours (Malkov and Yashunin 2016); its breadth is the length of the list of candidates.

    Vectors are kept in float16 inside of the graph: 2 bytes for each dimension and about 280 for the links. A saved
    graph is mapped from disk until something is added to it, then it is in memory; it is written whole.
    """

    kind = "hnsw"
    _FILE = "graph.faiss"
    _LINKS, _BUILD_BREADTH = 32, 100
    _SLAB = 2**14

    def __init__(self, dimension: int) -> None:
        """See :class:`VectorIndex`."""
        super().__init__(dimension)
        self.breadth, self.widest = 64, 1024
        self._graph = self._new_graph()
        self._file: SourceFolder | None = None  # where the graph lies as it is

    def _new_graph(self) -> Any:
        faiss = import_faiss()
        half = faiss.ScalarQuantizer.QT_fp16
        graph = faiss.IndexHNSWSQ(self.dimension, half, self._LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.is_trained = True  # for float16 there is nothing to learn
        return graph

    def add(self, vectors: NDArray[np.float32]) -> None:
        """See :class:`VectorIndex`."""
        faiss = import_faiss()
        if self._file is not None:  # faiss ends the process when a mapped index is added to
            self._graph, self._file = faiss.deserialize_index(faiss.serialize_index(self._graph)), None
        self._graph.hnsw.efConstruction = self._BUILD_BREADTH  # faiss does not save it
        self._graph.add(vectors)

    def search(self, query: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None = None) -> Found:
        """See :class:`VectorIndex`."""
        faiss = import_faiss()
        selector = None if alive is None else selecting(alive)
        parameters = faiss.SearchParametersHNSW(efSearch=max(self.breadth, 2 * k), sel=selector)
        return _filled(*self._graph.search(query[None], k, params=parameters))

    def slabs(self) -> Slabs:
        """See :class:`VectorIndex`."""
        for start in range(0, len(self), self._SLAB):
            yield start, self._graph.reconstruct_n(start, min(self._SLAB, len(self) - start))

    @contextmanager
    def writing(self, folder: Path, drop: NDArray[np.bool_] | None = None) -> Iterator[None]:
        """See :class:`VectorIndex`; to leave vectors out, the graph of the others is built anew."""
        faiss = import_faiss()
        if drop is not None and drop.any():
            living = HNSWIndex(self.dimension)
            for start, slab in self.slabs():
                living.add(slab[~drop[start : start + len(slab)]])
            self._graph, self._file = living._graph, None
        yield
        path = folder / self._FILE
        if self._file is None or not self._file.link(self._FILE, path):
            faiss.write_index(self._graph, str(path))
        self._map(folder)

    def _map(self, folder: Path) -> None:
        self._graph = _read(folder / self._FILE, self.dimension, mapped=True)
        self._file = SourceFolder(folder)

    @classmethod
    def open(cls, folder: Path, dimension: int) -> HNSWIndex:
        """See :class:`VectorIndex`."""
        index = cls(dimension)
        index._map(folder)
        return index

    def __len__(self) -> int:
        """Number of vectors."""
        return int(self._graph.ntotal)


class IVFPQIndex(VectorIndex):
    """Looks into the lists nearest to the query, compares codes there, and the best candidates' vectors exactly.

    Product quantisation in an inverted file (Jégou, Douze and Schmid 2011). The breadth is the number of lists. In
    memory are codes of about a byte for each 8 dimensions and 8 bytes more for each vector; the vectors themselves
    are kept in float16, mapped from disk once they are saved.

    Up to 10,000 vectors every one is compared. Then 4·√n lists are learnt from a sample of 40 vectors for each, with a
    fixed seed. What is added later goes into the lists that are there; when there are four times as many vectors as at
    the time of learning, lists and codes are learnt again (from the vectors that are kept).
    """

    kind = "ivfpq"
    _FILE = "lists.faiss"
    _LEAST, _GROWTH = 10_000, 4
    _SAMPLE = 40  # vectors for each list to learn from
    _CANDIDATES = 20  # compared exactly, for each passage that is asked for, and for at least 10 of them

    def __init__(self, dimension: int) -> None:
        """See :class:`VectorIndex`."""
        super().__init__(dimension)
        self._rows = VectorRows(dimension, np.float16)
        self._lists: Any = None
        self._file: SourceFolder | None = None  # where the lists lie as they are

    def add(self, vectors: NDArray[np.float32]) -> None:
        """See :class:`VectorIndex`."""
        self._rows.append(vectors)
        if self._lists is not None:
            self._lists.add(vectors)
            self._file = None

    def settle(self) -> bool:
        """Learn lists and codes if it is time to."""
        learnt_from = 0 if self._lists is None else (self._lists.nlist / 4) ** 2
        if len(self) < max(self._LEAST, self._GROWTH * learnt_from):
            return False
        self._learn()
        return True

    def _learn(self) -> None:
        faiss = import_faiss()
        n_lists = int(4 * len(self) ** 0.5)
        n_codes = max(n for n in range(1, max(self.dimension // 8, 1) + 1) if self.dimension % n == 0)
        centres = faiss.IndexFlatIP(self.dimension)
        lists = faiss.IndexIVFPQ(centres, self.dimension, n_lists, n_codes, 8, faiss.METRIC_INNER_PRODUCT)
        lists.cp.seed = lists.pq.cp.seed = 0
        lists.cp.niter, lists.cp.min_points_per_centroid = 10, 1
        n_sample = min(len(self), self._SAMPLE * n_lists)
        sample = np.random.default_rng(0).choice(len(self), n_sample, replace=False)
        lists.train(self._rows.take(np.sort(sample)))
        for _, slab in self.slabs():
            lists.add(slab)
        self._lists, self._file = lists, None
        self.breadth, self.widest = min(8, n_lists), n_lists

    def search(self, query: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None = None) -> Found:
        """See :class:`VectorIndex`."""
        if self._lists is None:
            return _filled(*exact_search(query[None], self.slabs(), k, alive))
        faiss = import_faiss()
        n_candidates = min(self._CANDIDATES * max(k, 10), len(self))
        selector = None if alive is None else selecting(alive)
        parameters = faiss.SearchParametersIVF(nprobe=self.breadth, sel=selector)
        _, positions = _filled(*self._lists.search(query[None], n_candidates, params=parameters))
        positions = np.sort(positions)
        scores = self._rows.take(positions) @ query
        best = np.argsort(-scores, kind="stable")[:k]
        return scores[best], positions[best]

    def slabs(self) -> Slabs:
        """See :class:`VectorIndex`."""
        return self._rows.slabs()

    @contextmanager
    def writing(self, folder: Path, drop: NDArray[np.bool_] | None = None) -> Iterator[None]:
        """See :class:`VectorIndex`; when vectors are left out, lists are learnt again from the others."""
        faiss = import_faiss()
        with self._rows.writing(folder, drop):
            if drop is not None and drop.any():
                self._lists, self.breadth, self.widest = None, 0, 0
                self.settle()
            yield
        path = folder / self._FILE
        if self._lists is not None and (self._file is None or not self._file.link(self._FILE, path)):
            faiss.write_index(self._lists, str(path))
        self._file = SourceFolder(folder)

    @classmethod
    def open(cls, folder: Path, dimension: int) -> IVFPQIndex:
        """See :class:`VectorIndex`."""
        index = cls(dimension)
        index._rows = VectorRows.open(folder, dimension, np.float16)
        if (path := folder / cls._FILE).exists():
            index._lists = _read(path, dimension, mapped=False)
            index._file = SourceFolder(folder)
            index.breadth, index.widest = min(8, index._lists.nlist), index._lists.nlist
            if index._lists.ntotal != len(index._rows):
                raise IndexFormatError(
                    f"{path} holds {index._lists.ntotal} vectors, and the files beside it {len(index._rows)}"
                )
        return index

    def __len__(self) -> int:
        """Number of vectors."""
        return len(self._rows)


INDEXES: dict[str, type[VectorIndex]] = {index.kind: index for index in (FlatIndex, HNSWIndex, IVFPQIndex)}


def _filled(scores: NDArray[np.float32], positions: NDArray[np.int64]) -> Found:
    """One query's results without what was not found, which faiss marks with -1."""
    found = positions[0] >= 0
    return scores[0][found], positions[0][found]


def _read(path: Path, dimension: int, *, mapped: bool) -> Any:
    faiss = import_faiss()
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError as error:
        raise IndexFormatError(f"faiss cannot read {path}: {error}") from error
    if index.d != dimension:
        raise IndexFormatError(f"{path} holds vectors of length {index.d}, not {dimension}")
    return index
