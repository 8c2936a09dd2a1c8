"""How an `Answer` looks: one self-contained HTML page, and a view for the terminal."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.report.hits import print_hits
    from rag.report.page import render_page, render_report
    from rag.report.terminal import print_answer

__all__ = ["print_answer", "print_hits", "render_page", "render_report"]

# Imported on first use, so that showing hits does not load torch.
_HOMES = {
    "print_answer": "rag.report.terminal",
    "print_hits": "rag.report.hits",
    "render_page": "rag.report.page",
    "render_report": "rag.report.page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
