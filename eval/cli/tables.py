"""Tables on a terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rag.cli.options import say


def print_table(header: Sequence[str], lines: Sequence[Sequence[str]], markdown: bool = False, names: int = 1) -> None:
    """Print a table whose first `names` columns hold names, the others numbers; no cell is broken."""
    if markdown:
        for line in [header, ["---"] * len(header), *lines]:
            say(f"| {' | '.join(line)} |")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rag.report.text import one_line

    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, name in enumerate(header):
        table.add_column(Text(one_line(name)), justify="right" if place >= names else "left", no_wrap=True)
    lines = [[one_line(cell) for cell in line] for line in lines]
    for line in lines:
        table.add_row(*map(Text, line))
    needed = sum(2 + max(map(len, column)) for column in zip(header, *lines, strict=True))
    Console(width=max(Console().width, needed)).print(table)


def stars(p: float) -> str:
    """How significant a p-value is: ** below 0.01, * below 0.05."""
    return "**" if p < 0.01 else "*" if p < 0.05 else ""
