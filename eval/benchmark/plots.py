"""Pictures of a benchmark's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.benchmark.result import BenchmarkResult
from rag.plotting import figure_class, save


def plot(result: BenchmarkResult, folder: Path) -> list[Path]:
    """Draw `speed.png`, of what was timed; returns the files.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure_type = figure_class()
    numbers = {section.name: section.numbers for section in result.sections}
    timed = [(name, numbers[name]["rows"]) for name in ("speed", "shape") if name in numbers]
    if not timed:
        return []
    drawn = figure_type(figsize=(8, 0.6 + 2.4 * len(timed)), layout="constrained")
    for axes, (name, rows) in zip(drawn.subplots(len(timed), squeeze=False)[:, 0], timed, strict=True):
        _bars(axes, name, rows)
    return save(drawn, folder / "speed", [".png"])


def _bars(axes: Any, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    seconds = [row["with_encoding"] for row in rows]
    middle = [median for median, _, _ in seconds]
    spread = [[median - least for median, least, _ in seconds], [most - median for median, _, most in seconds]]
    axes.barh([row["name"] for row in rows], middle, xerr=spread, height=0.6)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="seconds per question, encoding included", title=name)
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(alpha=0.3, axis="x")
