"""Everything that is measured of one question."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from attribution.exact import MAX_PLAYERS
from attribution.interactions import minimum_budget
from eval.attribution.agreement import kendall, spearman, stability
from eval.attribution.evidence import evidence, pair_evidence
from eval.attribution.faithfulness import curve_measures, curves, datamodelling_score
from eval.attribution.methods import (
    PAIR_METHODS,
    Costed,
    QuestionMethods,
    is_sampled,
    parse_method,
    random_coalitions,
)
from eval.attribution.settings import AttributionRun
from eval.retrieval.scoring import CandidateScores, parse_scoring
from rag.questions import Question
from rag.readers import Reader
from rag.scores import Scores
from retrievers import Passage

UTILITIES = ("votes", "likelihood")
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
        run: methods, budget and seeds.
        reader: the reader.
        question: the question.
        passages: its passages.
        ranks: the retriever's rank of each.
        relevant: ids of the passages that are marked as evidence.

    Returns:
        Of a question: `answer`, `passages`, `relevant`, `reference` ("exact" or "sampled", None if there is none) and
        `methods`; of a method: `scores`, `evaluations`, `seconds`, `measures` and curves of probability.
    """
    methods = QuestionMethods(reader, (question.id, question.text), passages, ranks, run.sampling(), run.lasso_alpha)
    session, candidates, n = methods.session, methods.candidates, len(passages)
    names = [passage.id for passage in passages]
    faithful = n >= 2 and session.answer != ""
    reference = _reference(run, candidates) if faithful else {}
    pairs = n >= 3 and len(relevant) >= 2
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
    measures: dict[str, dict[str, float]] = {name: {} for name in wanted}
    drawn: dict[str, dict[str, Any]] = {}
    for name, found in costed.items():
        if relevant:
            single = {} if name in PAIR_METHODS else evidence(found.scores, names, set(relevant))
            measures[name] |= single | (pair_evidence(found.scores, names, set(relevant)) if pairs else {})
    if faithful:
        rows = random_coalitions(n, min(run.coalitions, 2**n), np.random.default_rng([run.seeds[0], n]))
        worth = np.asarray(session.game("likelihood")(rows))[:, 0]
        for name, found in costed.items():
            if name in PAIR_METHODS:
                continue
            along = [curves(session.game(utility), found.scores) for utility in ("likelihood", "votes")]
            measures[name] |= curve_measures(*along)
            measures[name]["LDS"] = datamodelling_score(found.scores, rows, worth)
            measures[name] |= _agreement(run, candidates, name, found.scores, reference)
            if repeated.get(name):
                measures[name] |= stability([found.scores, *repeated[name]])
            drawn[name] = {side: _numbers(np.exp(curve)) for side, curve in along[0]._asdict().items()}
    return {
        "id": question.id,
        "question": question.text,
        "answer": session.answer,
        "passages": names,
        "relevant": sorted(relevant),
        "reference": ("exact" if _is_exact(run, n) else "sampled") if faithful else None,
        "methods": {name: _record(costed[name], measures[name]) | drawn.get(name, {}) for name in wanted},
    }


def _reference(run: AttributionRun, candidates: CandidateScores) -> dict[str, Scores]:
    """Shapley values of the answer by utility, exact where that is affordable; sampled with a seed of their own."""
    found = {}
    for utility in UTILITIES:
        scoring = parse_scoring("shapley" if utility == "votes" else "shapley:likelihood")
        found[utility] = candidates.attribution(scoring, seed=max(run.seeds) + 1, budget=run.reference).of(0)
    return found


def _agreement(
    run: AttributionRun, candidates: CandidateScores, name: str, scores: Scores, reference: Mapping[str, Scores]
) -> dict[str, float]:
    """Rank correlation with the reference, and of sampled semivalues with the exact ones that they estimate."""
    found = {}
    for utility, values in reference.items():
        found[f"spearman:{utility}"] = spearman(scores, values)
        found[f"kendall:{utility}"] = kendall(scores, values)
    scoring = parse_method(name) if is_sampled(name) else None
    if scoring is not None and scoring.mode in ("value", "likelihood") and _is_exact(run, candidates.session.n_read):
        own = candidates.attribution(scoring, budget=run.reference).of(0)
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
