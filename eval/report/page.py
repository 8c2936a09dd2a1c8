"""A report as one HTML file that needs no network."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from eval.report.run import Report
from rag.report.wording import duration

_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}


def render_report(report: Report) -> str:
    """The page: per section its tables, its pictures inline, and the command that makes them again."""
    environment = Environment(
        loader=PrefixLoader({"eval": PackageLoader("eval.report", ""), "rag": PackageLoader("rag.report", "")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"markdown": _markdown, "inline": _inline, "duration": duration}
    return environment.get_template("eval/page.html.j2").render(report=report)


def _markdown(text: str) -> Markup:
    """Markdown with tables; HTML in it is shown, not obeyed."""
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return Markup(html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>"))


def _inline(picture: Path) -> str:
    """A picture as a data URI."""
    return f"data:{_KINDS[picture.suffix]};base64,{base64.b64encode(picture.read_bytes()).decode()}"
