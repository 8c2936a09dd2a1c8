"""The view of retrieved passages for the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rag.report.text import one_line
from rag.report.wording import page_of
from retrievers import Hit


def print_hits(hits: Sequence[Hit], console: Console) -> None:
    """Print rank, score, name and beginning of each passage to `console`."""
    if not hits:
        console.print("no passage matches", style="dim")
        return
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.show_header = True
    table.add_column("#", justify="right", header_style="dim", no_wrap=True)
    table.add_column("score", justify="right", header_style="dim", no_wrap=True)
    table.add_column("passage", header_style="dim")
    for rank, hit in enumerate(hits, 1):
        text = one_line(hit.passage.text)
        title = Text((one_line(hit.passage.title) or one_line(hit.passage.id)) + page_of(hit.passage), "bold")
        extract = Text(text if len(text) <= 160 else f"{text[:159]}…", "dim")
        table.add_row(str(rank), f"{hit.score:.4g}", Text("\n").join([title, extract]))
    console.print(table)
