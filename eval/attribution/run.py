"""Measure the methods of a run on its questions."""

from __future__ import annotations

from pathlib import Path

from eval.attribution.passages import find_candidates
from eval.attribution.question import measure_question
from eval.attribution.settings import AttributionRun
from eval.attribution.summary import AttributionResult, summarise
from eval.retrieval.task import load_task
from eval.runner import Progress, measure_questions, provenance
from rag.readers import Reader
from rag.scale import Executor

QUESTIONS_FILE = "questions.jsonl"


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
        progress: called as progress(stage, done, total), in passages for "indexing", then for "questions".
        executor: spreads the questions; by default they are done in this process.

    Raises:
        CorpusError, FileNotFoundError: data, corpus or index cannot be read.
        SettingsError: a setting cannot be honoured, or `out` holds results of other settings.
    """
    root = root or Path()
    task = load_task(run, root)
    made = provenance(run, root, reader or run.reader, "scikit-learn", "scipy", "ir_measures")
    records, warnings = measure_questions(
        run,
        task.questions,
        measure_question,
        lambda questions: find_candidates(run, task, questions, root, progress),
        path=None if out is None else out / QUESTIONS_FILE,
        made=made,
        reader=reader,
        executor=executor,
        progress=progress,
    )
    return summarise(run, records, made, [*task.warnings, *warnings])
