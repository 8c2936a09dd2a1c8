"""Everything that is measured of one question."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from attribution import Attribution
from attribution.exact import MAX_PLAYERS
from attribution.interactions import minimum_budget
from eval.attribution.agreement import kendall, spearman, stability
from eval.attribution.evidence import evidence, pair_evidence
from eval.attribution.faithfulness import curve_measures, curves, datamodelling_score, drop_and_hold
from eval.attribution.methods import (
    PAIR_METHODS,
    Costed,
    QuestionMethods,
    is_sampled,
    parse_method,
    random_coalitions,
)
from eval.attribution.settings import AttributionRun
from eval.retrieval.scoring import ScoredSession, attribute, parse_scoring
from eval.runner import cut_fields
from rag.questions import Question
from rag.readers import Reader
from rag.scores import Scores
from retrievers import Passage

_DIGITS = 6


def measure_question(
    run: AttributionRun,
    reader: Reader,
    question: Question,
    passages: Sequence[Passage],
    ranks: Sequence[int],
    relevant: Collection[str],
) -> dict[str, Any]:
    """Scores, costs and measures of all methods.

    A question that the reader does not answer has no faithfulness: only the evidence is measured. Faithfulness and
    agreement need two passages, pairs three.

    Args:
        run: methods, budget, seeds and measures.
        reader: the reader.
        question: the question.
        passages: its passages.
        ranks: the retriever's rank of each.
        relevant: ids of the passages that are marked as evidence.

    Returns:
        Of a question: `answer`, `passages`, what was cut (see `cut_fields`), `relevant`,
        `reference` ("exact" or "sampled", None if there is none) and
        `methods`; of a method: `scores`, `evaluations`, `seconds`, `measures` and curves of probability.
    """
    session = ScoredSession(reader, question.text, passages, run.sampled(run.seeds[0]))
    methods, n = QuestionMethods(session, question.id, ranks, run.lasso_alpha), len(passages)
    names, marked = [passage.id for passage in passages], set(relevant)
    faithful, pairs = n >= 2 and session.answer != "", n >= 3 and len(marked) >= 2
    agreement = faithful and "agreement" in run.measures
    reference = _reference(run, session) if agreement else {}
    wanted = [
        name
        for name in (run.systems() if n else ())
        if name not in PAIR_METHODS or (pairs and minimum_budget(n) <= min(run.budget, 2**n))
    ]
    pending = {name: methods(name, run.seeds[0]) for name in wanted}
    repeated = {
        name: [methods(name, seed)().scores for seed in run.seeds[1:]]
        for name in wanted
        if faithful and is_sampled(name)
    }
    costed = {name: cost() for name, cost in pending.items()}
    records = {}
    for name, found in costed.items():
        measures: dict[str, float] = {}
        drawn: dict[str, list[float]] = {}
        if "evidence" in run.measures:
            if marked and name not in PAIR_METHODS:
                measures |= evidence(found.scores, names, marked)
            if pairs:
                measures |= pair_evidence(found.scores, names, marked)
        if faithful and name not in PAIR_METHODS:
            if "drop" in run.measures:
                measures |= drop_and_hold(session.game("likelihood"), found.scores)
            if "curves" in run.measures:
                likelihood, votes = (curves(session.game(utility), found.scores) for utility in ("likelihood", "votes"))
                measures |= curve_measures(likelihood, votes)
                drawn = {side: _numbers(np.exp(curve)) for side, curve in likelihood._asdict().items()}
            if "LDS" in run.measures:
                measures["LDS"] = _datamodelling_score(run, session, found.scores)
            if agreement:
                measures |= _agreement(run, session, name, found.scores, reference)
            measures |= stability([found.scores, *repeated[name]]) if repeated.get(name) else {}
        records[name] = _record(found, measures) | drawn
    return {
        "id": question.id,
        "question": question.text,
        "answer": session.answer,
        "passages": names,
        **cut_fields(session.encoded),
        "relevant": sorted(marked),
        "reference": ("exact" if _is_exact(run, n) else "sampled") if agreement else None,
        "methods": records,
    }


def _reference(run: AttributionRun, session: ScoredSession) -> dict[str, Scores]:
    """Shapley values of the answer by utility, exact where that is affordable; sampled with a seed of their own."""
    names = {"votes": "shapley", "likelihood": "shapley:likelihood"}
    seed, budget = max(run.seeds) + 1, run.reference
    return {
        utility: _of_answer(attribute(session, parse_scoring(name), seed=seed, budget=budget))
        for utility, name in names.items()
    }


def _of_answer(attribution: Attribution) -> Scores:
    return attribution.of(attribution.output)


def _datamodelling_score(run: AttributionRun, session: ScoredSession, scores: Scores) -> float:
    n = session.n_read
    rows = random_coalitions(n, min(run.coalitions, 2**n), np.random.default_rng([run.seeds[0], n]))
    return datamodelling_score(scores, rows, session.likelihoods(rows, [session.answer])[:, 0])


def _agreement(
    run: AttributionRun, session: ScoredSession, name: str, scores: Scores, reference: Mapping[str, Scores]
) -> dict[str, float]:
    """Rank correlation with the reference, and of sampled semivalues with the exact ones that they estimate."""
    found = {}
    for utility, values in reference.items():
        found[f"spearman:{utility}"] = spearman(scores, values)
        found[f"kendall:{utility}"] = kendall(scores, values)
    scoring = parse_method(name) if is_sampled(name) else None
    if scoring is not None and scoring.mode in ("value", "likelihood") and _is_exact(run, session.n_read):
        own = _of_answer(attribute(session, scoring, budget=run.reference))
        found |= {"spearman:own": spearman(scores, own), "kendall:own": kendall(scores, own)}
    return found


def _is_exact(run: AttributionRun, n_passages: int) -> bool:
    """Whether reference values are exact."""
    return n_passages <= MAX_PLAYERS and 2**n_passages <= run.reference


def _record(found: Costed, measures: Mapping[str, float]) -> dict[str, Any]:
    record = {
        "evaluations": found.evaluations,
        "seconds": round(found.seconds, 4),
        "measures": {name: None if math.isnan(value) else round(value, _DIGITS) for name, value in measures.items()},
    }
    return record | ({"scores": _numbers(found.scores)} if found.scores.ndim == 1 else {})


def _numbers(values: Scores) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]
