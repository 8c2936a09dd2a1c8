"""Retrieve, rerank and keep what came, question by question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.records import Records
from eval.retrieval.first_stage import FirstStages, run_warnings
from eval.retrieval.metrics import parse_metrics
from eval.retrieval.scoring import CandidateScores, parse_scoring, rerank
from eval.retrieval.settings import RetrievalRun
from eval.retrieval.summary import RetrievalResult, summarise
from eval.retrieval.task import Task, load_task
from rag.provenance import made_with
from rag.questions import Question
from rag.readers import Reader
from rag.readers.loading import load_reader
from retrievers import Passage

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total)."""

QUESTIONS_FILE = "questions.jsonl"
_AT_ONCE = 16  # questions retrieved together


def evaluate_retrieval(
    run: RetrievalRun,
    out: Path | None = None,
    *,
    root: Path | None = None,
    reader: Reader | None = None,
    progress: Progress | None = None,
) -> RetrievalResult:
    """Measure the systems of a run on its questions.

    Args:
        run: questions, corpus, systems and what is reported.
        out: folder in which each question's results are kept as they come, in `questions.jsonl`; a run that was stopped
            goes on from there, and one that only reports otherwise asks nothing again.
        root: folder that the run's paths are relative to.
        reader: used instead of the one that the run names.
        progress: called as progress(stage, done, total), in passages for "indexing …", then for "questions".

    Raises:
        CorpusError, FileNotFoundError: data, corpus or runs cannot be read.
        SettingsError: a setting cannot be honoured, or `out` holds results of other settings.
    """
    root = root or Path()
    parse_metrics(run.report.metrics)
    task = load_task(run, root)
    made = _made_with(run, root, reader)
    records = Records(None if out is None else out / QUESTIONS_FILE, made)
    try:
        missing = [question for question in task.questions if question.id not in records]
        if missing:
            _ask(run, task, missing, records, root, reader, progress)
    finally:
        records.close()
    warnings = [*task.warnings, *run_warnings(run, task, root), *records.warnings]
    found = [records[question.id] for question in task.questions]
    return summarise(run, task, found, made, warnings)


def _made_with(run: RetrievalRun, root: Path, reader: Reader | None) -> dict[str, Any]:
    """What the records depend on."""
    named = [path for path in (*run.data, *run.runs, *run.pool, run.qrels, run.index, run.corpus) if path]
    return made_with(
        run.model_dump(mode="json", exclude={"report"}),
        (reader or run.reader) if run.rerank else None,
        ((path, root / path) for path in named),
        "faiss-cpu",
        "ir_measures",
    )


def _ask(
    run: RetrievalRun,
    task: Task,
    questions: Sequence[Question],
    records: Records,
    root: Path,
    reader: Reader | None,
    progress: Progress | None,
) -> None:
    stages = FirstStages(run, task, root, progress)
    known = stages.known()
    if run.rerank and reader is None:
        reader = load_reader(run.reader)
    done = len(task.questions) - len(questions)
    for start in range(0, len(questions), _AT_ONCE):
        part = questions[start : start + _AT_ONCE]
        ranked = {name: search(part) for name, search in stages.searches.items()}
        for place, question in enumerate(part):
            systems: dict[str, Any] = {}
            for name, rankings in ranked.items():
                systems[name] = {"passages": [passage.id for passage in rankings[place]]}
                if reader is not None and run.rerank:
                    systems |= rerank_all(run, reader, question, rankings[place], name)
            unique = {passage.id: passage for rankings in ranked.values() for passage in rankings[place]}
            records.add(
                {
                    "id": question.id,
                    "question": question.text,
                    "accepted": list(question.answers),
                    "found": sorted(name for name, passage in unique.items() if task.found(question, passage)),
                    "unknown": 0 if known is None else len(task.relevant(question) - known),
                    "systems": systems,
                }
            )
            done += 1
            if progress is not None:
                progress("questions", done, len(task.questions))


def rerank_all(
    run: RetrievalRun, reader: Reader, question: Question, passages: Sequence[Passage], name: str
) -> Mapping[str, dict[str, Any]]:
    """The reranked orders of one question's passages by every depth and score, under their systems' names."""
    systems = {}
    for depth in run.depth:
        head, tail = passages[:depth], [passage.id for passage in passages[depth:]]
        candidates = CandidateScores(reader, question.text, head, run.attribution, len(run.rerank))
        for scoring in run.rerank:
            parsed = parse_scoring(scoring)
            scored = candidates(parsed)
            order, scores = rerank(scored, parsed.fused, run.rrf_k)
            systems[f"{name}/{depth}/{scoring}"] = {
                "passages": [*(head[index].id for index in order), *tail],
                "scores": [round(float(score), 6) for score in scores],
                "answer": candidates.answer,
                "evaluations": scored.evaluations,
            }
    return systems
