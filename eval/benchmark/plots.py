"""Pictures of a benchmark's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.benchmark.result import BenchmarkResult
from rag.plotting import figure_class, save


def plot(result: BenchmarkResult, folder: Path) -> list[Path]:
    """Draw `accuracy.png` and `speed.png`, of what was measured; returns the files.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure_type = figure_class()
    numbers = {section.name: section.numbers for section in result.sections}
    files: list[Path] = []
    if "accuracy" in numbers:
        drawn = figure_type(figsize=(8, 4.5), layout="constrained")
        _errors(drawn.subplots(), numbers["accuracy"]["errors"])
        files += save(drawn, folder / "accuracy", [".png"])
    timed = [(name, numbers[name]["rows"]) for name in ("speed", "shape") if name in numbers]
    if timed:
        drawn = figure_type(figsize=(8, 0.6 + 2.4 * len(timed)), layout="constrained")
        for axes, (name, rows) in zip(drawn.subplots(len(timed), squeeze=False)[:, 0], timed, strict=True):
            _bars(axes, name, rows)
        files += save(drawn, folder / "speed", [".png"])
    return files


def _errors(axes: Any, errors: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    for number, (name, at) in enumerate(errors.items()):
        points = [(entry["distinct"], entry["squared"], entry["squared_interval"]) for entry in at.values() if "squared"
                  in entry]  # fmt: skip
        if not points:
            continue
        spent, means, intervals = zip(*points, strict=True)
        ours = name.startswith("ours")
        style = {"linewidth": 2.2 if ours else 1.0, "linestyle": "-" if ours else "--", "marker": "o", "markersize": 3}
        (line,) = axes.plot(spent, means, label=name, **style)
        if number == 0:  # the default estimator
            axes.fill_between(spent, *zip(*intervals, strict=True), alpha=0.15, color=line.get_color())
    axes.set(xlabel="distinct evaluations", ylabel="mean squared error", xscale="log", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def _bars(axes: Any, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    seconds = [row["with_encoding"] for row in rows]
    middle = [median for median, _, _ in seconds]
    spread = [[median - least for median, least, _ in seconds], [most - median for median, _, most in seconds]]
    axes.barh([row["name"] for row in rows], middle, xerr=spread, height=0.6)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="seconds per question, encoding included", title=name)
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(alpha=0.3, axis="x")
