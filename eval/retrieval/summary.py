"""Tables and curves from the kept rankings: means, intervals, and tests against a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.comparison import ComparisonResult, Row, Table, coverage_notes, make_rows
from eval.retrieval.metrics import WHOLE, area_under_recall, first_rank, parse_metrics, recall, score_by_qrels
from eval.retrieval.settings import ReportSettings, RetrievalRun
from eval.retrieval.task import Task
from eval.statistics import Floats


@dataclass(frozen=True)
class RetrievalRow(Row):
    """One metric of one system: "recall@k", "AUC@k", or a measure of ir_measures, as a fraction.

    Attributes:
        headroom: for AUC@k, the fraction gained of what reordering the baseline's first k passages could gain:
            difference / (the baseline's recall@k less its AUC@k).
    """

    headroom: float | None = None


@dataclass(frozen=True)
class RetrievalResult(ComparisonResult):
    """The systems' rows, recall at 1, 2, ... as curves, and scores.

    Attributes:
        evaluations: by reranking system, how many distinct coalitions were read per question, on average.
    """

    FORMAT = "ragshap-retrieval"

    rows: Sequence[RetrievalRow]
    evaluations: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As for every comparison, with the evaluations."""
        return {**super().to_dict(), "evaluations": dict(self.evaluations)}


def summarise(
    run: RetrievalRun,
    task: Task,
    records: Sequence[Mapping[str, Any]],
    made_with: Mapping[str, Any],
    warnings: Sequence[str],
) -> RetrievalResult:
    """The result of a run from its questions' records."""
    bases = run.systems()
    if run.report.baseline is not None:
        bases = {name: None if name == run.report.baseline else run.report.baseline for name in bases}
    kept = run.kept()
    measures = parse_metrics(run.report.metrics, kept)
    depth = max(run.report.k)
    table: dict[str, dict[str, Floats]] = {}
    curves = {}
    for system in bases:
        ranked = {record["id"]: record["systems"][system]["passages"] for record in records}
        ranks = np.array([first_rank(ranked[record["id"]], set(record["found"])) for record in records])
        table[system] = {f"recall@{k}": recall(ranks, k) for k in sorted(set(run.report.k))}
        table[system][f"AUC@{depth}"] = area_under_recall(ranks, depth)
        table[system] |= score_by_qrels(measures, ranked, task.qrels)
        curves[system] = [float(recall(ranks, k).mean()) for k in range(1, run.shown() + 1)]
    if cut := [name for name, measure in measures.items() if measure.params.get("cutoff") is None and kept < WHOLE]:
        warnings = [*warnings, f"{', '.join(cut)}: of the first {kept} passages (retrieve)"]
    unknown = sum(record["unknown"] for record in records)
    if unknown:
        warnings = [*warnings, f"{unknown} relevant passages are not in the corpus"]
    return RetrievalResult(
        run=run,
        rows=tuple(retrieval_rows(table, bases, run.report)),
        curves=curves,
        ids=tuple(record["id"] for record in records),
        scores=table,
        evaluations=_evaluations(records, bases),
        made_with=made_with,
        warnings=(*warnings, *coverage_notes(table, len(records))),
    )


def retrieval_rows(table: Table, bases: Mapping[str, str | None], report: ReportSettings) -> list[RetrievalRow]:
    """As `eval.comparison.make_rows`, with the headroom."""
    rows = make_rows(table, bases, report)
    return [RetrievalRow(**vars(row), headroom=_headroom(table, row)) for row in rows]


def _headroom(table: Table, row: Row) -> float | None:
    kind, _, k = row.metric.partition("@")
    if kind != "AUC" or row.baseline is None or row.difference is None:
        return None
    base = table[row.baseline]
    room = (base[f"recall@{k}"] - base[row.metric]).mean()
    return float(row.difference / room) if room > 0 else None


def _evaluations(records: Sequence[Mapping[str, Any]], systems: Mapping[str, Any]) -> dict[str, float]:
    counts = {system: [record["systems"][system].get("evaluations") for record in records] for system in systems}
    return {system: float(np.mean(own)) for system, own in counts.items() if None not in own}
