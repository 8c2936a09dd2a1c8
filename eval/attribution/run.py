"""Measure the methods of a run on its questions."""

from __future__ import annotations

from pathlib import Path

from eval.attribution.passages import find_candidates
from eval.attribution.question import measure_question
from eval.attribution.settings import AttributionRun
from eval.attribution.summary import AttributionResult, summarise
from eval.retrieval.task import load_task
from eval.runner import QUESTIONS_FILE, measure_questions, provenance
from rag.progress import StageProgress
from rag.readers import Reader
from rag.scale import Executor


def evaluate_attribution(
    run: AttributionRun,
    out: Path | None = None,
    *,
    root: Path | None = None,
    reader: Reader | None = None,
    progress: StageProgress | None = None,
    executor: Executor | None = None,
) -> AttributionResult:
    """Measure the methods of a run on its questions.

    The arguments are those of `evaluate_retrieval`, and so is what is kept in `out` and what is raised.
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
