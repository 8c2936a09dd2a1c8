"""Measure question by question, and keep what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from eval.attribution.passages import find_candidates
from eval.attribution.question import measure_question
from eval.attribution.settings import AttributionRun
from eval.attribution.summary import AttributionResult, summarise
from eval.records import Records
from eval.retrieval.task import Task, load_task
from rag.provenance import made_with
from rag.questions import Question
from rag.readers import Reader
from rag.readers.loading import load_reader

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
) -> AttributionResult:
    """Measure the methods of a run on its questions.

    Args:
        run: questions, passages, methods and what is reported.
        out: folder in which each question's results are kept as they come, in `questions.jsonl`; a run that was stopped
            goes on from there, and one that only reports otherwise asks nothing again.
        root: folder that the run's paths are relative to.
        reader: used instead of the one that the run names.
        progress: called as progress(stage, done, total), in passages for "indexing …", then for "questions".

    Raises:
        CorpusError, FileNotFoundError: data, corpus or index cannot be read.
        SettingsError: a setting cannot be honoured, or `out` holds results of other settings.
    """
    root = root or Path()
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
            _ask(run, task, missing, records, root, reader or load_reader(run.reader), progress)
    finally:
        records.close()
    found = [records[question.id] for question in task.questions]
    return summarise(run, found, made, [*task.warnings, *records.warnings])


def _ask(
    run: AttributionRun,
    task: Task,
    questions: Sequence[Question],
    records: Records,
    root: Path,
    reader: Reader,
    progress: Progress | None,
) -> None:
    done = len(task.questions) - len(questions)
    for question, passages, ranks in find_candidates(run, task, questions, root, progress):
        record: dict[str, Any] = measure_question(run, reader, question, passages, ranks, task.relevant(question))
        records.add(record)
        done += 1
        if progress is not None:
            progress("questions", done, len(task.questions))
