"""Which answers coalitions will likely give, and whether guessing them saves time."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

# The cost of one more decoder pass, in queries (a row's next token). On one CPU thread the embedded reader takes 4.8 ms
# for a pass and 0.18 ms for a query of 2,500 source tokens; the cost on other devices is a guess.
PASS_COST = defaultdict(lambda: 2000, cpu=26)
_MOST_DRAFTS = 16


class SeenAnswers:
    """The answers that coalitions of one question have given so far, shared by all calls for the question."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, ...]] = Counter()

    def add(self, answers: Sequence[Sequence[int]]) -> None:
        """Count the tokens of decoded answers."""
        self._counts.update(map(tuple, answers))

    def drafts(self, n_rows: int, room: int, pass_cost: int) -> list[tuple[int, ...]]:
        """The answers that are worth verifying in one pass for `n_rows` more coalitions; empty if none is.

        The number of most frequent answers is chosen that minimises the expected cost: queries, plus passes times
        `pass_cost`. Answers are expected as often as they have come so far, and the probability of a new one is
        estimated by the fraction of answers that came once (Good 1953).

        Args:
            n_rows: coalitions to decode.
            room: number of queries that fit into memory in one pass.
            pass_cost: cost of a pass in queries.
        """
        total = sum(self._counts.values())
        if not total:
            return []
        ranked = self._counts.most_common(_MOST_DRAFTS)
        new = sum(count == 1 for count in self._counts.values()) / total
        steps = sum(count * (len(answer) + 1) for answer, count in self._counts.items()) / total
        longest = max(len(answer) for answer in self._counts) + 1

        def stepwise(rows: float) -> float:
            return rows * steps + pass_cost * longest * math.ceil(rows / room)

        best, cheapest, covered, width = 0, stepwise(n_rows), 0.0, 0
        for number, (answer, count) in enumerate(ranked, 1):
            covered += count / total * (1 - new)
            width = max(width, len(answer) + 1)
            queries = n_rows * number * width
            missed = n_rows * (1 - covered)
            cost = queries + pass_cost * math.ceil(queries / room) + (stepwise(missed) if missed >= 0.5 else 0.0)
            if cost < cheapest:
                best, cheapest = number, cost
        return [answer for answer, _ in ranked[:best]]


def decode_in_chunks(
    n_rows: int,
    decode: Callable[[slice, Sequence[Sequence[int]]], list[list[int]]],
    seen: SeenAnswers,
    room: int,
    pass_cost: int,
) -> Iterator[list[int]]:
    """Answers of all rows, decoded in slices that fit into memory.

    Args:
        n_rows: rows to decode.
        decode: decodes a slice of the rows, given drafts.
        seen: answers to the question so far; the new ones are added.
        room: number of queries that fit into memory in one pass.
        pass_cost: cost of a decoder pass in queries.
    """
    done = 0
    while done < n_rows:
        drafts = seen.drafts(n_rows - done, room, pass_cost)
        width = max(1, len(drafts) * (1 + max(map(len, drafts), default=0)))
        part = slice(done, min(n_rows, done + max(1, room // width)))
        answers = decode(part, drafts)
        seen.add(answers)
        yield from answers
        done = part.stop
