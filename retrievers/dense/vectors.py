"""Vectors by position: segments mapped from disk, additions in memory; and exact search over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from retrievers.errors import IndexFormatError
from retrievers.storage.segments import SourceFolder, first_to_merge
from retrievers.storage.undo import Undoable, keep_only

_FULL = 2**16  # rows of a segment that is not merged any more, and of a block in memory
_SLAB = 2**14  # rows that are widened to float32 at once

_FEWEST = 20  # queries from which on they are compared by products of matrices
_ROWS = 128  # of such a product

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Inner products and positions, ``(n_queries, k)`` each; the position is -1 where fewer were found."""

Slabs = Iterable[tuple[int, NDArray[np.float32]]]
"""Vectors in order, ``(n, dimension)`` at a time, each part with the position of its first row."""


class _Segment(NamedTuple):
    name: str
    source: SourceFolder
    rows: NDArray[Any]

    def link(self, target: Path) -> None:
        if not self.source.link(self.name, target):
            np.save(target, self.rows, allow_pickle=False)


class VectorRows(Undoable):
    """Vectors that are only ever appended to, ``(n, dimension)``.

    On disk they are files ``vectors-N.npy`` of at most about 65,536 rows, which never change. Memory holds what was
    appended and not yet saved, and inside of :meth:`writing` no more than 65,536 rows of it.

    Args:
        dimension: Length of a vector.
        dtype: float32, or float16 for half the space.
    """

    def __init__(self, dimension: int, dtype: DTypeLike = np.float32) -> None:
        """See the class."""
        self.dimension, self._dtype = dimension, np.dtype(dtype)
        self._segments: list[_Segment] = []
        self._full: list[NDArray[Any]] = []  # blocks of _FULL rows in memory
        self._filled = 0  # rows of the block that is being filled
        self._block: NDArray[Any] = np.empty((0, dimension), dtype=self._dtype)
        self._target: tuple[SourceFolder, Path] | None = None

    @classmethod
    def open(cls, folder: Path, dimension: int, dtype: DTypeLike = np.float32) -> VectorRows:
        """Map the files that :meth:`writing` left in ``folder``.

        Raises:
            IndexFormatError: A file holds something else.
        """
        rows, source = cls(dimension, dtype), SourceFolder(folder)
        for path in sorted(folder.glob("vectors-*.npy"), key=lambda path: _number(path.name)):
            rows._segments.append(rows._map(source, path))
        return rows

    def append(self, vectors: NDArray[np.floating]) -> None:
        """Add vectors, ``(n, dimension)``, behind the others."""
        while len(vectors):
            if not len(self._block):
                self._block = np.empty((_FULL, self.dimension), dtype=self._dtype)
            now, vectors = np.split(vectors, [_FULL - self._filled])
            self._block[self._filled : self._filled + len(now)] = now
            self._filled += len(now)
            if self._filled == _FULL:
                self._full = [*self._full, self._block]
                self._block, self._filled = self._block[:0], 0
                if self._target is not None:
                    self._flush(*self._target)

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors at some positions, ``(n_positions, dimension)``."""
        blocks = self._blocks()
        starts = list(accumulate(map(len, blocks), initial=0))
        taken = np.empty((len(positions), self.dimension), dtype=np.float32)
        block_of = np.searchsorted(starts, positions, side="right") - 1
        for number in np.unique(block_of):
            here = block_of == number
            taken[here] = blocks[number][positions[here] - starts[number]]
        return taken

    def slabs(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All vectors in order; float32 rows are not copied."""
        start = 0
        for block in self._blocks():
            for first in range(0, len(block), _SLAB):
                slab = block[first : first + _SLAB].astype(np.float32, copy=False)
                yield start, slab
                start += len(slab)

    @contextmanager
    def writing(self, folder: Path, drop: NDArray[np.bool_] | None = None) -> Iterator[None]:
        """Write the vectors into ``folder``, and those appended meanwhile as they become many.

        What is on disk already is linked where the file system can. At the end the rows lie in ``folder``, also when
        that is moved.

        Args:
            folder: A folder without vectors.
            drop: Rows to leave out, ``(n,)``; the positions of later ones change.
        """
        source = SourceFolder(folder)
        if drop is None or not drop.any():
            handed_on = []
            for number, segment in enumerate(self._segments):
                segment.link(folder / _name(number))
                handed_on.append(self._map(source, folder / _name(number)))
            self._segments = handed_on
        else:
            blocks, start = self._blocks(), 0
            self._segments, self._full, self._block, self._filled = [], [], self._block[:0], 0
            self._target = source, folder
            for block in blocks:
                self.append(block[~drop[start : start + len(block)]])
                start += len(block)
        self._target = source, folder
        try:
            yield
            self._flush(source, folder)
            self._merge_small(source, folder)
        finally:
            self._target = None

    def __len__(self) -> int:
        """Number of vectors."""
        return sum(map(len, self._blocks()))

    def _blocks(self) -> list[NDArray[Any]]:
        return [*(segment.rows for segment in self._segments), *self._full, self._block[: self._filled]]

    def _map(self, source: SourceFolder, path: Path) -> _Segment:
        try:
            rows = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise IndexFormatError(f"{path} cannot be read: {error}") from error
        if rows.ndim != 2 or rows.shape[1] != self.dimension or rows.dtype != self._dtype:
            raise IndexFormatError(
                f"{path} should hold {self._dtype} vectors of length {self.dimension}, "
                f"and holds {rows.dtype} of the shape {rows.shape}"
            )
        return _Segment(path.name, source, np.asarray(rows))

    def _flush(self, source: SourceFolder, folder: Path) -> None:
        for block in (*self._full, self._block[: self._filled]):
            if len(block):
                self._segments = [*self._segments, self._create([block], source, folder)]
        self._full, self._block, self._filled = [], self._block[:0], 0

    def _merge_small(self, source: SourceFolder, folder: Path) -> None:
        first = first_to_merge([len(segment.rows) for segment in self._segments], limit=_FULL)
        small = self._segments[first:]
        if len(small) > 1:
            merged = self._create([segment.rows for segment in small], source, folder)
            self._segments = [*self._segments[:first], merged]
            keep_only(folder, "vectors-*.npy", {segment.name for segment in self._segments})

    def snapshot(self) -> Callable[[], None]:
        """See :class:`Undoable`; inside of :meth:`writing`, files that were written meanwhile are removed too."""
        undo = super().snapshot()

        def undo_and_remove() -> None:
            undo()
            if self._target is not None:
                keep_only(self._target[1], "vectors-*.npy", {segment.name for segment in self._segments})

        return undo_and_remove

    def _create(self, blocks: list[NDArray[Any]], source: SourceFolder, folder: Path) -> _Segment:
        path = folder / _name(_number(self._segments[-1].name) + 1 if self._segments else 0)
        rows = np.lib.format.open_memmap(path, "w+", self._dtype, (sum(map(len, blocks)), self.dimension))
        np.concatenate(blocks, out=rows)
        rows.flush()
        return self._map(source, path)


