"""What passages do to one another: which support different answers, which are needed together or stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from attribution import Attribution, VotesGame, interactions, normalize_answer
from rag.readers.base import Coalitions

if TYPE_CHECKING:
    from rag.session import Session

_ABOUT_ZERO = 0.005
_LEAST_SUPPORT = 0.05  # of a value that counts as support for an answer
_LEAST_INTERACTION = 0.1


def is_about_zero(value: float, error: float) -> bool:
    """Whether a value is too small to matter, or within two standard errors of 0."""
    return abs(value) < max(_ABOUT_ZERO, 2 * error)


@dataclass(frozen=True)
class Conflict:
    """Two answers that different passages support.

    Attributes:
        answers: the two answers, the better supported first.
        passages: ids of those that support the one and the other, the strongest first.
    """

    answers: tuple[str, str]
    passages: tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class PairInteraction:
    """What two passages do together beyond what each does alone, for the answer from all passages.

    Attributes:
        passages: ids of the two.
        value: above zero where they answer only together, below where one makes up for the other.
    """

    passages: tuple[str, str]
    value: float


@dataclass(frozen=True)
class PairInteractions:
    """The interactions among the passages that matter.

    Attributes:
        among: ids of these passages; the others were left out.
        pairs: those that interact by at least 0.1, the strongest first.
    """

    among: tuple[str, ...]
    pairs: tuple[PairInteraction, ...]


def conflicts(attribution: Attribution, session: Session) -> tuple[Conflict, ...]:
    """Pairs of answers between which the passages are divided.

    A passage supports an answer if the reader gives it from this passage alone, and if the passage's value for it,
    among all others, is at least 0.05 and above two standard errors. Two supported answers conflict if neither
    holds the other as a run of words ("2000" and "February 2000" do not), and if the first passage of each side is
    worth more for its own answer than the other is. That answers differ does not mean that passages deny one another:
    a passage may be about something else.

    Args:
        attribution: of votes.
        session: gives the answers from single passages.

    Returns:
        The conflicts, those of the best supported answers first.
    """
    n = len(attribution.players)
    alone = session.answers(np.eye(n, dtype=bool)) if n else []
    key = session.matching.key
    rows = {key(text): row for row, text in enumerate(attribution.outputs)}
    sides: dict[int, list[int]] = {}
    for player, text in enumerate(alone):
        row = rows.get(key(text))
        if row is None or not attribution.outputs[row]:
            continue
        if attribution.values[row, player] >= max(_LEAST_SUPPORT, 2 * attribution.errors[row, player]):
            sides.setdefault(row, []).append(player)
    for row, side in sides.items():
        side.sort(key=lambda player: -attribution.values[row, player])
    ranked = sorted(sides, key=lambda row: -attribution.values[row, sides[row][0]])
    return tuple(
        Conflict(
            (attribution.outputs[a], attribution.outputs[b]),
            (tuple(attribution.players[i] for i in sides[a]), tuple(attribution.players[i] for i in sides[b])),
        )
        for a, b in combinations(ranked, 2)
        if not _one_holds_the_other(attribution.outputs[a], attribution.outputs[b])
        and attribution.values[a, sides[a][0]] > attribution.values[a, sides[b][0]]
        and attribution.values[b, sides[b][0]] > attribution.values[b, sides[a][0]]
    )


def _one_holds_the_other(first: str, second: str) -> bool:
    a, b = (f" {normalize_answer(text)} " for text in (first, second))
    return a in b or b in a


def pair_interactions(attribution: Attribution, session: Session, budget: int) -> PairInteractions:
    """Exact interactions of the passages that matter, in the game that these play alone.

    Those matter whose value is at least 0.005 and beyond two standard errors, up or down; the largest of them, as many
    as the budget lets play all their coalitions. The others are left out.
    """
    values, errors = (part[attribution.output] for part in (attribution.values, attribution.errors))
    largest = np.argsort(-np.abs(values), kind="stable").tolist()
    matter = [i for i in largest if not is_about_zero(values[i], errors[i])]
    chosen = sorted(matter[: budget.bit_length() - 1])
    names = tuple(attribution.players[i] for i in chosen)
    if len(chosen) < 2:
        return PairInteractions(names, ())

    def generate(coalitions: Coalitions) -> Sequence[str]:
        rows = np.zeros((len(coalitions), len(values)), dtype=bool)
        rows[:, chosen] = coalitions
        return session.answers(rows)

    key = session.matching.key
    game = VotesGame(generate, key)
    found = interactions(game, len(chosen), budget=2 ** len(chosen))
    full = key(attribution.outputs[attribution.output])
    outputs = [key(text) for text in found.outputs]
    top = found.top(len(names) ** 2, outputs.index(full)) if full in outputs else []
    pairs = (PairInteraction((names[a], names[b]), value) for a, b, value, _ in top)
    return PairInteractions(names, tuple(pair for pair in pairs if abs(pair.value) >= _LEAST_INTERACTION))
