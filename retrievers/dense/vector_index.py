"""Indexes of vectors: exact, by graph, and by lists of compressed vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from retrievers.dense.vectors import Found, Slabs, VectorRows, best_first, exact_search, import_faiss, selecting
from retrievers.errors import IndexFormatError
from retrievers.storage.segments import SourceFolder
from retrievers.storage.undo import Undoable


class VectorIndex(Undoable, ABC):
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
    def search(self, queries: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None = None) -> Found:
        """Inner products and positions of the best ``k`` vectors for each query, best first, ``(n_queries, k)`` each.

        The position is -1 where fewer are found.

        Args:
            queries: ``(n_queries, dimension)``.
            k: Number of vectors to find.
            alive: Which vectors may be found, ``(n_vectors,)``; None is all.
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

    def search(self, queries: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None = None) -> Found:
        """See :class:`VectorIndex`."""
        return exact_search(queries, self._rows.slabs(), k, alive)

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
        faiss = import_faiss()
        half = faiss.ScalarQuantizer.QT_fp16
        self._built = faiss.IndexHNSWSQ(dimension, half, self._LINKS, faiss.METRIC_INNER_PRODUCT)
        self._built.is_trained = True  # for float16 there is nothing to learn
        self._n = 0  # fewer than the graph holds when an addition was undone
        self._file: SourceFolder | None = None  # where the graph lies as it is

    @property
    def _graph(self) -> Any:
        """The graph, built anew if it holds vectors of an addition that was undone: it cannot forget them."""
        if self._built.ntotal > self._n:
            self._built = self._without(np.arange(self._built.ntotal) >= self._n)._built
        return self._built

    def _without(self, drop: NDArray[np.bool_]) -> HNSWIndex:
        living = HNSWIndex(self.dimension)
        for start in range(0, self._built.ntotal, self._SLAB):
            here = ~drop[start : start + self._SLAB]
            living.add(self._built.reconstruct_n(start, len(here))[here])
        return living

    def add(self, vectors: NDArray[np.float32]) -> None:
        """See :class:`VectorIndex`."""
        faiss = import_faiss()
        graph = self._graph
        if self._file is not None:  # faiss ends the process when a mapped index is added to
            graph = faiss.deserialize_index(faiss.serialize_index(graph))
        graph.hnsw.efConstruction = self._BUILD_BREADTH  # faiss does not save it
        graph.add(vectors)
        self._built, self._n, self._file = graph, graph.ntotal, None

    def search(self, queries: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None = None) -> Found:
        """See :class:`VectorIndex`."""
        faiss = import_faiss()
        selector = None if alive is None else selecting(alive)
        parameters = faiss.SearchParametersHNSW(efSearch=max(self.breadth, 2 * k), sel=selector)
        scores, positions = self._graph.search(queries, k, params=parameters)
        return best_first(scores, positions, k)

    def slabs(self) -> Slabs:
        """See :class:`VectorIndex`."""
        for start in range(0, len(self), self._SLAB):
            yield start, self._graph.reconstruct_n(start, min(self._SLAB, len(self) - start))

    @contextmanager
    def writing(self, folder: Path, drop: NDArray[np.bool_] | None = None) -> Iterator[None]:
        """See :class:`VectorIndex`; to leave vectors out, the graph of the others is built anew."""
        faiss = import_faiss()
        if drop is not None and drop.any():
            living = self._without(np.pad(drop, (0, self._built.ntotal - self._n), constant_values=True))
            self._built, self._n, self._file = living._built, living._n, None
        yield
        path = folder / self._FILE
        if self._file is None or not self._file.link(self._FILE, path):
            faiss.write_index(self._graph, str(path))
        self._map(folder)

    def _map(self, folder: Path) -> None:
        self._built = _read(folder / self._FILE, self.dimension, mapped=True)
        self._n, self._file = self._built.ntotal, SourceFolder(folder)

    @classmethod
    def open(cls, folder: Path, dimension: int) -> HNSWIndex:
        """See :class:`VectorIndex`."""
        index = cls(dimension)
        index._map(folder)
        return index

    def __len__(self) -> int:
        """Number of vectors."""
        return self._n


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
        self._learnt: Any = None
        self._file: SourceFolder | None = None  # where the lists lie as they are

    def add(self, vectors: NDArray[np.float32]) -> None:
        """See :class:`VectorIndex`."""
        lists = self._lists
        self._rows.append(vectors)
        if lists is not None:
            lists.add(vectors)
            self._file = None

    @property
    def _lists(self) -> Any:
        """The lists, None before they are learnt, without the vectors of an addition that was undone."""
        if self._learnt is not None and (n_listed := self._learnt.ntotal) > len(self):
            self._learnt.remove_ids(import_faiss().IDSelectorRange(len(self), n_listed))
        return self._learnt

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
        self._learnt, self._file = lists, None
        self.breadth, self.widest = min(8, n_lists), n_lists

    def search(self, queries: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None = None) -> Found:
        """See :class:`VectorIndex`."""
        lists = self._lists
        if lists is None:
            return exact_search(queries, self.slabs(), k, alive)
        n_candidates = min(self._CANDIDATES * max(k, 10), len(self))
        selector = None if alive is None else selecting(alive)
        parameters = import_faiss().SearchParametersIVF(nprobe=self.breadth, sel=selector)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        positions = np.full((len(queries), k), -1, dtype=np.int64)
        for row, found in enumerate(lists.search(queries, n_candidates, params=parameters)[1]):
            found = np.sort(found[found >= 0])
            exact = self._rows.take(found) @ queries[row]
            best = np.argsort(-exact, kind="stable")[:k]
            scores[row, : len(best)], positions[row, : len(best)] = exact[best], found[best]
        return scores, positions

    def slabs(self) -> Slabs:
        """See :class:`VectorIndex`."""
        return self._rows.slabs()

    @contextmanager
    def writing(self, folder: Path, drop: NDArray[np.bool_] | None = None) -> Iterator[None]:
        """See :class:`VectorIndex`; when vectors are left out, lists are learnt again from the others."""
        faiss = import_faiss()
        with self._rows.writing(folder, drop):
            if drop is not None and drop.any():
                self._learnt, self.breadth, self.widest = None, 0, 0
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
            index._learnt = lists = _read(path, dimension, mapped=False)
            index._file = SourceFolder(folder)
            index.breadth, index.widest = min(8, lists.nlist), lists.nlist
            if lists.ntotal != len(index._rows):
                raise IndexFormatError(f"{path} holds {lists.ntotal} vectors, and the files beside it {len(index)}")
        return index

    def __len__(self) -> int:
        """Number of vectors."""
        return len(self._rows)


INDEXES: dict[str, type[VectorIndex]] = {index.kind: index for index in (FlatIndex, HNSWIndex, IVFPQIndex)}


def _read(path: Path, dimension: int, *, mapped: bool) -> Any:
    faiss = import_faiss()
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError as error:
        raise IndexFormatError(f"faiss cannot read {path}: {error}") from error
    if index.d != dimension:
        raise IndexFormatError(f"{path} holds vectors of length {index.d}, not {dimension}")
    return index
