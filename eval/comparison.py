"""Systems compared on the same questions: means with intervals, and tests against a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from eval.statistics import ComparisonSettings, Floats, bootstrap_intervals, holm, randomisation_test

Table = Mapping[str, Mapping[str, Floats]]
"""By system and metric, the score of each question, NaN where it has none."""


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


def make_rows(table: Table, bases: Mapping[str, str | None], settings: BaselineSettings) -> list[Row]:
    """Means with intervals, and each system's difference from its base, tested.

    Args:
        table: the scores. A metric is compared between the systems that have it.
        bases: by system, the one that it is compared with; of a metric, where both have it.
        settings: draws, confidence and seed.
    """
    metrics = list(dict.fromkeys(metric for scores in table.values() for metric in scores))
    found = {metric: _compare(table, metric, bases, settings) for metric in metrics}
    return [found[metric][system] for system in table for metric in table[system] if system in found[metric]]


def _compare(table: Table, metric: str, bases: Mapping[str, str | None], settings: BaselineSettings) -> dict[str, Row]:
    systems = [system for system in table if metric in table[system]]
    scores = np.column_stack([table[system][metric] for system in systems])
    scores = scores[~np.isnan(scores).any(axis=1)]
    if not len(scores):
        return {}
    column = {system: scores[:, place] for place, system in enumerate(systems)}
    compared = [(system, base) for system in systems if (base := bases[system]) in column]
    gains = {system: column[system] - column[base] for system, base in compared}
    both = np.column_stack([scores, *gains.values()])
    low, high = bootstrap_intervals(both, settings.draws, settings.confidence, settings.seed)
    p_values = [randomisation_test(gain, settings.draws, settings.seed) for gain in gains.values()]
    rows = {}
    for place, system in enumerate(systems):
        ends = float(low[place]), float(high[place])
        rows[system] = Row(system, metric, len(scores), float(scores[:, place].mean()), *ends)
    corrected = holm(p_values)
    for place, (system, base) in enumerate(compared):
        at = len(systems) + place
        rows[system] = replace(
            rows[system],
            baseline=base,
            difference=float(gains[system].mean()),
            difference_low=float(low[at]),
            difference_high=float(high[at]),
            p=p_values[place],
            p_holm=corrected[place],
        )
    return rows
