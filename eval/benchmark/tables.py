"""A part of the benchmark's result: tables for people, numbers for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Table:
    """Rows of formatted cells.

    Attributes:
        title: what is compared.
        how: how it was measured, in a sentence or two.
        columns: the heads, the first of them of the rows' names.
        rows: as many cells each as there are columns.
    """

    title: str
    how: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        """Raise ValueError for a row of another length than the heads."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title!r}: {len(self.columns)} columns, but a row of {len(row)}: {row}")

    def markdown(self) -> str:
        """Title, how it was measured, and the table."""
        cells = [[cell.replace("|", "\\|") for cell in row] for row in (self.columns, *self.rows)]
        rule = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = ["| " + " | ".join(row) + " |" for row in (cells[0], rule, *cells[1:])]
        return "\n".join([f"**{self.title}.** {self.how}", "", *lines])


@dataclass(frozen=True)
class Section:
    """One part of the benchmark: its name, its tables, and all numbers behind them, ready for JSON."""

    name: str
    tables: Sequence[Table]
    numbers: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers."""
        tables = [
            {"title": t.title, "how": t.how, "columns": list(t.columns), "rows": [list(row) for row in t.rows]}
            for t in self.tables
        ]
        return {"tables": tables, **self.numbers}
