"""What passages contributed: scores of an attribution, and the order by influence that screens passages.

The scores of values are functions of arrays, `(values (n_outputs, n_players), outputs, output) -> (n_players,)`, so
that a stopping rule can ask about the very order that is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rag.settings_base import SettingsError

if TYPE_CHECKING:
    from attribution import Attribution

Scores = NDArray[np.float64]
ScoreOfValues = Callable[[Scores, Sequence[str], int], Scores]

ScoreName = Literal["value", "positive", "pivots"]
SCORES: tuple[str, ...] = get_args(ScoreName)
DEFAULT_SCORE: ScoreName = "positive"
_MOST_LOG_PROB = -1e-7  # float32 does not tell larger ones from 0


def logit(log_prob: Scores) -> Scores:
    """log(p / (1 - p)) of probabilities given as logarithms; one that was rounded to 1 is taken for 1 - 1e-7."""
    kept = np.minimum(log_prob, _MOST_LOG_PROB)
    odds: Scores = kept - np.log(-np.expm1(kept))
    return odds


def value(values: Scores, outputs: Sequence[str], output: int) -> Scores:
    """The value for the explained answer; where that is "no answer", what a passage takes from it."""
    return -values[output] if outputs[output] == "" else values[output]


def positive(values: Scores, outputs: Sequence[str], output: int) -> Scores:
    """The positive values, summed over all answers but "no answer"."""
    return np.maximum(values[_answers(outputs)], 0.0).sum(axis=0)


OF_VALUES: dict[str, ScoreOfValues] = {"value": value, "positive": positive}
"""The scores that are read from values alone; "pivots" is read from the pivots."""


def _answers(outputs: Sequence[str]) -> list[int]:
    return [index for index, output in enumerate(outputs) if output != ""]


def _pivots(attribution: Attribution) -> Scores:
    """How often a passage changes the answer to something, "no answer" excepted (the score of TextGenSHAP's script)."""
    if attribution.pivots is None:
        raise SettingsError(
            f"rerank.score: estimator {attribution.estimator!r} gives no pivots; "
            "use value or positive, or attribution.estimator=permutation"
        )
    return attribution.pivots[_answers(attribution.outputs)].sum(axis=0)


def passage_scores(attribution: Attribution, score: str = DEFAULT_SCORE) -> Scores:
    """The score of each passage, `(n_passages,)`.

    Raises:
        SettingsError: the score is unknown, or the attribution lacks the pivots that it needs.
    """
    if score not in SCORES:
        raise SettingsError(f"rerank.score: {score!r} is unknown; known: {', '.join(SCORES)}")
    if score in OF_VALUES:
        return OF_VALUES[score](attribution.values, attribution.outputs, attribution.output)
    return _pivots(attribution)


def needs_pivots(score: str) -> bool:
    """Whether a score is read from pivots, which not every estimator gives."""
    return score == "pivots"


def influence_order(attribution: Attribution, relevance: Scores) -> list[int]:
    """Passages by the mean of two ranks: that of their largest value for any answer, and that of their relevance."""
    influence = np.abs(attribution.values).max(axis=0)
    ranks = mean_ranks(-influence.round(3)) + mean_ranks(-relevance)
    order: list[int] = np.argsort(ranks, kind="stable").tolist()
    return order


def mean_ranks(keys: Scores) -> Scores:
    """Ranks from 0 in ascending order, `(n,)`; equal keys share the mean of their ranks."""
    below = (keys[None, :] < keys[:, None]).sum(axis=1)
    equal = (keys[None, :] == keys[:, None]).sum(axis=1)
    return below + (equal - 1) / 2
