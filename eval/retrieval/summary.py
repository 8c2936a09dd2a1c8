"""Tables and curves from the kept rankings: means, intervals, and tests against a baseline."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.retrieval.metrics import area_under_recall, first_rank, parse_metrics, recall, score_by_qrels
from eval.retrieval.settings import ReportSettings, RetrievalRun
from eval.retrieval.task import Task
from eval.statistics import bootstrap_intervals, holm, randomisation_test
from rag.settings import SettingsError

FORMAT = "ragshap-retrieval"
VERSION = 1

Floats = NDArray[np.float64]
Table = dict[str, dict[str, Floats]]
"""By system and metric, the score of each question, NaN where it has none."""


@dataclass(frozen=True)
class RetrievalRow:
    """One metric of one system, over all questions that have it.

    Attributes:
        system: name of the system.
        metric: "recall@k", "AUC@k", or a measure of ir_measures.
        questions: how many have a score.
        mean: of the scores, as fractions.
        low: lower end of its bootstrap interval.
        high: upper end.
        baseline: the system compared with; None for one that is compared with none.
        difference: of the means, this system's less the baseline's.
        difference_low: lower end of its bootstrap interval.
        difference_high: upper end.
        p: of a two-sided paired randomisation test.
        p_holm: the same, corrected for the systems compared by this metric.
        headroom: for AUC@k, the part closed of what reordering the baseline's first k passages could gain:
            difference / (the baseline's recall@k less its AUC@k).
    """

    system: str
    metric: str
    questions: int
    mean: float
    low: float
    high: float
    baseline: str | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    p_holm: float | None = None
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
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(
            json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1), encoding="utf-8"
        )
        os.replace(temporary, path)


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
        rows=tuple(make_rows(table, bases, run.report)),
        curves=curves,
        ids=tuple(record["id"] for record in records),
        scores=table,
        evaluations=_evaluations(records, bases),
        made_with=made_with,
        warnings=tuple(said),
    )


def make_rows(table: Table, bases: Mapping[str, str | None], report: ReportSettings) -> list[RetrievalRow]:
    """Means with intervals, and each system's difference from its base, tested."""
    systems = list(table)
    found: dict[tuple[str, str], RetrievalRow] = {}
    for metric in next(iter(table.values())):
        scores = np.column_stack([table[system][metric] for system in systems])
        scores = scores[~np.isnan(scores).any(axis=1)]
        if not len(scores):
            continue
        column = {system: scores[:, place] for place, system in enumerate(systems)}
        compared = [(system, base) for system, base in bases.items() if base is not None]
        gains = {system: column[system] - column[base] for system, base in compared}
        both = np.column_stack([scores, *gains.values()])
        low, high = bootstrap_intervals(both, report.draws, report.confidence, report.seed)
        p_values = [randomisation_test(gain, report.draws, report.seed) for gain in gains.values()]
        for place, system in enumerate(systems):
            ends = float(low[place]), float(high[place])
            found[system, metric] = RetrievalRow(system, metric, len(scores), float(scores[:, place].mean()), *ends)
        corrected = holm(p_values)
        for place, (system, base) in enumerate(compared):
            at = len(systems) + place
            row = found[system, metric]
            found[system, metric] = replace(
                row,
                baseline=base,
                difference=float(gains[system].mean()),
                difference_low=float(low[at]),
                difference_high=float(high[at]),
                p=p_values[place],
                p_holm=corrected[place],
                headroom=_headroom(table, metric, base, gains[system]),
            )
    return [found[name, metric] for name in systems for metric in table[name] if (name, metric) in found]


def _headroom(table: Table, metric: str, base: str, gains: Floats) -> float | None:
    kind, _, k = metric.partition("@")
    if kind != "AUC":
        return None
    room = (table[base][f"recall@{k}"] - table[base][metric]).mean()
    return float(gains.mean() / room) if room > 0 else None


def _evaluations(records: Sequence[Mapping[str, Any]], systems: Mapping[str, Any]) -> dict[str, float]:
    asked = {system: [record["systems"][system].get("evaluations") for record in records] for system in systems}
    return {system: float(np.mean(counts)) for system, counts in asked.items() if None not in counts}
