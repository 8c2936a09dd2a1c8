"""Retrieve, rerank and keep what came, question by question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
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
from rag.scale import Executor, LocalExecutor
from rag.scale.readers import load_same_reader, reader_or_checksum
from rag.session import Session
from rag.settings import Settings
from rag.settings_base import SettingsError
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
    executor: Executor | None = None,
) -> RetrievalResult:
    """Measure the systems of a run on its questions.

    Args:
        run: questions, corpus, systems and what is reported.
        out: folder in which each question's results are kept as they come, in `questions.jsonl`; a run that was stopped
            goes on from there, and one that only reports otherwise asks nothing again.
        root: folder that the run's paths are relative to.
        reader: used instead of the one that the run names.
        progress: called as progress(stage, done, total), in passages for "indexing …", then for "questions".
        executor: spreads the reranking of questions; by default it is done in this process.

    Raises:
        CorpusError, FileNotFoundError: data, corpus or runs cannot be read.
        SettingsError: a setting cannot be honoured, or `out` holds results of other settings.
    """
    root, executor = root or Path(), executor or LocalExecutor()
    parse_metrics(run.report.metrics)
    if executor.remote and not run.rerank:
        raise SettingsError("--engine ray spreads reranking, and nothing is reranked; give --rerank, or leave it out")
    task = load_task(run, root)
    made = _made_with(run, root, reader)
    records = Records(None if out is None else out / QUESTIONS_FILE, made)
    try:
        missing = [question for question in task.questions if question.id not in records]
        if missing:
            named = reader_or_checksum(reader, made["reader"], executor) if run.rerank else None
            worker = partial(_reranker, run, named)
            done = len(task.questions) - len(missing)
            for record in executor.map(worker, _first_stages(run, task, missing, root, progress)):
                records.add(record)
                done += 1
                if progress is not None:
                    progress("questions", done, len(task.questions))
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


Found = tuple[Question, dict[str, list[Passage]], dict[str, Any]]
"""A question, what every first stage found, and the parts of its record that need no reader."""


def _first_stages(
    run: RetrievalRun, task: Task, questions: Sequence[Question], root: Path, progress: Progress | None
) -> Iterator[Found]:
    stages = FirstStages(run, task, root, progress)
    known = stages.known()
    for start in range(0, len(questions), _AT_ONCE):
        part = questions[start : start + _AT_ONCE]
        ranked = {name: search(part) for name, search in stages.searches.items()}
        for place, question in enumerate(part):
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


def _reranker(run: RetrievalRun, reader: Reader | str | None) -> Callable[[Found], dict[str, Any]]:
    """Reranks by a reader, or by that of the run, which has this checksum; where nothing is reranked, by none."""
    loaded = None if reader is None else load_same_reader(run.reader, reader)

    def record(found: Found) -> dict[str, Any]:
        question, ranked, start = found
        systems: dict[str, Any] = {}
        for name, passages in ranked.items():
            systems[name] = {"passages": [passage.id for passage in passages]}
            if loaded is not None:
                systems |= rerank_all(run, loaded, question, passages, name)
        return {**start, "systems": systems}

    return record


def rerank_all(
    run: RetrievalRun, reader: Reader, question: Question, passages: Sequence[Passage], name: str
) -> Mapping[str, dict[str, Any]]:
    """The reranked orders of one question's passages by every depth and score, under their systems' names."""
    systems, settings = {}, Settings(attribution=run.attribution)
    for depth in run.depth:
        head, tail = passages[:depth], [passage.id for passage in passages[depth:]]
        most = min(2 ** len(head), len(run.rerank) * run.attribution.budget)
        session = Session(reader, question.text, head, settings, most_decodes=most)
        candidates = CandidateScores(session)
        for scoring in run.rerank:
            parsed = parse_scoring(scoring)
            scored = candidates(parsed)
            order, scores = rerank(scored, parsed.fused, run.rrf_k)
            systems[f"{name}/{depth}/{scoring}"] = {
                "passages": [*(head[index].id for index in order), *tail],
                "scores": [round(float(score), 6) for score in scores],
                "answer": session.answer,
                "evaluations": scored.evaluations,
            }
    return systems
