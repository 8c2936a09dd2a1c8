"""What a benchmark measured: sections of tables and numbers, on which machine, with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.benchmark.settings import BenchmarkSettings
from eval.tables import Table


@dataclass(frozen=True)
class Section:
    """One part of the benchmark: its name, its tables, and all numbers behind them, ready for JSON."""

    name: str
    tables: Sequence[Table]
    numbers: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers."""
        return {"tables": [table.to_dict() for table in self.tables], **self.numbers}


@dataclass(frozen=True)
class BenchmarkResult:
    """What was measured, on which machine, with which settings, versions, reader and data."""

    sections: Sequence[Section]
    settings: BenchmarkSettings
    machine: dict[str, Any]
    made_with: dict[str, Any]
    data: str
    quick: bool

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers."""
        return {
            "format": "ragshap-benchmark",
            "version": 1,
            "quick": self.quick,
            "data": self.data,
            "machine": self.machine,
            **self.made_with,
            "sections": {section.name: section.to_dict() for section in self.sections},
        }

    def heading(self) -> str:
        """Machine, threads, reader and data in a line."""
        machine, versions = self.machine, self.made_with["versions"]
        line = (
            f"{machine['processor']}, {machine['threads']} threads; torch {versions['torch']}, transformers "
            f"{versions['transformers']}; {self.settings.reader.checkpoint} reader; questions of {self.data}."
        )
        return line + (" Quick run: the numbers mean nothing." if self.quick else "")

    def tables(self) -> list[Table]:
        """The tables of all sections."""
        return [table for section in self.sections for table in section.tables]

    def markdown(self) -> str:
        """Heading and all tables."""
        return "\n\n".join([self.heading(), *(table.markdown() for table in self.tables())])
