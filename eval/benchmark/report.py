"""The benchmark's result: as JSON, as Markdown, and as plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.benchmark.settings import BenchmarkSettings
from eval.benchmark.tables import Section
from eval.records import save_json


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

    def save(self, path: Path) -> None:
        """Write `to_dict` as JSON, whole or not at all."""
        save_json(path, self.to_dict())

    def heading(self) -> str:
        """Machine, threads, reader and data in a line."""
        machine, versions = self.machine, self.made_with["versions"]
        line = (
            f"{machine['processor']}, {machine['threads']} threads; torch {versions['torch']}, transformers "
            f"{versions['transformers']}; {self.settings.reader.checkpoint} reader; questions of {self.data}."
        )
        return line + (" Quick run: the numbers mean nothing." if self.quick else "")

    def markdown(self) -> str:
        """Heading and all tables."""
        tables = [table.markdown() for section in self.sections for table in section.tables]
        return "\n\n".join([self.heading(), *tables])
