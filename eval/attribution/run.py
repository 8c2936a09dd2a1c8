"""Measure question by question, and keep what came."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from eval.attribution.passages import Candidates, find_candidates
from eval.attribution.question import measure_question
from eval.attribution.settings import AttributionRun
from eval.attribution.summary import AttributionResult, summarise
from eval.records import Records
from eval.retrieval.task import Task, load_task
from rag.provenance import made_with
from rag.questions import Question
from rag.readers import Reader
from rag.scale import Executor, LocalExecutor
from rag.scale.readers import load_same_reader, reader_or_checksum

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total)."""

QUESTIONS_FILE = "questions.jsonl"
_LIBRARIES = ("scikit-learn", "scipy", "ir_measures")


def evaluate_attribution(
    run: AttributionRun,
    out: Path | None = None,
    *,
    root: Path | None = None,
    reader: Reader | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> AttributionResult:
    """Measure the methods of a run on its questions.

    Args:
        run: questions, passages, methods and what is reported.
        out: folder in which each question's results are kept as they come, in `questions.jsonl`; a run that was stopped
            goes on from there, and one that only reports otherwise asks nothing again.
        root: folder that the run's paths are relative to.
        reader: used instead of the one that the run names.
        progress: called as progress(stage, done, total), in passages for "indexing …", then for "questions".
        executor: spreads the questions; by default they are done in this process.

    Raises:
        CorpusError, FileNotFoundError: data, corpus or index cannot be read.
        SettingsError: a setting cannot be honoured, or `out` holds results of other settings.
    """
    root, executor = root or Path(), executor or LocalExecutor()
    task = load_task(run.search("bm25", run.depth), root)
    named = [path for path in (*run.data, *run.pool, run.qrels, run.index, run.corpus) if path]
    made = made_with(
        run.model_dump(mode="json", exclude={"report"}),
        run.reader if reader is None else reader,
        ((path, root / path) for path in named),
        *_LIBRARIES,
    )
    records = Records(None if out is None else out / QUESTIONS_FILE, made)
    try:
        missing = [question for question in task.questions if question.id not in records]
        if missing:
            worker = partial(_measurer, run, reader_or_checksum(reader, made["reader"], executor))
            done = len(task.questions) - len(missing)
            items = _items(run, task, missing, root, progress)
            for record in executor.map(worker, items):
                records.add(record)
                done += 1
                if progress is not None:
                    progress("questions", done, len(task.questions))
    finally:
        records.close()
    found = [records[question.id] for question in task.questions]
    return summarise(run, found, made, [*task.warnings, *records.warnings])


def _items(
    run: AttributionRun, task: Task, questions: Sequence[Question], root: Path, progress: Progress | None
) -> Iterator[tuple[Candidates, set[str]]]:
    """Each question with its candidates, and which passages are marked as evidence."""
    for found in find_candidates(run, task, questions, root, progress):
        yield found, task.relevant(found.question)


def _measurer(run: AttributionRun, reader: Reader | str) -> Callable[[tuple[Candidates, set[str]]], dict[str, Any]]:
    """Measures a reader, or that of the run, which has this checksum."""
    loaded = load_same_reader(run.reader, reader)
    return lambda item: measure_question(run, loaded, *item[0], item[1])
