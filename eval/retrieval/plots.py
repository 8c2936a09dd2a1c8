"""Recall curves as pictures."""

from __future__ import annotations

from pathlib import Path

from eval.retrieval.summary import RetrievalResult
from rag.plotting import figure_class, save


def plot_curves(result: RetrievalResult, folder: Path) -> list[Path]:
    """Draw recall against the number of passages to `recall.png` and `recall.svg`, one panel per reranked order.

    The order that is reranked is drawn dashed.
    """
    curves, bases = result.curves, result.run.systems()
    figure_type = figure_class()
    from matplotlib import colormaps

    colours = colormaps["tab20"]
    firsts = [system for system, base in bases.items() if base is None]
    figure = figure_type(figsize=(4.8 * len(firsts) + 1, 6), layout="constrained")
    panels = figure.subplots(1, len(firsts), sharey=True, squeeze=False)[0]
    for axes, first in zip(panels, firsts, strict=True):
        ranks = range(1, len(curves[first]) + 1)
        axes.plot(ranks, [100 * y for y in curves[first]], "k--", label=first, linewidth=1.4)
        family = [system for system, base in bases.items() if base == first]
        for number, system in enumerate(family):
            label = system.removeprefix(f"{first}/")
            axes.plot(ranks, [100 * y for y in curves[system]], label=label, linewidth=1.2, color=colours(number % 20))
        axes.set(xlabel="passages", xlim=(1, max(2, len(ranks))))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=7, loc="lower right", ncols=1 + len(family) // 8)
    panels[0].set(ylabel="recall, %")
    return save(figure, folder / "recall")