def exact_search(queries: NDArray[np.float32], slabs: Slabs, k: int, alive: NDArray[np.bool_] | None = None) -> Found:
    """The ``k`` largest inner products, best first, equal ones in order of position.

    Args:
        queries: ``(n_queries, dimension)``.
        slabs: The vectors.
        k: Number of positions to find.
        alive: Which vectors may be found, ``(n_vectors,)``; None is all.

    Returns:
        Inner products and positions, ``(n_queries, k)`` each; the position is -1 where there are not so many.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    positions = np.full((len(queries), k), -1, dtype=np.int64)
    search = _by_matrix if len(queries) >= _FEWEST else _by_faiss
    for start, slab in slabs:
        found, at = search(queries, slab, k, None if alive is None else alive[start : start + len(slab)])
        at[at >= 0] += start
        scores, positions = best_first(np.hstack([scores, found]), np.hstack([positions, at]), k)
    return scores, positions


def _by_faiss(
    queries: NDArray[np.float32], slab: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None
) -> Found:
    """Row by row, so that equal vectors have equal scores."""
    faiss = import_faiss()
    pointer = faiss.swig_ptr
    found = np.empty((len(queries), k), dtype=np.float32)
    at = np.empty(found.shape, dtype=np.int64)
    selector = None if alive is None else selecting(alive)
    vectors, shape = np.ascontiguousarray(slab), (queries.shape[1], len(queries), len(slab), k)
    faiss.knn_inner_product(pointer(queries), pointer(vectors), *shape, pointer(found), pointer(at), selector)
    found[at < 0] = -np.inf
    return found, at


def _by_matrix(
    queries: NDArray[np.float32], slab: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None
) -> Found:
    """By products of matrices: for many queries three times as fast as faiss."""
    k = min(k, len(slab))
    found = np.empty((len(queries), k), dtype=np.float32)
    at = np.empty(found.shape, dtype=np.int64)
    for first in range(0, len(queries), _ROWS):
        products = queries[first : first + _ROWS] @ slab.T
        if alive is not None:
            products[:, ~alive] = -np.inf
        best = np.argpartition(products, -k, axis=1)[:, -k:]
        least = np.take_along_axis(products, best, 1).min(axis=1)
        for row in np.flatnonzero((products >= least[:, None]).sum(axis=1) > k):  # some equal ones were left out
            candidates = np.flatnonzero(products[row] >= least[row])
            best[row] = candidates[np.argsort(-products[row, candidates], kind="stable")][:k]
        at[first : first + _ROWS], found[first : first + _ROWS] = best, np.take_along_axis(products, best, 1)
    at[np.isneginf(found)] = -1
    return found, at


def best_first(scores: NDArray[np.float32], positions: NDArray[np.int64], k: int) -> Found:
    """The ``k`` best of each row, ``(n_queries, k)`` of ``(n_queries, n)``, equal scores in order of position."""
    best = np.lexsort((positions, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, best, 1), np.take_along_axis(positions, best, 1)


def selecting(alive: NDArray[np.bool_]) -> Any:
    """What tells a search of faiss which positions it may find."""
    return import_faiss().IDSelectorBitmap(np.packbits(alive, bitorder="little"))


def import_faiss() -> Any:
    """The library; ``ImportError`` with what to install if it is missing."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError("dense retrieval needs the package faiss: pip install faiss-cpu") from error
    return faiss


def _name(number: int) -> str:
    return f"vectors-{number}.npy"


def _number(name: str) -> int:
    return int(name.removeprefix("vectors-").removesuffix(".npy"))
