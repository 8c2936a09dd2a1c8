"""How alike two scorings of the same passages are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from attribution.attribution import descending
from rag.scores import Scores

_FIRST = 5


def spearman(scores: Scores, truth: Scores) -> float:
    """Spearman's rank correlation; 0 for constant scores, which rank nothing; NaN for a constant truth."""
    from scipy.stats import spearmanr

    return _correlation(spearmanr, scores, truth)


def kendall(scores: Scores, truth: Scores) -> float:
    """Kendall's tau-b, with the same conventions."""
    from scipy.stats import kendalltau

    return _correlation(kendalltau, scores, truth)


def _correlation(measure: Callable[[Scores, Scores], tuple[float, float]], scores: Scores, truth: Scores) -> float:
    scores, truth = _rounded(scores), _rounded(truth)
    if len(truth) < 2 or np.ptp(truth) == 0:
        return math.nan
    return 0.0 if np.ptp(scores) == 0 else float(measure(scores, truth)[0])


def _rounded(scores: Scores) -> Scores:
    """Without the differences that rounding makes between equal players."""
    scale = np.abs(scores).max(initial=0.0)
    return np.round(scores / scale, 9) if scale > 0 else scores


def stability(runs: Sequence[Scores]) -> dict[str, float]:
    """Agreement of scores with other seeds: means over pairs of runs of Spearman's correlation and of the overlap.

    The overlap is the fraction of the first 5 passages that both runs share. Two constant runs agree wholly, a constant
    and another not at all.
    """
    correlations, overlaps = [], []
    for one, other in combinations(runs, 2):
        constant = [np.ptp(_rounded(scores)) == 0 for scores in (one, other)]
        correlations.append(float(all(constant)) if any(constant) else spearman(one, other))
        first = [set(descending(scores)[:_FIRST].tolist()) for scores in (one, other)]
        overlaps.append(len(first[0] & first[1]) / len(first[0]))
    return {"stability": float(np.mean(correlations)), f"overlap@{_FIRST}": float(np.mean(overlaps))}
