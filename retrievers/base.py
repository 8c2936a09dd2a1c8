"""What every retriever offers, and the checks and ordering that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from math import fsum
from numbers import Integral
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from retrievers.passage import Hit, Passage
from retrievers.storage.undo import Undoable

Progress = Callable[[int], None]
"""Called now and then with the number of passages done so far."""

RRF_K = 60
"""Damps the weight of the first ranks in reciprocal-rank fusion; the value of Cormack, Clarke and Büttcher (2009)."""


@runtime_checkable
class Searcher(Protocol):
    """Finds passages for a question, its own or those of another system, which it may be unable to list.

    Hits come best first. A ``k`` above the number of passages returns all of them.
    """

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """The ``k`` best passages; ``ValueError`` for a blank query or a ``k`` that is not a whole number from 1 on."""

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """As :meth:`search` for each query, in their order."""


@runtime_checkable
class Retriever(Searcher, Protocol):
    """A :class:`Searcher` over passages of its own; equal scores keep the order in which these were added.

    Passages that have been removed are neither found nor listed nor counted. When a change fails, the retriever stays
    as it was before.
    """

    @property
    def passages(self) -> Sequence[Passage]:
        """All passages, in the order in which they were added."""

    def add(self, passages: Iterable[Passage | str], *, progress: Progress | None = None) -> None:
        """Add passages without rebuilding; ``ValueError`` if an id is there already.

        Strings become passages whose ids count on from the number of passages that are there, see
        :func:`retrievers.as_passages`; numbers that are ids already are passed over.
        """

    def remove(self, ids: Iterable[str]) -> int:
        """Remove passages without rebuilding, and return how many.

        Their ids may be added again. ``ValueError`` if an id is not there.
        """

    def save(self, folder: str | Path) -> None:
        """Write an index folder, replacing an index that is there."""

    def saving(self, folder: str | Path) -> AbstractContextManager[None]:
        """A context that ends with :meth:`save`; what is added inside is written at once, so that memory is bounded."""

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> Retriever:
        """Open an index folder; ``IndexFormatError`` if it cannot be used. ``verify`` holds the files to checksums."""

    def __len__(self) -> int:
        """Number of passages."""


class LocalRetriever(Undoable, ABC):
    """What retrievers have in common whose state is in this process and in index folders."""

    @abstractmethod
    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """See :class:`Searcher`."""

    @abstractmethod
    def saving(self, folder: str | Path) -> AbstractContextManager[None]:
        """See :class:`Retriever`; of what it may replace, see :func:`retrievers.storage.index_folder.new_index`."""

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """The ``k`` best passages, best first.

        Raises:
            ValueError: The query is blank, or ``k`` is not a whole number from 1 on.
        """
        return self.search_many([query], k)[0]

    def save(self, folder: str | Path) -> None:
        """Write an index folder, replacing an index that is there; see :meth:`saving`."""
        with self.saving(folder):
            pass


def check_query(query: str, k: int) -> None:
    """Raise ``ValueError`` for a blank query, or a ``k`` that is not a whole number from 1 on."""
    if not query.strip():
        raise ValueError("the query is empty: give at least one word")
    check_k(k)


def check_queries(queries: Sequence[str], k: int) -> None:
    """:func:`check_query` for several; ``TypeError`` for a single string, whose letters would be searched for."""
    if isinstance(queries, str):
        raise TypeError(f"expected several queries, got the string {queries[:40]!r}; put it into a list")
    check_k(k)
    for query in queries:
        check_query(query, k)


def fuse(rankings: Sequence[Sequence[Hit]], rrf_k: float = RRF_K) -> list[Hit]:
    """All passages of some rankings by the sum of 1 / (rrf_k + rank) over the rankings that hold them, best first."""
    found: dict[str, Passage] = {}
    parts: dict[str, list[float]] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, start=1):
            found.setdefault(hit.passage.id, hit.passage)
            parts.setdefault(hit.passage.id, []).append(1 / (rrf_k + rank))
    hits = [Hit(passage, fsum(parts[passage_id])) for passage_id, passage in found.items()]
    return sorted(hits, key=lambda hit: -hit.score)  # stable, and ``found`` is in the order of the rankings


def check_k(k: int) -> None:
    """Raise ``ValueError`` unless ``k`` is a whole number from 1 on."""
    if isinstance(k, bool) or not isinstance(k, Integral):
        raise ValueError(f"k must be a whole number, got {k!r}")
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
