"""Tables and curves from the kept rankings: means, intervals, and tests against a baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.comparison import Row, make_rows
from eval.records import save_json
from eval.retrieval.metrics import area_under_recall, first_rank, parse_metrics, recall, score_by_qrels
from eval.retrieval.settings import ReportSettings, RetrievalRun
from eval.retrieval.task import Task
from rag.settings_base import SettingsError

FORMAT = "ragshap-retrieval"
VERSION = 1

Floats = NDArray[np.float64]
Table = dict[str, dict[str, Floats]]
"""By system and metric, the score of each question, NaN where it has none."""


@dataclass(frozen=True)
class RetrievalRow(Row):
    """One metric of one system: "recall@k", "AUC@k", or a measure of ir_measures, as a fraction.

    Attributes:
        headroom: for AUC@k, the part closed of what reordering the baseline's first k passages could gain:
            difference / (the baseline's recall@k less its AUC@k).
    """

    headroom: float | None = None


@dataclass(frozen=True)
class RetrievalResult:
    """All rows, recall curves and scores of a run, and what produced them.

    Attributes:
        run: the run.
        rows: system by system.
        curves: recall at 1, 2, ... by system.
        ids: of the questions, in the order of `scores`.
        scores: by system and metric, each question's score.
        evaluations: by reranking system, how many distinct coalitions were read per question, on average.
        made_with: settings, checksums of files and reader, versions.
        warnings: what was left out or counts as not found.
    """

    run: RetrievalRun
    rows: tuple[RetrievalRow, ...]
    curves: Mapping[str, list[float]]
    ids: tuple[str, ...]
    scores: Table
    evaluations: Mapping[str, float]
    made_with: Mapping[str, Any]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers; NaN becomes None."""
        return {
            "format": FORMAT,
            "version": VERSION,
            **self.made_with,
            "report": self.run.report.model_dump(mode="json"),
            "warnings": list(self.warnings),
            "rows": [asdict(row) for row in self.rows],
            "curves": dict(self.curves),
            "evaluations": dict(self.evaluations),
            "questions": list(self.ids),
            "scores": {
                system: {
                    metric: [None if math.isnan(x) else round(x, 6) for x in values.tolist()]
                    for metric, values in metrics.items()
                }
                for system, metrics in self.scores.items()
            },
        }

    def save(self, path: Path) -> None:
        """Write `to_dict` as JSON, whole or not at all."""
        save_json(path, self.to_dict())


def summarise(
    run: RetrievalRun,
    task: Task,
    records: Sequence[Mapping[str, Any]],
    made_with: Mapping[str, Any],
    warnings: Sequence[str],
) -> RetrievalResult:
    """The result of a run from its questions' records; raises `SettingsError` for a baseline that is no system."""
    bases = run.systems()
    if run.report.baseline is not None:
        if run.report.baseline not in bases:
            raise SettingsError(f"report.baseline: {run.report.baseline!r} is no system; there are {', '.join(bases)}")
        bases = {name: None if name == run.report.baseline else run.report.baseline for name in bases}
    measures = parse_metrics(run.report.metrics)
    depth = max(run.report.k)
    table: Table = {}
    curves = {}
    for system in bases:
        ranked = {record["id"]: record["systems"][system]["passages"] for record in records}
        ranks = np.array([first_rank(ranked[record["id"]], set(record["found"])) for record in records])
        table[system] = {f"recall@{k}": recall(ranks, k) for k in sorted(set(run.report.k))}
        table[system][f"AUC@{depth}"] = area_under_recall(ranks, depth)
        table[system] |= score_by_qrels(measures, ranked, task.qrels)
        curves[system] = [float(recall(ranks, k).mean()) for k in range(1, run.kept() + 1)]
    unknown = sum(record["unknown"] for record in records)
    said = [*warnings, *([f"{unknown} relevant passages are not in the corpus"] if unknown else [])]
    return RetrievalResult(
        run=run,
        rows=tuple(retrieval_rows(table, bases, run.report)),
        curves=curves,
        ids=tuple(record["id"] for record in records),
        scores=table,
        evaluations=_evaluations(records, bases),
        made_with=made_with,
        warnings=tuple(said),
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
    asked = {system: [record["systems"][system].get("evaluations") for record in records] for system in systems}
    return {system: float(np.mean(counts)) for system, counts in asked.items() if None not in counts}
