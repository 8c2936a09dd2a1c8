"""Scores of ranked passages, question by question."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.statistics import Floats
from rag.settings_base import SettingsError

WHOLE = 1000  # passages of a question in a run, as trec_eval and TREC's tracks have it


def first_rank(passages: Sequence[str], counting: set[str]) -> float:
    """Rank from 1 of the first passage that counts; infinity if none does."""
    return next((float(rank) for rank, name in enumerate(passages, start=1) if name in counting), math.inf)


def recall(ranks: Floats, k: int) -> Floats:
    """Per question, 1 if a passage that counts is among the first k, else 0: `(n_questions,)`."""
    return (ranks <= k).astype(np.float64)


def area_under_recall(ranks: Floats, k: int) -> Floats:
    """Per question, the mean of recall at 1 to k (AUC@k; its mean over questions is the area under their curve)."""
    return np.maximum(0.0, k + 1 - ranks) / k


def parse_metrics(names: Sequence[str], retrieve: int | None = None) -> dict[str, Any]:
    """ir_measures' measures by their own names.

    Args:
        names: of the measures.
        retrieve: how many passages are ranked. Where these are fewer than 1,000, a measure of the whole ranking says so
            in its name, as in "AP@50", if it can have a cut-off.

    Raises:
        SettingsError: a name is unknown, or its cut-off is below 1 or deeper than `retrieve`.
    """
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
            reason = _meant(name) or f"({error})"
            raise SettingsError(f"report.metrics: {name!r} is no measure of ir_measures {reason}") from None
        if not supported:
            raise SettingsError(f"report.metrics: no installed package computes {name!r}; write it as in nDCG@10")
        cutoff = measure.params.get("cutoff")
        if cutoff is not None and cutoff < 1:
            raise SettingsError(f"report.metrics: {name!r} reads {cutoff} passages; write 1 or more after the @")
        if retrieve is not None and cutoff is not None and cutoff > retrieve:
            raise SettingsError(
                f"report.metrics: {name} needs more than the {retrieve} passages of `retrieve`; raise it"
            )
        if retrieve is not None and retrieve < WHOLE and cutoff is None and "cutoff" in measure.SUPPORTED_PARAMS:
            measure = measure(cutoff=retrieve)
        measures[str(measure)] = measure
    return measures


def depths_of_metrics(names: Sequence[str]) -> tuple[int, int]:
    """How many passages the measures need, by their cut-offs, and how many they ask for.

    A measure of the whole ranking asks for TREC's 1,000 and needs none: over fewer it has another name.
    """
    cutoffs = [measure.params.get("cutoff") for measure in parse_metrics(names).values()]
    needed = max((cutoff for cutoff in cutoffs if cutoff is not None), default=0)
    return needed, max(needed, WHOLE if None in cutoffs else 0)


def _meant(name: str) -> str:
    """What to write instead of a name that trec_eval has, or of one in other letter case; "" if that is unknown."""
    import ir_measures

    try:
        found = ir_measures.parse_trec_measure(name)
    except ValueError:
        known = {one.lower(): one for one in reversed(ir_measures.measures.registry)}
        stem, at, cutoff = name.partition("@")
        own = known.get(stem.lower())
        return f"; write {own}{at}{cutoff}" if own not in (None, stem) else ""
    return f"but of trec_eval; write {' or '.join(map(str, found[:3]))}"


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
    # The helper programs of some measures read ids that are numbers or hold no space, so that all ids are numbered.
    names = {one: f"d{n}" for n, one in enumerate({p for ids in (*ranked.values(), *qrels.values()) for p in ids})}
    judged, run = {}, {}
    for place, (question, passages) in enumerate(ranked.items(), start=1):
        grades = qrels.get(question, {})
        if any(grade > 0 for grade in grades.values()):
            judged[str(place)] = {names[passage]: grade for passage, grade in grades.items()}
            run[str(place)] = {names[passage]: -float(rank) for rank, passage in enumerate(passages)}
    scores = {name: np.full(len(ranked), math.nan) for name in measures}
    by_found = [measure for measure in measures.values() if measure.NAME == "Judged"]  # fractions of what is found
    others = [measure for measure in measures.values() if measure not in by_found]
    for measure in by_found:
        scores[str(measure)][[int(place) - 1 for place in judged]] = 0
    for some, ranked_here in ((others, run), (by_found, {place: own for place, own in run.items() if own})):
        for metric in _calculated(some, judged, ranked_here) if some and ranked_here else ():
            scores[str(metric.measure)][int(metric.query_id) - 1] = metric.value
    return scores


def _calculated(measures: list[Any], judged: Mapping[str, Any], run: Mapping[str, Any]) -> list[Any]:
    import ir_measures

    try:
        return list(ir_measures.iter_calc(measures, judged, run))
    except (OSError, subprocess.CalledProcessError) as error:
        raise SettingsError(
            f"report.metrics: the program that computes one of {', '.join(map(str, measures))} failed ({error}); leave "
            "that measure out, or install what it needs, which is perl for ERR"
        ) from None
