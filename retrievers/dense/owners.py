"""Which passage each vector of a dense index is of: a long passage has several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrievers.dense.vectors import Found
from retrievers.errors import IndexFormatError
from retrievers.storage.undo import Undoable

_FILE = "blocks.npy"


class VectorOwners(Undoable):
    """The number of vectors of each passage, by position: a passage's vectors stand one after another.

    Attributes:
        counts: ``(n_passages,)``, at least 1 each.
    """

    def __init__(self, counts: NDArray[np.uint32] | None = None) -> None:
        """Make the owners of no vectors, or of given numbers of them."""
        self.counts = np.zeros(0, dtype=np.uint32) if counts is None else counts
        self._owner: NDArray[np.int64] | None = None  # of each vector

    def append(self, counts: list[int]) -> None:
        """Add passages with so many vectors each."""
        self.counts = np.append(self.counts, np.array(counts, dtype=np.uint32))
        self._owner = None

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Leave passages out, ``(n_passages,)``."""
        self.counts, self._owner = self.counts[kept], None

    def spread(self, of_passages: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """What is said of passages, ``(n_passages,)``, said of their vectors, ``(n_vectors,)``."""
        return None if of_passages is None else np.repeat(of_passages, self.counts)

    def search(self, find: Callable[[int], Found], k: int, n_vectors: int) -> list[tuple[list[float], list[int]]]:
        """For each query the scores and positions of the ``k`` passages of the best vectors, best first.

        Args:
            find: Finds so many vectors for each query, or fewer where there are no more.
            k: Number of passages.
            n_vectors: Number of vectors that can be found.
        """
        if len(self.counts) == int(self.counts.sum()):
            return [_found(scores, positions) for scores, positions in zip(*find(k), strict=True)]
        if self._owner is None:
            self._owner = np.repeat(np.arange(len(self.counts)), self.counts)
        wanted = min(2 * k, n_vectors)
        while True:
            rows = []
            complete = True
            for scores, vectors in zip(*find(wanted), strict=True):
                there = vectors >= 0
                owners, first = np.unique(self._owner[vectors[there]], return_index=True)
                first = np.sort(first)[:k]
                rows.append(_found(scores[there][first], self._owner[vectors[there]][first]))
                complete &= len(owners) >= k or not there.all()
            if complete or wanted == n_vectors:
                return rows
            wanted = min(2 * wanted, n_vectors)

    def write(self, folder: Path) -> None:
        """Write the numbers into an index folder."""
        np.save(folder / _FILE, self.counts, allow_pickle=False)

    @classmethod
    def open(cls, folder: Path, n_passages: int) -> VectorOwners:
        """Read what was written.

        Raises:
            IndexFormatError: The file holds something else.
        """
        path = folder / _FILE
        try:
            counts = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise IndexFormatError(f"{path} cannot be read: {error}") from error
        if counts.shape != (n_passages,) or counts.dtype != np.uint32 or not counts.all():
            raise IndexFormatError(
                f"{path} should hold the numbers of vectors of {n_passages} passages, "
                f"and holds {counts.dtype} of the shape {counts.shape}"
            )
        return cls(counts)


def _found(scores: NDArray[np.float32], positions: NDArray[np.int64]) -> tuple[list[float], list[int]]:
    there = positions >= 0
    return scores[there].tolist(), positions[there].tolist()
