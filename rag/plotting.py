"""Figures without a window system, written whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrievers.storage.atomic import replace_file


def figure_class() -> Any:
    """Matplotlib's figure; raises ImportError, naming the command to install, if it is missing."""
    try:
        from matplotlib.figure import Figure  # not pyplot, which would start a window system
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'ragshap[plot]'") from error
    return Figure


def save(figure: Any, stem: Path, suffixes: Sequence[str] = (".png", ".svg")) -> list[Path]:
    """Write one file for each suffix; returns the files."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = []
    for suffix in suffixes:
        target = stem.with_name(stem.name + suffix)
        with replace_file(target) as temporary:
            figure.savefig(temporary, dpi=150)
        files.append(target)
    return files
