"""Whether scores find the passages that are marked as evidence, and the pairs of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from attribution.attribution import descending
from eval.retrieval.metrics import parse_metrics, score_by_qrels
from rag.scores import Scores

PAIRS = "pairs.AP"


def evidence(scores: Scores, names: Sequence[str], relevant: set[str]) -> dict[str, float]:
    """Average precision, precision at the number of relevant passages, which is also the recall there, and nDCG@10.

    Args:
        scores: `(n_passages,)`.
        names: ids of the passages.
        relevant: ids of the relevant ones; those that are not among the passages count as not found.
    """
    ranked = [names[index] for index in descending(scores)]
    return _measure(["AP", "Rprec", "nDCG@10"], ranked, relevant)


def pair_evidence(scores: Scores, names: Sequence[str], relevant: set[str]) -> dict[str, float]:
    """Average precision of the pairs of passages, a pair being relevant if both are.

    Args:
        scores: of pairs, `(n_passages, n_passages)`; or of passages, `(n_passages,)`, a pair then having their sum.
        names: ids of the passages.
        relevant: ids of the relevant ones; fewer than two give nothing.
    """
    if len(relevant) < 2:
        return {}
    first, second = np.triu_indices(len(names), 1)
    worth = scores[first, second] if scores.ndim == 2 else scores[first] + scores[second]
    ranked = [_pair(names[first[index]], names[second[index]]) for index in descending(worth)]
    both = {_pair(one, other) for one, other in combinations(relevant, 2)}
    return {PAIRS: _measure(["AP"], ranked, both)["AP"]}


def _measure(measures: Sequence[str], ranked: Sequence[str], relevant: set[str]) -> dict[str, float]:
    found = score_by_qrels(parse_metrics(measures), {"q": ranked}, {"q": dict.fromkeys(relevant, 1)})
    return {name: float(values[0]) for name, values in found.items()}


def _pair(one: str, other: str) -> str:
    return " ".join(sorted((one, other)))
