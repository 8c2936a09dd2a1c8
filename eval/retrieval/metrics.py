"""Scores of ranked passages, question by question."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.statistics import Floats
from rag.settings_base import SettingsError


def first_rank(passages: Sequence[str], counting: set[str]) -> float:
    """Rank from 1 of the first passage that counts; infinity if none does."""
    return next((float(rank) for rank, name in enumerate(passages, start=1) if name in counting), math.inf)


def recall(ranks: Floats, k: int) -> Floats:
    """Per question, 1 if a passage that counts is among the first k, else 0: `(n_questions,)`."""
    return (ranks <= k).astype(np.float64)


def area_under_recall(ranks: Floats, k: int) -> Floats:
    """Per question, the mean of recall at 1 to k (AUC@k; its mean over questions is the area under their curve)."""
    return np.maximum(0.0, k + 1 - ranks) / k


def parse_metrics(names: Sequence[str]) -> dict[str, Any]:
    """ir_measures' measures by their own names; raises `SettingsError` for what it does not know."""
    if not names:
        return {}
    try:
        import ir_measures
    except ImportError as error:
        raise ImportError("measures by qrels need ir_measures: pip install 'ragshap[eval]'") from error
    measures = {}
    for name in names:
        try:
            measure = ir_measures.parse_measure(name)
            supported = ir_measures.DefaultPipeline.supports(measure)
        except (NameError, ValueError, SyntaxError, TypeError, AssertionError, KeyError) as error:
            raise SettingsError(f"report.metrics: {name!r} is no measure of ir_measures ({error})") from None
        if not supported:
            raise SettingsError(f"report.metrics: no installed package computes {name!r}; write it as in nDCG@10")
        measures[str(measure)] = measure
    return measures


def score_by_qrels(
    measures: Mapping[str, Any], ranked: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]]
) -> dict[str, Floats]:
    """Each measure per question in the order of `ranked`, `(n_questions,)`; NaN where nothing is judged relevant.

    Args:
        measures: of `parse_metrics`.
        ranked: passage ids, best first, by question.
        qrels: relevance by question and passage.
    """
    if not measures:
        return {}
    import ir_measures

    judged = {name: dict(qrels[name]) for name in ranked if any(g > 0 for g in qrels.get(name, {}).values())}
    run = {name: {p: -float(rank) for rank, p in enumerate(ranked[name])} for name in judged}
    places = {name: place for place, name in enumerate(ranked)}
    scores = {name: np.full(len(ranked), math.nan) for name in measures}
    if judged:
        for metric in ir_measures.iter_calc(list(measures.values()), judged, run):
            scores[str(metric.measure)][places[metric.query_id]] = metric.value
    return scores
