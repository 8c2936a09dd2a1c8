"""What every retriever offers, and the checks and ordering that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from retrievers.passage import Hit, Passage

Progress = Callable[[int], None]
"""Called now and then with the number of passages done so far."""

RRF_K = 60
"""Damps the weight of the first ranks in reciprocal-rank fusion; the value of Cormack, Clarke and Büttcher (2009)."""


@runtime_checkable
class Searcher(Protocol):
    """Finds passages for a question; what holds them may be elsewhere and need not be able to list them.

    Hits come best first. A ``k`` above the number of passages returns all that there are.
    """

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """The ``k`` best passages; ``ValueError`` for a blank query or ``k < 1``."""

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """As :meth:`search` for each query, in their order, with the same results."""


@runtime_checkable
class Retriever(Searcher, Protocol):
    """A :class:`Searcher` over passages of its own; equal scores keep the order in which these were added.

    Whatever has been removed is never found, listed or counted.
    """

    @property
    def passages(self) -> Sequence[Passage]:
        """All passages, in the order in which they were added."""

    def add(self, passages: Iterable[Passage], *, progress: Progress | None = None) -> None:
        """Add passages without rebuilding; ``ValueError`` (and nothing added) if an id is there already."""

    def remove(self, ids: Iterable[str]) -> int:
        """Remove passages without rebuilding, and say how many.

        Their ids may be added again. ``ValueError`` (and nothing removed) if an id is not there.
        """

    def save(self, folder: str | Path) -> None:
        """Write an index folder, replacing an index that is there."""

    def saving(self, folder: str | Path) -> AbstractContextManager[None]:
        """:meth:`save`, which writes what is added inside of the context as it comes, so that memory is bounded."""

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> Retriever:
        """Open an index folder; ``IndexFormatError`` if it cannot be used, ``verify`` checks checksums."""

    def __len__(self) -> int:
        """Number of passages."""


def check_query(query: str, k: int) -> None:
    """Raise ``ValueError`` for a blank query or a ``k`` below 1."""
    if not query.strip():
        raise ValueError("the query is empty: give at least one word")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")


def top_positive(scores: NDArray[np.floating], k: int) -> NDArray[np.intp]:
    """Positions of the ``k`` highest scores above zero, best first, equal scores in order of position.

    Args:
        scores: ``(n_passages,)``.
        k: Upper limit of the number of positions returned.
    """
    positions = np.flatnonzero(scores > 0)
    if len(positions) > k:
        kth_best = np.partition(scores[positions], -k)[-k]
        positions = positions[scores[positions] >= kth_best]
    return positions[np.argsort(-scores[positions], kind="stable")][:k]
