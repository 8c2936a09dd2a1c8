"""Systems compared on the same questions: means with intervals, and tests against a baseline."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from eval.records import save_json
from eval.statistics import ComparisonSettings, Floats, bootstrap_intervals, holm, randomisation_test

Table = Mapping[str, Mapping[str, Floats]]
"""By system and metric, the score of each question, NaN where it has none."""

_Key = tuple[str, str, str | None]
"""System and metric, and the base whose scores are taken from the system's; None for the scores themselves."""


class BaselineSettings(ComparisonSettings):
    """The same, where one system may be named that all others are tested against."""

    baseline: str | None = None


@dataclass(frozen=True)
class Row:
    """One metric of one system, over the questions in which all systems have it.

    Attributes:
        system: name of the system.
        metric: name of the metric.
        questions: how many have a score.
        mean: of the scores.
        low: lower end of its bootstrap interval.
        high: upper end.
        baseline: the system compared with; None for one that is compared with none.
        difference: of the means, this system's less the baseline's.
        difference_low: lower end of its bootstrap interval.
        difference_high: upper end.
        p: of a two-sided paired randomisation test.
        p_holm: the same, corrected for the systems compared by this metric.
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


@dataclass(frozen=True)
class ComparisonResult:
    """Rows, curves and scores of a run, and what produced them.

    Attributes:
        run: the run; `run.report` says how systems were compared.
        rows: system by system.
        curves: by system, what is drawn.
        ids: of the questions, in the order of `scores`.
        scores: by system and metric, each question's score.
        made_with: settings, checksums of files and reader, versions.
        warnings: what was left out, or counts as not found.
    """

    FORMAT: ClassVar[str]
    VERSION: ClassVar[int] = 1

    run: Any
    rows: Sequence[Row]
    curves: Mapping[str, Any]
    ids: Sequence[str]
    scores: Table
    made_with: Mapping[str, Any]
    warnings: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers; NaN becomes None."""
        return {
            "format": self.FORMAT,
            "version": self.VERSION,
            **self.made_with,
            "report": self.run.report.model_dump(mode="json"),
            "warnings": list(self.warnings),
            "rows": [asdict(row) for row in self.rows],
            "curves": dict(self.curves),
            "questions": list(self.ids),
            "scores": {
                system: {
                    metric: [None if math.isnan(score) else round(score, 6) for score in scores.tolist()]
                    for metric, scores in own.items()
                }
                for system, own in self.scores.items()
            },
        }

    def save(self, path: Path) -> None:
        """Write `to_dict` as JSON, whole or not at all."""
        save_json(path, self.to_dict())


def make_rows(table: Table, bases: Mapping[str, str | None], settings: ComparisonSettings) -> list[Row]:
    """Means with intervals, and each system's difference from its base, tested.

    Args:
        table: the scores. A metric is compared between the systems that have it.
        bases: by system, the one that it is compared with; of a metric, where both have it.
        settings: draws, confidence and seed.
    """
    scored = {metric: _scored(table, metric) for own in table.values() for metric in own}
    columns: dict[_Key, Floats] = {}
    for system, own in table.items():
        for metric, scores in own.items():
            if scored[metric].any():
                columns[system, metric, None] = scores[scored[metric]]
                base = bases[system]
                if base is not None and metric in table[base]:
                    columns[system, metric, base] = (scores - table[base][metric])[scored[metric]]
    ends = _intervals(columns, scored, settings)
    p_values = {key: randomisation_test(columns[key], settings.draws, settings.seed) for key in columns if key[2]}
    corrected: dict[_Key, float] = {}
    for metric in scored:
        family = [key for key in p_values if key[1] == metric]
        corrected |= dict(zip(family, holm([p_values[key] for key in family]), strict=True))
    rows = {}
    for key, values in columns.items():
        system, metric, base = key
        if base is None:
            rows[system, metric] = Row(system, metric, len(values), float(values.mean()), *ends[key])
        else:
            low, high = ends[key]
            rows[system, metric] = replace(
                rows[system, metric],
                baseline=base,
                difference=float(values.mean()),
                difference_low=low,
                difference_high=high,
                p=p_values[key],
                p_holm=corrected[key],
            )
    return list(rows.values())


def coverage_notes(table: Table, n_questions: int) -> list[str]:
    """What to say of metrics in which not every question has a score of every system; one with none has no row."""
    metrics: dict[int, list[str]] = defaultdict(list)
    for metric in dict.fromkeys(metric for own in table.values() for metric in own):
        metrics[int(_scored(table, metric).sum())].append(metric)
    metrics.pop(n_questions, None)
    return [
        f"{', '.join(named)}: {count} of {n_questions} questions have a score, and the others are left out"
        for count, named in metrics.items()
    ]


def _scored(table: Table, metric: str) -> np.ndarray:
    """Which questions have a score of every system that has this metric, bool `(n_questions,)`."""
    scores = np.array([own[metric] for own in table.values() if metric in own])
    return ~np.isnan(scores).any(axis=0)


def _intervals(
    columns: Mapping[_Key, Floats],
    scored: Mapping[str, np.ndarray],
    settings: ComparisonSettings,
) -> dict[_Key, tuple[float, float]]:
    """Bootstrap interval of each column's mean; columns of the same questions share their resamples."""
    groups = defaultdict(list)
    for key in columns:
        groups[scored[key[1]].tobytes()].append(key)
    ends: dict[_Key, tuple[float, float]] = {}
    for keys in groups.values():
        together = np.column_stack([columns[key] for key in keys])
        low, high = bootstrap_intervals(together, settings.draws, settings.confidence, settings.seed)
        ends |= dict(zip(keys, zip(low.tolist(), high.tolist(), strict=True), strict=True))
    return ends
