"""Several evaluations of answers from one file; a killed suite resumes where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from eval.qa import QARun, evaluate_qa
from eval.records import file_name
from rag.progress import StageProgress
from rag.settings_base import Section, load_section


class Suite(Section):
    """Runs with distinct names; paths in them are relative to the folder of data that the suite is run over."""

    runs: list[QARun] = Field(min_length=1)

    @model_validator(mode="after")
    def _named(self) -> Suite:
        names = [file_name(run.name) for run in self.runs]
        if "" in names or len(set(names)) < len(names):
            raise ValueError("each run needs its own name")
        return self


def run_suite(
    config: str | Path, root: Path, out: Path, *, overrides: Sequence[str] = (), progress: StageProgress | None = None
) -> list[dict[str, Any]]:
    """The results of all runs of a suite file, as `QAResult.to_dict` gives them.

    Args:
        config: a YAML file, or "model-card".
        root: folder that the runs' paths are relative to.
        out: one JSON file per run is written here; what is finished by the same settings, data and weights is not
            asked again (see `evaluate_qa`), and an earlier result of others is replaced.
        overrides: settings of every run, such as "limit=100" or "reader.checkpoint=my-reader/reader".
        progress: called as progress(name, done, total), in questions.
    """
    suite = load_section(Suite, config)
    results = []
    for run in suite.runs:
        run = load_section(QARun, None, overrides, base=run.model_dump(mode="json"))
        report = None if progress is None else lambda _, done, total, name=run.name: progress(name, done, total)
        path = out / f"{file_name(run.name)}.json"
        results.append(evaluate_qa(run, path, root=root, progress=report, replace=True).to_dict())
    return results
