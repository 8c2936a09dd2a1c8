"""Tables and curves from the kept measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from eval.attribution.methods import PAIR_METHODS
from eval.attribution.settings import AttributionRun
from eval.comparison import ComparisonResult, coverage_notes, make_rows

GRID = np.linspace(0, 1, 21)
"""Fractions of the passages at which curves are averaged over questions."""


class Cost(NamedTuple):
    """Of a method alone, per question on average: distinct coalitions read, and seconds."""

    evaluations: float
    seconds: float


@dataclass(frozen=True)
class AttributionResult(ComparisonResult):
    """The methods' rows, curves and scores.

    A method's curves are "deletion" and "insertion": the mean probability of the answer at `GRID`.

    Attributes:
        costs: by method.
    """

    FORMAT = "ragshap-attribution-evaluation"

    costs: Mapping[str, Cost]

    def to_dict(self) -> dict[str, Any]:
        """As for every comparison, with the costs and where the curves were read."""
        costs = {method: cost._asdict() for method, cost in self.costs.items()}
        return {**super().to_dict(), "curves": {"at": GRID.tolist(), **self.curves}, "costs": costs}


def summarise(
    run: AttributionRun,
    records: Sequence[Mapping[str, Any]],
    made_with: Mapping[str, Any],
    warnings: Sequence[str],
) -> AttributionResult:
    """The result of a run from its questions' records."""
    table = {method: _scores(records, method) for method in run.systems()}
    base = run.baseline()
    bases = {method: None if method == base else base for method in table}
    return AttributionResult(
        run=run,
        rows=tuple(make_rows(table, bases, run.report)),
        costs={method: cost for method in table if (cost := _cost(records, method)) is not None},
        curves={method: found for method in table if (found := _curves(records, method))},
        ids=tuple(record["id"] for record in records),
        scores=table,
        made_with=made_with,
        warnings=(*warnings, *_notes(run, records), *coverage_notes(table, len(records))),
    )


def _scores(records: Sequence[Mapping[str, Any]], method: str) -> dict[str, np.ndarray]:
    """By metric, each question's score, NaN where it has none."""
    own = [record["methods"].get(method, {}).get("measures", {}) for record in records]
    metrics = dict.fromkeys(metric for measures in own for metric in measures)
    return {
        metric: np.array([measures.get(metric) for measures in own], dtype=np.float64)  # None becomes NaN
        for metric in metrics
    }


def _cost(records: Sequence[Mapping[str, Any]], method: str) -> Cost | None:
    own = [record["methods"][method] for record in records if method in record["methods"]]
    if not own:
        return None
    return Cost(*(float(np.mean([costs[name] for costs in own])) for name in Cost._fields))


def _curves(records: Sequence[Mapping[str, Any]], method: str) -> dict[str, list[float]]:
    own = [record["methods"].get(method, {}) for record in records]
    found = {}
    for side in ("deletion", "insertion"):
        drawn = [np.interp(GRID, np.linspace(0, 1, len(c[side])), c[side]) for c in own if side in c]
        if drawn:
            found[side] = np.mean(drawn, axis=0).round(6).tolist()
    return found


def _notes(run: AttributionRun, records: Sequence[Mapping[str, Any]]) -> list[str]:
    n = len(records)
    count = {kind: sum(record["reference"] == kind for record in records) for kind in ("exact", "sampled")}
    bare = sum(not record["passages"] for record in records)
    unanswered = sum(record["answer"] == "" and bool(record["passages"]) for record in records)
    unpaired = sum(
        len(record["relevant"]) > 1 and len(record["passages"]) > 2 and not set(PAIR_METHODS) & set(record["methods"])
        for record in records
    )
    absent = sum(len(set(record["relevant"]) - set(record["passages"])) for record in records)
    notes = {
        f"reference values are exact in {count['exact']} questions": count["exact"],
        f"reference values are estimates from {run.reference:,} coalitions in {count['sampled']}": count["sampled"],
        f"{unanswered} of {n} questions are not answered by the reader: they count for evidence alone": unanswered,
        f"{bare} of {n} questions have no passages and are left out": bare,
        f"{unpaired} questions have too many passages for interactions at a budget of {run.budget}": (
            unpaired if set(PAIR_METHODS) & set(run.systems()) else 0
        ),
        f"{absent} passages that are marked as evidence are not among their question's passages": absent,
    }
    return [note for note, counted in notes.items() if counted]
