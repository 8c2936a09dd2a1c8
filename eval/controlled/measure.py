"""Whether a reader plays a case as it was meant, and whether the methods' scores say so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from attribution import normalize_answer
from attribution.estimator import SEMIVALUES
from eval.attribution.methods import QuestionMethods, is_sampled, parse_method
from eval.controlled.cases import Case, Side
from eval.controlled.settings import ControlledRun
from eval.retrieval.scoring import ScoredSession, attribute
from eval.runner import cut_fields
from rag.readers import Reader
from rag.scores import Scores, passage_scores
from rag.session import Session

_TOLERANCE = 1e-4  # differences below it are rounding, of log-probabilities in single precision above all
_SIGNLESS = ("relevance", "random")  # their zero does not mean "no effect", so that shares of them mean nothing
_DIGITS = 6


def measure_cases(run: ControlledRun, reader: Reader, name: str, cases: Sequence[Case]) -> dict[str, Any]:
    """The record of the first of some cases that the reader plays.

    Args:
        run: methods and budget.
        reader: the reader.
        name: the record's id.
        cases: of one game and one question; perhaps none.

    Returns:
        `id` and `game`; if the reader plays one, also `question`, `answer`, `passages` (their ids), what was cut (see
        `cut_fields`), `targets` and `against` (their places), and by method in `methods`: `scores`,
        `errors` (None if it has none) and `measures`.
    """
    record: dict[str, Any] = {"id": name, "game": name.partition("/")[0]}
    for case in cases:
        session = ScoredSession(reader, case.question.text, case.passages, run.sampled(run.seed), len(run.systems()))
        side = played_side(session, case)
        if side is not None:
            measured = {method: _measured(run, session, case, side, method) for method in run.systems()}
            return record | {
                "question": case.question.text,
                "answer": session.answer,
                "passages": [passage.id for passage in case.passages],
                **cut_fields(session.encoded),
                "targets": list(side.targets),
                "against": list(side.against),
                "methods": measured,
            }
    return record


def played_side(session: Session, case: Case) -> Side | None:
    """The side whose answer the reader gives, if that answer depends on the targets as meant.

    While all other passages are there, the reader must give the answer if any target is there (if all are, where all
    are needed), and not otherwise. So an answer that the reader knows by heart, or reads elsewhere, does not count.
    """
    given = normalize_answer(session.answer)
    side = next((one for one in case.sides if given and given in map(normalize_answer, one.answers)), None)
    if side is None:
        return None
    subsets = np.array(list(product([False, True], repeat=len(side.targets))))
    rows = np.ones((len(subsets), session.n_read), dtype=np.bool_)
    rows[:, side.targets] = subsets
    enough = subsets.all(axis=1) if case.all_needed else subsets.any(axis=1)
    gives = [normalize_answer(answer) == given for answer in session.answers(rows)]
    return side if gives == enough.tolist() else None


def _measured(run: ControlledRun, session: ScoredSession, case: Case, side: Side, method: str) -> dict[str, Any]:
    scores, errors = score_with_errors(run, session, case.question.id, method)
    measures = side_measures(scores, errors, side, signed=method not in _SIGNLESS)
    return {
        "scores": _numbers(scores),
        "errors": None if errors is None else _numbers(errors),
        "measures": {name: None if math.isnan(value) else round(value, _DIGITS) for name, value in measures.items()},
    }


def score_with_errors(
    run: ControlledRun, session: ScoredSession, question: str, method: str
) -> tuple[Scores, Scores | None]:
    """Scores for the reader's answer and their standard errors, `(n_passages,)` each.

    Errors are 0 where nothing is sampled, and None where something is and the method gives none.
    """
    scoring = parse_method(method)
    if scoring is not None and scoring.semivalue in SEMIVALUES and scoring.mode in ("value", "likelihood"):
        attribution = attribute(session, scoring)
        return passage_scores(attribution, "value"), attribution.errors[attribution.output]
    methods = QuestionMethods(session, question, range(session.n_read), run.lasso_alpha)
    scores = methods(method, run.seed)().scores
    return scores, None if is_sampled(method) else np.zeros_like(scores)


def side_measures(scores: Scores, errors: Scores | None, side: Side, *, signed: bool = True) -> Mapping[str, float]:
    """What scores say of a side; all are 1 at best but `elsewhere`, which is 0.

    - `first`: 1 if every target scores above every other passage; a tie counts as 0.
    - `equal`, of two targets: 1 if their scores are within two standard errors of equal. The standard error of the
      difference is taken as the sum of both: that is its upper limit for any correlation, and what it is for two
      copies in an ordering, of which one gains what the other loses.
    - `last`: 1 if every passage that speaks for another answer scores below every passage that does not.
    - `elsewhere`: the share of the absolute scores that falls on passages without any bearing. Scores that are all 0
      tell nothing apart and count as equal ones.

    Args:
        scores: `(n_passages,)`.
        errors: their standard errors; None leaves out `equal`.
        side: the right attribution.
        signed: whether a score of 0 says that a passage has no effect; otherwise `elsewhere` is left out.
    """
    tolerance = _TOLERANCE * max(1.0, float(np.abs(scores).max()))
    target, against = (np.isin(np.arange(len(scores)), places) for places in (side.targets, side.against))
    found = {"first": float(scores[target].min() > scores[~target].max() + tolerance)}
    if len(side.targets) == 2 and errors is not None:
        one, other = side.targets
        found["equal"] = float(abs(scores[one] - scores[other]) <= 2 * (errors[one] + errors[other]) + tolerance)
    if side.against:
        found["last"] = float(scores[against].max() < scores[~against].min() - tolerance)
    weights = np.abs(scores) if np.abs(scores).sum() > tolerance else np.ones(len(scores))
    if signed:
        found["elsewhere"] = float(weights[~(target | against)].sum() / weights.sum())
    return found


def _numbers(values: Scores) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]
