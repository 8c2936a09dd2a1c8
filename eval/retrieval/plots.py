"""Recall curves as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def check_plots() -> None:
    """Raise `ImportError` before a long run if matplotlib is missing."""
    _matplotlib()


def plot_curves(curves: Mapping[str, list[float]], bases: Mapping[str, str | None], folder: Path) -> list[Path]:
    """Draw recall against the number of passages to `recall.png` and `recall.svg`.

    Args:
        curves: recall at 1, 2, ... by system.
        bases: by system, the one whose order it reranks; those without are drawn dashed.
        folder: where the files go.
    """
    figure_class, colours = _matplotlib()
    figure = figure_class(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    for number, (system, curve) in enumerate(curves.items()):
        style = "--" if bases.get(system) is None else "-"
        colour = colours(number % 20)
        axes.plot(range(1, len(curve) + 1), [100 * y for y in curve], style, label=system, linewidth=1.4, color=colour)
    axes.set(xlabel="passages", ylabel="recall, %", xlim=(1, max(map(len, curves.values()))))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix in (".png", ".svg"):
        path, temporary = folder / f"recall{suffix}", folder / f".recall.tmp{suffix}"
        figure.savefig(temporary, dpi=150)
        temporary.replace(path)
        paths.append(path)
    return paths


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure  # without pyplot: no window system is touched
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'ragshap[plot]'") from error
    return Figure, colormaps["tab20"]
