"""Deletion and insertion curves as pictures."""

from __future__ import annotations

from pathlib import Path

from eval.attribution.summary import GRID, AttributionResult
from rag.plotting import figure_class, save

_LABELS = {"deletion": "first passages removed, %", "insertion": "first passages added, %"}


def plot_curves(result: AttributionResult, folder: Path) -> list[Path]:
    """Draw the mean probability of the answer to `curves.png` and `curves.svg`, a panel each for both kinds.

    Nothing is drawn where curves were not measured.
    """
    if not result.curves:
        return []
    figure_type = figure_class()
    from matplotlib import colormaps

    colours = colormaps["tab20"]
    figure = figure_type(figsize=(11, 5), layout="constrained")
    panels = figure.subplots(1, len(_LABELS), sharey=True)
    for axes, (kind, label) in zip(panels, _LABELS.items(), strict=True):
        for number, (method, own) in enumerate(result.curves.items()):
            style = "--" if method in ("random", "retriever") else "-"
            axes.plot(100 * GRID, own[kind], style, label=method, linewidth=1.2, color=colours(number % 20))
        axes.set(title=kind, xlabel=label, xlim=(0, 100))
        axes.grid(alpha=0.3)
    panels[0].set(ylabel="probability of the answer", ylim=(0, None))  # shared, so once all is drawn
    panels[1].legend(frameon=False, fontsize=7, loc="lower right", ncols=2)
    return save(figure, folder / "curves")
