"""Comparisons of systems as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eval.comparison import Row
from eval.statistics import ComparisonSettings
from eval.tables import Table


def comparison_table(
    rows: Sequence[Row],
    metrics: Sequence[str],
    *,
    head: str,
    percent: bool = False,
    more: Mapping[str, Mapping[str, str]] | None = None,
) -> Table:
    """One row per system and one column per metric.

    A cell holds the mean, half the width of its interval, and the difference from the baseline, with stars where it is
    significant.

    Args:
        rows: of the comparison.
        metrics: names of the columns.
        head: of the systems.
        percent: whether the metrics are fractions, shown as percentages.
        more: further columns, by head and system.
    """
    cells = {(row.system, row.metric): _cell(row, percent) for row in rows}
    more = more or {}
    lines = [
        [
            system,
            *(cells.get((system, metric), "–") for metric in metrics),
            *(column.get(system, "") for column in more.values()),
        ]
        for system in dict.fromkeys(row.system for row in rows)
    ]
    return Table([head, *metrics, *more], lines)


def _cell(row: Row, percent: bool) -> str:
    factor, digits = (100, 1) if percent else (1, 3)
    text = f"{factor * row.mean:.{digits}f} ±{factor * (row.high - row.low) / 2:.{digits}f}"
    if row.difference is None or row.p_holm is None:
        return text
    return f"{text} ({factor * row.difference:+.{digits}f}{_stars(row.p_holm)})"


def _stars(p: float) -> str:
    return "**" if p < 0.01 else "*" if p < 0.05 else ""


def legend(settings: ComparisonSettings, baseline: str) -> str:
    """What the cells of a comparison mean."""
    return (
        f"±: half the {100 * settings.confidence:g} % bootstrap interval. In brackets: less {baseline}; * p < 0.05, "
        "** p < 0.01, paired randomisation, Holm-corrected."
    )
