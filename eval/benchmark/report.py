"""The benchmark's result: as JSON, as Markdown, and as plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.benchmark.section import Section
from eval.benchmark.settings import BenchmarkSettings
from retrievers.folders import replace_file


@dataclass(frozen=True)
class BenchmarkResult:
    """What was measured, on which machine, with which settings and data."""

    sections: Sequence[Section]
    settings: BenchmarkSettings
    machine: dict[str, Any]
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
            "settings": self.settings.model_dump(mode="json"),
            "sections": {section.name: section.to_dict() for section in self.sections},
        }

    def save(self, path: Path) -> None:
        """Write `to_dict` as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), ensure_ascii=False, indent=1), encoding="utf-8")

    def heading(self) -> str:
        """Machine, threads, reader and data in a line."""
        machine, versions = self.machine, self.machine["versions"]
        line = (
            f"{machine['processor']}, {machine['threads']} threads; torch {versions['torch']}, transformers "
            f"{versions['transformers']}; {self.settings.reader.checkpoint} reader; questions of {self.data}."
        )
        return line + (" Quick run: the numbers mean nothing." if self.quick else "")

    def markdown(self) -> str:
        """Heading and all tables."""
        tables = [table.markdown() for section in self.sections for table in section.tables]
        return "\n\n".join([self.heading(), *tables])
