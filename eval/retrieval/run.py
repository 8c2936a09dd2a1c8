"""Retrieve and rerank the passages of every question."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.retrieval.first_stage import FirstStages, run_warnings
from eval.retrieval.metrics import parse_metrics
from eval.retrieval.scoring import ScoredSession, parse_scoring, rerank, score_passages
from eval.retrieval.settings import RetrievalRun
from eval.retrieval.summary import RetrievalResult, summarise
from eval.retrieval.task import Task, load_task
from eval.runner import QUESTIONS_FILE, cut_fields, measure_questions, provenance
from rag.progress import StageProgress
from rag.questions import Question
from rag.readers import Reader
from rag.scale import Executor
from rag.settings_base import SettingsError
from retrievers import Passage

_AT_ONCE = 16  # questions retrieved together


def evaluate_retrieval(
    run: RetrievalRun,
    out: Path | None = None,
    *,
    root: Path | None = None,
    reader: Reader | None = None,
    progress: StageProgress | None = None,
    executor: Executor | None = None,
) -> RetrievalResult:
    """Measure the systems of a run on its questions.

    Args:
        run: questions, corpus, systems and what is reported.
        out: folder in which each question's record is kept as it comes, in `questions.jsonl`, from which a stopped run
            resumes. A run that differs in its report alone measures nothing again.
        root: folder that the run's paths are relative to.
        reader: used instead of the one that the run names.
        progress: called as progress(stage, done, total), in passages for "indexing", then for "questions".
        executor: spreads the reranking of questions; by default it is done in this process.

    Raises:
        CorpusError, FileNotFoundError: data, corpus or runs cannot be read.
        SettingsError: a setting cannot be honoured, or `out` holds results of other settings.
    """
    root = root or Path()
    parse_metrics(run.report.metrics, run.retrieve)
    if run.report.baseline not in (None, *run.systems()):
        raise SettingsError(
            f"report.baseline: {run.report.baseline!r} is no system; there are {', '.join(run.systems())}"
        )
    if executor is not None and executor.remote and not run.rerank:
        raise SettingsError("--engine ray spreads reranking, and nothing is reranked; give --rerank, or leave it out")
    task = load_task(run, root)
    path = None if out is None else out / QUESTIONS_FILE
    kept = run.model_copy(update={"retrieve": run.kept(_kept_before(path))})
    made = provenance(kept, root, (reader or run.reader) if run.rerank else None, "faiss-cpu", "ir_measures")
    records, warnings = measure_questions(
        kept,
        task.questions,
        _rerank_question,
        lambda questions: _retrieve(kept, task, questions, root, progress),
        path=path,
        made=made,
        reader=reader,
        executor=executor,
        progress=progress,
    )
    return summarise(kept, task, records, made, [*task.warnings, *run_warnings(run, task, root), *warnings])


def _kept_before(path: Path | None) -> int:
    """How many passages of each question the records in a file hold; 0 if there is none that says so."""
    try:
        with (path or Path(os.devnull)).open(encoding="utf-8") as file:
            return int(json.loads(file.readline())["made_with"]["settings"]["retrieve"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _retrieve(
    run: RetrievalRun, task: Task, questions: Sequence[Question], root: Path, progress: StageProgress | None
) -> Iterator[tuple[Question, dict[str, list[Passage]], dict[str, Any]]]:
    """Each question, what every first stage found, and the fields of its record that need no reader."""
    stages = FirstStages(run, run.kinds(), run.kept(), task, root, runs=run.runs, progress=progress)
    known = stages.known()
    for start in range(0, len(questions), _AT_ONCE):
        some = questions[start : start + _AT_ONCE]
        ranked = {name: search(some) for name, search in stages.searches.items()}
        for place, question in enumerate(some):
            own = {name: rankings[place] for name, rankings in ranked.items()}
            unique = {passage.id: passage for passages in own.values() for passage in passages}
            record = {
                "id": question.id,
                "question": question.text,
                "accepted": list(question.answers),
                "found": sorted(name for name, passage in unique.items() if task.found(question, passage)),
                "unknown": 0 if known is None else len(task.relevant(question) - known),
            }
            yield question, own, record


def _rerank_question(
    run: RetrievalRun,
    reader: Reader | None,
    question: Question,
    ranked: Mapping[str, list[Passage]],
    record: dict[str, Any],
) -> dict[str, Any]:
    """The question's record with the orders of all systems; without a reader, nothing is reranked."""
    systems: dict[str, Any] = {}
    cut: dict[str, Any] = {"cut_tokens": {}}
    for name, passages in ranked.items():
        systems[name] = {"passages": [passage.id for passage in passages]}
        if reader is not None:
            systems |= _reranked(run, reader, question, passages, name, cut)
    return {**record, **cut, "systems": systems}


def _reranked(
    run: RetrievalRun, reader: Reader, question: Question, passages: Sequence[Passage], name: str, cut: dict[str, Any]
) -> Mapping[str, dict[str, Any]]:
    """The reranked orders of one question's passages by every depth and score, under their systems' names.

    `cut` gets what was longer than the reader's limit; see `cut_fields`.
    """
    systems = {}
    for depth in run.depth:
        head, tail = passages[:depth], [passage.id for passage in passages[depth:]]
        session = ScoredSession(reader, question.text, head, run.attribution, len(run.rerank))
        found = cut_fields(session.encoded)
        cut |= {**found, "cut_tokens": {**cut["cut_tokens"], **found["cut_tokens"]}}
        for scoring in run.rerank:
            parsed = parse_scoring(scoring)
            scored = score_passages(session, parsed)
            order, scores = rerank(scored, parsed.fused, run.rrf_k)
            systems[f"{name}/{depth}/{scoring}"] = {
                "passages": [*(head[index].id for index in order), *tail],
                "scores": [round(float(score), 6) for score in scores],
                "answer": session.answer,
                "evaluations": scored.evaluations,
            }
    return systems
