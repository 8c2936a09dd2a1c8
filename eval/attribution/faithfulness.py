"""Faithfulness: whether scores predict what the reader does when passages are taken away.

Of a question with n passages in the order of their scores: p is the probability of the answer from all passages, the
vote whether a coalition gives that answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attribution import Game
from attribution.attribution import descending
from eval.attribution.agreement import spearman
from rag.readers.base import Coalitions
from rag.scores import Scores

KEPT = (1, 3, 5)
"""Numbers of first passages that drop and hold take away or keep."""


class Curves(NamedTuple):
    """Worth, `(n_passages + 1,)`, with the first 0 ... n passages removed from all, or added to none."""

    deletion: Scores
    insertion: Scores


def prefixes(order: Sequence[int] | NDArray[np.intp]) -> Coalitions:
    """The coalitions of the first 0 ... n passages of an order, bool `(n + 1, n)`."""
    places = np.argsort(order)
    return places[None, :] < np.arange(len(order) + 1)[:, None]


def curves(game: Game, scores: Scores) -> Curves:
    """Output 0 of a game along the order of scores (Samek et al. 2017; Petsiuk et al. 2018)."""
    added = prefixes(descending(scores))
    worth = np.asarray(game(np.concatenate([~added, added])))[:, 0]
    return Curves(worth[: len(added)], worth[len(added) :])


def area(curve: Scores) -> float:
    """Area under a curve over the fraction of passages removed or added, 0 to 1, by trapezoids."""
    return float((curve[:-1] + curve[1:]).mean() / 2)


def curve_measures(log_probability: Curves, votes: Curves) -> dict[str, float]:
    """The areas under the curves."""
    found = {}
    for name in Curves._fields:
        found[name] = area(np.exp(getattr(log_probability, name)))
        found[f"{name}:votes"] = area(getattr(votes, name))
    return found


def drop_and_hold(game: Game, scores: Scores) -> dict[str, float]:
    """How much the log-probability drops without the first k passages, and how it holds with these alone.

    The drop is that of Cohen-Wang et al. (2024). SelfCite (Chuang et al. 2025) rewards the sum of both.

    Args:
        game: the answer's log-probability, output 0.
        scores: of the passages, `(n_passages,)`.
    """
    added = prefixes(descending(scores))[[min(k, len(scores)) for k in KEPT]]
    full, *worth = np.asarray(game(np.concatenate([np.ones_like(added[:1]), ~added, added])))[:, 0].tolist()
    removed, alone = worth[: len(KEPT)], worth[len(KEPT) :]
    found = {f"drop@{k}": full - left for k, left in zip(KEPT, removed, strict=True)}
    return found | {f"hold@{k}": held - full for k, held in zip(KEPT, alone, strict=True)}


def datamodelling_score(scores: Scores, coalitions: Coalitions, worth: Scores) -> float:
    """Spearman's correlation of coalitions' worth with the sums of their passages' scores (Park et al. 2023).

    The logit and the logarithm of a probability rank alike, so it makes no difference which of them is the worth.
    """
    return spearman(coalitions @ scores, worth)
