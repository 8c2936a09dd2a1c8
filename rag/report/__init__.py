"""How an `Answer` looks: one self-contained HTML page, a view for the terminal, and Markdown with citations."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.report.citations import markdown
    from rag.report.hits import print_hits
    from rag.report.page import render_page, render_report
    from rag.report.terminal import print_answer

__all__ = ["markdown", "print_answer", "print_hits", "render_page", "render_report"]

# Imported on first use, so that retrieved passages are printed without torch.
_HOMES = {
    "markdown": "citations",
    "print_answer": "terminal",
    "print_hits": "hits",
    "render_page": "page",
    "render_report": "page",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"rag.report.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'rag.report' has no attribute {name!r}")
