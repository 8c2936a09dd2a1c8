"""Ask the questions and keep the answers as they come."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.qa.answers import answer_question
from eval.qa.settings import QARun
from eval.qa.summary import QAResult, summarise
from eval.records import Records
from eval.selection import Chosen, choose
from rag.provenance import made_with
from rag.questions import Question
from rag.readers import Reader
from rag.readers.loading import load_reader

Progress = Callable[[int, int], None]


def evaluate_qa(
    run: QARun,
    out: Path | None = None,
    *,
    root: Path | None = None,
    reader: Reader | None = None,
    progress: Progress | None = None,
) -> QAResult:
    """Ask the selected questions and score the answers.

    Args:
        run: questions, passages, orders and reader.
        out: where the result is written as JSON. Until then, the answers are kept beside it, in `NAME.partial.jsonl`;
            a run that was stopped goes on from there. What is finished there is not asked again, unless settings, data
            or weights are others.
        root: folder that the run's paths are relative to.
        reader: used instead of the one that the run names.
        progress: called as progress(done, total), in questions.

    Raises:
        CorpusError, FileNotFoundError: data, corpus or index cannot be read.
        IsADirectoryError: `out` is a folder.
        SettingsError: a setting cannot be honoured, or the answers kept beside `out` were made with other settings.
    """
    if out is not None and out.is_dir():
        raise IsADirectoryError(f"{out} is a folder; name the .json file that the result is written to")
    root = root or Path()
    chosen = choose(run, root)
    named = [path for path in (*run.data, *run.pool, run.index) if path]
    made = made_with(
        run.model_dump(mode="json", exclude={"name", "report"}),
        run.reader if reader is None else reader,
        ((path, root / path) for path in named),
    )
    found: Mapping[str, dict[str, Any]] | Records | None = None if out is None else _finished(out, made)
    partial = None if out is None else out.with_suffix(".partial.jsonl")
    if found is None:
        found = records = Records(partial, made)
        try:
            _ask(run, chosen, records, reader, progress)
        finally:
            records.close()
        chosen = replace(chosen, warnings=(*chosen.warnings, *records.warnings))
    result = summarise(run, [found[question.id] for question in chosen.questions], made, chosen)
    if out is not None and partial is not None:
        result.save(out)
        partial.unlink(missing_ok=True)
    return result


def _finished(path: Path, made: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """Records by question of a result that is there, if they would be the same; None if they would not.

    What the result was made with is then said of its versions, in `made`.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        settings = {key: value for key, value in stored["settings"].items() if key in made["settings"]}
        if (made["settings"], made["files"], made["reader"]) != (settings, stored["files"], stored["reader"]):
            return None
        found = {record["id"]: record for record in stored["questions"]}
        made["versions"] = stored["versions"]
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _ask(run: QARun, chosen: Chosen, records: Records, reader: Reader | None, progress: Progress | None) -> None:
    missing: Sequence[Question] = [question for question in chosen.questions if question.id not in records]
    if not missing:
        return
    reader = reader or load_reader(run.reader)
    done = len(chosen.questions) - len(missing)
    asked = chosen.passages_of(missing)
    for _ in missing:
        started = time.perf_counter()
        one = next(asked)
        retrieve = time.perf_counter() - started if run.passages == "retrieved" else None
        records.add(answer_question(run, reader, one, retrieve))
        done += 1
        if progress is not None:
            progress(done, len(chosen.questions))
