"""Tables: for a terminal, as Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rag.cli.options import say


@dataclass(frozen=True)
class Table:
    """Rows of formatted cells.

    Attributes:
        columns: the heads.
        rows: as many cells each as there are columns.
        title: what is compared; may be empty.
        how: how it was measured, in a sentence or two.
        names: how many of the first columns hold names; the others hold numbers.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    how: str = ""
    names: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError for a row of another length than the heads."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title!r}: {len(self.columns)} columns, but a row of {len(row)}: {row}")

    def to_dict(self) -> dict[str, Any]:
        """Title, method, heads and cells."""
        rows = [list(row) for row in self.rows]
        return {"title": self.title, "how": self.how, "columns": list(self.columns), "rows": rows}

    def markdown(self) -> str:
        """The table, below its title and method if it has a title."""
        heads, *rows = [[cell.replace("|", "\\|") for cell in row] for row in (self.columns, *self.rows)]
        rule = ["---" if place < self.names else "---:" for place in range(len(heads))]
        lines = "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))
        return f"**{self.title}.** {self.how}\n\n{lines}" if self.title else lines

    def print(self, markdown: bool = False) -> None:
        """Print it on the terminal, without breaking a cell, or as Markdown."""
        if markdown:
            say(self.markdown())
            return
        from rich.console import Console
        from rich.table import Table as Grid
        from rich.text import Text

        from rag.report.text import one_line

        columns, *rows = [[one_line(cell) for cell in row] for row in (self.columns, *self.rows)]
        grid = Grid(box=None, pad_edge=False, header_style="dim")
        for place, name in enumerate(columns):
            grid.add_column(Text(name), justify="right" if place >= self.names else "left", no_wrap=True)
        for row in rows:
            grid.add_row(*map(Text, row))
        console = Console()
        if self.title:
            console.print(Text(f"\n{one_line(self.title)}", style="bold"))
            console.print(Text(f"{one_line(self.how)}\n", style="dim"))
        needed = sum(2 + max(map(len, column)) for column in zip(columns, *rows, strict=True))
        Console(width=max(console.width, needed)).print(grid)
