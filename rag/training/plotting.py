"""The training log as a picture."""

from __future__ import annotations

import json
from pathlib import Path

from rag.plotting import figure_class, save


def check(target: Path) -> None:
    """Raise before a long run what would go wrong after it.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the file's suffix is neither `.png` nor `.svg`.
    """
    if target.suffix.lower() not in (".png", ".svg"):
        raise ValueError(f"cannot draw {target}: name a .png or .svg file")
    figure_class()


def plot_log(log: Path, target: Path) -> None:
    """Draw the parts of the loss, and exact match and F1 on held-out questions, against steps."""
    check(target)
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    figure = figure_class()(figsize=(9, 3.6), layout="constrained")
    losses, answers = figure.subplots(1, 2)
    for name in ("answer", "span", "relevance"):
        points = [(row["step"], row[name]) for row in rows if name in row]
        if points:
            losses.plot(*zip(*points, strict=True), label=name, linewidth=1)
    losses.set(xlabel="step", ylabel="loss", yscale="log")
    for name, label in (("held_out_f1", "F1"), ("held_out_exact_match", "exact match")):
        points = [(row["step"], row[name]) for row in rows if name in row]
        if points:
            answers.plot(*zip(*points, strict=True), label=label, marker="o", markersize=4)
    answers.set(xlabel="step", ylabel="held-out articles, %")
    for axes in (losses, answers):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(frameon=False)
    save(figure, target.with_suffix(""), [target.suffix])
