"""One picture per game: where each method's scores lie."""

from __future__ import annotations

from pathlib import Path

from eval.controlled.summary import ControlledResult
from eval.records import file_name
from rag.plotting import figure_class, save

_COLOURS = {"targets": "tab:green", "against": "tab:red", "others": "lightgrey"}
_LABELS = {"targets": "gives the answer", "against": "speaks against it", "others": "without bearing"}


def plot_games(result: ControlledResult, folder: Path) -> list[Path]:
    """Draw every method's mean shares, a bar for each passage, to `GAME.png` and `GAME.svg`."""
    figure_type = figure_class()
    files = []
    for game, shares in result.curves.items():
        figure = figure_type(figsize=(6.4, 0.36 * len(shares) + 1.4), layout="constrained")
        axes = figure.subplots()
        for row, own in enumerate(shares.values()):
            bars = [(kind, share) for kind, values in own._asdict().items() for share in values]
            height = 0.8 / len(bars)
            for place, (kind, share) in enumerate(bars):
                middle = row - 0.4 + (place + 0.5) * height
                axes.barh(middle, share, height, color=_COLOURS[kind], edgecolor="white", linewidth=0.6)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(shares)), list(shares))
        axes.invert_yaxis()
        axes.set(xlabel="mean share of the absolute scores", title=f"{game} ({result.cases[game][0]} cases)")
        kinds = [kind for kind in _COLOURS if any(getattr(own, kind) for own in shares.values())]
        handles = [axes.barh(0, 0, color=_COLOURS[kind], label=_LABELS[kind]) for kind in kinds]
        figure.legend(handles=handles, frameon=False, fontsize=8, loc="outside lower center", ncols=len(kinds))
        files += save(figure, folder / file_name(game))
    return files
