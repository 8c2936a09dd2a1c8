"""Ask the questions and keep the answers as they come."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from eval.qa.answers import answer_question
from eval.qa.settings import QARun
from eval.qa.summary import QAResult, summarise
from eval.records import Records
from eval.selection import Asked, Chosen, choose
from rag.provenance import made_with
from rag.questions import Question
from rag.readers import Reader
from rag.scale import Executor, LocalExecutor
from rag.scale.readers import load_same_reader, reader_or_checksum

Progress = Callable[[int, int], None]


def evaluate_qa(
    run: QARun,
    out: Path | None = None,
    *,
    root: Path | None = None,
    reader: Reader | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
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
        executor: spreads the questions; by default they are asked in this process.

    Raises:
        CorpusError, FileNotFoundError: data, corpus or index cannot be read.
        IsADirectoryError: `out` is a folder.
        SettingsError: a setting cannot be honoured, or the answers kept beside `out` were made with other settings.
    """
    if out is not None and out.is_dir():
        raise IsADirectoryError(f"{out} is a folder; name the .json file that the result is written to")
    root, executor = root or Path(), executor or LocalExecutor()
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
            _ask(run, chosen, records, reader_or_checksum(reader, made["reader"], executor), executor, progress)
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


def _ask(
    run: QARun,
    chosen: Chosen,
    records: Records,
    reader: Reader | str,
    executor: Executor,
    progress: Progress | None,
) -> None:
    missing: Sequence[Question] = [question for question in chosen.questions if question.id not in records]
    if not missing:
        return
    worker = partial(_answerer, run, reader)
    done = len(chosen.questions) - len(missing)
    for record in executor.map(worker, _found(run, chosen, missing)):
        records.add(record)
        done += 1
        if progress is not None:
            progress(done, len(chosen.questions))


def _found(run: QARun, chosen: Chosen, questions: Sequence[Question]) -> Iterator[tuple[Asked, float | None]]:
    """Each question with its passages, and the seconds that it took to retrieve them."""
    asked = chosen.passages_of(questions)
    for _ in questions:
        started = time.perf_counter()
        one = next(asked)
        yield one, time.perf_counter() - started if run.passages == "retrieved" else None


def _answerer(run: QARun, reader: Reader | str) -> Callable[[tuple[Asked, float | None]], dict[str, Any]]:
    """Asks a reader, or that of the run, which has this checksum."""
    loaded = load_same_reader(run.reader, reader)
    return lambda item: answer_question(run, loaded, *item)
