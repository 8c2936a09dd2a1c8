"""How far a reader's probability of "no answer" can be trusted, and how often it declines rightly and wrongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

N_BINS = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """The questions whose probability of "no answer" falls into one tenth of [0, 1].

    Attributes:
        questions: their number.
        predicted: their mean probability of "no answer".
        observed: the fraction of them for which the passages read hold no accepted answer.
    """

    questions: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class NoAnswerRow:
    """What a reader makes of questions that the first `k` passages answer, and of others.

    A question without an accepted answer is never answered by the passages; of others, DPR's matching says it.

    Attributes:
        k: how many first passages were read; None is all.
        questions: their number.
        answered: percent of the questions whose answer the passages hold.
        declined_answered: percent of these that the reader declined, at its threshold; None if there are none.
        declined_unanswered: the same of the others, which it should decline.
        calibration_error: expected calibration error (Naeini et al. 2015) in percentage points: the mean over questions
            of the distance between `predicted` and `observed` of their bin.
        bins: by tenths of the probability, in ascending order; empty ones are left out.
    """

    k: int | None
    questions: int
    answered: float
    declined_answered: float | None
    declined_unanswered: float | None
    calibration_error: float
    bins: tuple[ReliabilityBin, ...]


def no_answer_row(k: int | None, entries: Sequence[Mapping[str, Any]]) -> NoAnswerRow | None:
    """The row of `answer_question`'s entries for one size; None if the reader gives no probability."""
    if not entries or any(entry["no_answer_probability"] is None for entry in entries):
        return None
    probabilities = np.array([entry["no_answer_probability"] for entry in entries])
    answered = np.array([entry["recall"] for entry in entries], dtype=bool)
    declined = np.array([not entry["answer"] for entry in entries])
    tenth = np.minimum((probabilities * N_BINS).astype(int), N_BINS - 1)
    bins = [
        ReliabilityBin(int(own.sum()), float(probabilities[own].mean()), float(np.mean(~answered[own])))
        for own in (tenth == number for number in range(N_BINS))
        if own.any()
    ]
    return NoAnswerRow(
        k=k,
        questions=len(entries),
        answered=100 * float(answered.mean()),
        declined_answered=100 * float(declined[answered].mean()) if answered.any() else None,
        declined_unanswered=100 * float(declined[~answered].mean()) if not answered.all() else None,
        calibration_error=100 * sum(b.questions * abs(b.predicted - b.observed) for b in bins) / len(entries),
        bins=tuple(bins),
    )
