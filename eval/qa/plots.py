"""How right answers are by the number of passages, and the reliability of "no answer", as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eval.qa.no_answer import NoAnswerRow
from eval.qa.summary import LABELS, MEASURES, QARow
from rag.plotting import figure_class, save


def plot_answers(rows: Sequence[QARow], stem: Path) -> list[Path]:
    """Draw one curve per order to `<stem>.png` and `<stem>.svg`, the given order dashed; returns the files.

    "smallest" is a cross at the average number of passages that it reads.
    """
    figure = figure_class()(figsize=(12, 4), layout="constrained")
    given, *_ = orders = list(dict.fromkeys(row.order for row in rows))
    whole = next(row for row in reversed(rows) if row.order == given)
    for axes, measure in zip(figure.subplots(1, len(MEASURES)), MEASURES, strict=True):
        for order in orders:
            own = [row for row in rows if row.order == order and row.k != "smallest"]
            if whole.k not in [row.k for row in own]:
                own.append(whole)
            style = {"color": "black", "linestyle": "--", "zorder": 3} if order == given else {}
            points = [(row.passages, getattr(row, measure)) for row in own]
            (line,) = axes.plot(*zip(*points, strict=True), label=order, marker="o", markersize=3, **style)
            for row in rows:
                if row.order == order and row.k == "smallest":
                    axes.plot([row.passages], [getattr(row, measure)], "x", color=line.get_color())
        axes.plot([], [], "x", color="grey", label="smallest")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="passages read", ylabel=f"{LABELS[measure]}, %")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    return save(figure, stem)


def plot_reliability(rows: Sequence[NoAnswerRow], stem: Path) -> list[Path]:
    """Draw a reliability diagram, one curve per number of passages, to `<stem>.png` and `<stem>.svg`.

    A point stands for a tenth of the probabilities of "no answer"; its area grows with the number of questions.
    """
    figure = figure_class()(figsize=(5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="black", linestyle="--", label="perfect")
    for row in rows:
        points = [(one.predicted, one.observed) for one in row.bins]
        (line,) = axes.plot(*zip(*points, strict=True), label=f"{row.k or 'all'} passages")
        sizes = [200 * one.questions / row.questions for one in row.bins]
        axes.scatter(*zip(*points, strict=True), s=sizes, color=line.get_color())
    axes.set(xlabel='probability of "no answer"', ylabel="questions without the answer in the passages")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return save(figure, stem)
