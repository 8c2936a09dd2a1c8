"""How an `Answer` looks: one self-contained HTML page, and a view for the terminal."""

from rag.report.hits import print_hits
from rag.report.page import render_page, render_report
from rag.report.terminal import print_answer

__all__ = ["print_answer", "print_hits", "render_page", "render_report"]
