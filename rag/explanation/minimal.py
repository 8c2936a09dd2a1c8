"""The smallest sets of passages that give an answer, and that it cannot do without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb
from typing import TYPE_CHECKING, Literal

import numpy as np

from rag.readers.base import Coalitions

if TYPE_CHECKING:
    from rag.session import Session

_BATCH = 256  # sets asked about together
_FEW = 8  # those, where one of the first is likely to do


@dataclass(frozen=True)
class MinimalSet:
    """Passages that alone give an answer, or without which it changes; decoded, not inferred.

    Attributes:
        passages: ids, those of highest value first.
        answer: what the reader answers from these alone, or from all others.
        proof: "smallest": every smaller set was tried and does not do; "irreducible": each passage of it is needed,
            but a smaller set of other passages was not ruled out; "none": the decodes allowed did not suffice for that.
    """

    passages: tuple[str, ...]
    answer: str
    proof: Literal["smallest", "irreducible", "none"]


def minimal_sets(session: Session, order: Sequence[int], limit: int) -> tuple[MinimalSet | None, MinimalSet | None]:
    """The sufficient and the counterfactual set of the answer from all passages.

    All sets of 0, 1, 2, ... passages are tried as far as `limit` admits. Where none does, sets are shortened: of the
    first passages in attributed order as many as it takes, then each that can be spared is left out.

    Args:
        session: gives the reader's answers; what it knows already is not decoded again and costs nothing.
        order: all passages, the most contributing first.
        limit: most coalitions to decode for each of the two sets.

    Returns:
        The smallest set found that alone gives the answer, and the smallest found without which it changes. The
        second is None where none was found: the reader may give the answer from whatever subset, even from none.
    """
    names, found = [passage.id for passage in session.encoded.passages], []
    for without in (False, True):
        search = _Search(session, order, without, limit)
        members, proof = search.smallest()
        found.append(
            None
            if members is None
            else MinimalSet(tuple(names[i] for i in members), search.answers_of([members])[0], proof)
        )
    return found[0], found[1]


class _Search:
    """For the smallest set that gives the full answer, or without which it changes; either may end with more in it."""

    def __init__(self, session: Session, order: Sequence[int], without: bool, limit: int):
        self.session, self.order, self.without, self.left = session, order, without, limit
        self.key = session.matching.key
        self.full = self.key(session.answer)

    def answers_of(self, sets: Sequence[Sequence[int]]) -> list[str]:
        """What the reader answers from each set, or without it; raises _LimitReached."""
        rows = self.rows(sets)
        cost = self.session.unknown(rows)
        if cost > self.left:
            raise _LimitReached
        self.left -= cost
        return self.session.answers(rows)

    def rows(self, sets: Sequence[Sequence[int]]) -> Coalitions:
        """What the reader sees, bool `(n_sets, n_passages)`: the sets, or all but these."""
        rows = np.full((len(sets), len(self.order)), self.without)
        for row, members in zip(rows, sets, strict=True):
            row[list(members)] = not self.without
        return rows

    def unknown(self, sets: Sequence[Sequence[int]]) -> int:
        """How many of the sets are to be decoded still."""
        return self.session.unknown(self.rows(sets))

    def first(self, sets: Iterable[Sequence[int]], together: int = _BATCH) -> tuple[int, ...] | None:
        """The first of the sets that does, asked about so many together; raises _LimitReached if none does before."""
        for batch in _batches(sets, together):
            # If the limit falls within a batch, the sets before it are asked about one by one.
            for few in [batch] if self.unknown(batch) <= self.left else [[members] for members in batch]:
                for members, answer in zip(few, self.answers_of(few), strict=True):
                    if (self.key(answer) == self.full) != self.without:
                        return tuple(members)
        return None

    def within(self, size: int) -> bool:
        """Whether the limit admits all sets of a size; those known already are free."""
        most = self.left + self.session.decodes
        if comb(len(self.order), size) > most:
            return False
        return sum(map(self.unknown, _batches(combinations(self.order, size), _BATCH))) <= self.left

    def smallest(self) -> tuple[tuple[int, ...] | None, Literal["smallest", "irreducible", "none"]]:
        """The set, the first in the order given where several are as small, and what is proven of it."""
        greedy: tuple[int, ...] | None = None
        irreducible = searched = False
        for size in range(len(self.order) + 1):
            # Beyond single passages it pays to know what size to beat; with few decodes, some set comes first.
            if not searched and (size == 2 or self.left < 2 * len(self.order)):
                greedy, irreducible = self.greedy()
                searched = True
            if greedy is not None and size >= len(greedy):
                return greedy, "smallest"
            if not self.within(size):
                break
            found = self.first(combinations(self.order, size))
            if found is not None:
                return found, "smallest"
        return greedy, "irreducible" if irreducible else "none"

    def greedy(self) -> tuple[tuple[int, ...] | None, bool]:
        """The fewest first passages that do, less all that can be spared; and whether that came to its end."""
        members: tuple[int, ...] | None = None
        together = _FEW if self.left >= 2 * len(self.order) else 1
        try:
            members = self.first([self.order[:size] for size in range(len(self.order) + 1)], together)
            while members:
                # The least contributing is left out first.
                spared = [(*members[:i], *members[i + 1 :]) for i in reversed(range(len(members)))]
                shorter = self.first(spared, together)
                if shorter is None:
                    break
                members = shorter
        except _LimitReached:
            return members, False
        return members, members is not None


def _batches(sets: Iterable[Sequence[int]], together: int) -> Iterator[list[Sequence[int]]]:
    rest = iter(sets)
    while batch := list(islice(rest, together)):
        yield batch


class _LimitReached(Exception):  # noqa: N818 - no error, only the end of the search
    pass
