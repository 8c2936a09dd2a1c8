"""The answers to one question, from the first passages of every order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.qa.settings import Keep, QARun
from eval.retrieval.scoring import CandidateScores, Scored, Scoring, parse_scoring, rerank
from eval.selection import Example
from rag.pipeline import distil
from rag.questions import Question, holds_answer, score_answer
from rag.readers import EncodedQuestion, Reader
from retrievers import Passage


def answer_question(run: QARun, reader: Reader, example: Example, retrieve: float | None = None) -> dict[str, Any]:
    """One question's record: what was read, answered and scored, from passages that are encoded once.

    Args:
        run: sizes and scores.
        reader: the reader.
        example: the question with its passages.
        retrieve: seconds that it took to find them; None if they came with the question.

    Returns:
        `id`, `question`, `accepted`, `passages` (ids in the given order), `retrieve_seconds`, `encode_seconds`, `by_k`
        (one entry per size: `k`, `passages` read, `answer`, `exact_match`, `f1`, `recall`, `seconds` of one decode),
        and by score in `reranked`: `passages` and `scores` in the new order, `evaluations` (distinct coalitions) and
        `seconds` that this score takes by itself, and its own `by_k`.
    """
    question, passages = example
    started = time.perf_counter()
    encoded = reader.encode(question.text, passages)
    encode = time.perf_counter() - started
    given = range(len(passages))
    record: dict[str, Any] = {
        "id": question.id,
        "question": question.text,
        "accepted": list(question.answers),
        "passages": [passage.id for passage in passages],
        "retrieve_seconds": retrieve,
        "encode_seconds": encode,
        "by_k": [_answered(reader, encoded, question, given, size) for size in run.sizes()],
    }
    if run.rerank:
        record["reranked"] = _reranked(run, reader, encoded, question)
    return record


def _reranked(run: QARun, reader: Reader, encoded: EncodedQuestion, question: Question) -> dict[str, Any]:
    """By score, its order and the answers from its first passages."""
    passages = encoded.passages
    games: dict[tuple[str, str], tuple[CandidateScores, Scored, float]] = {}
    found = {}
    for name in run.rerank:
        scoring = parse_scoring(name)
        alone = scoring.semivalue, scoring.mode
        if alone not in games:  # nothing is shared with other scores, so that the seconds are those of this one
            games[alone] = _score(run, reader, encoded, question, scoring)
        candidates, scored, seconds = games[alone]
        order, scores = rerank(scored, scoring.fused, run.rrf_k)
        by_k = [_answered(reader, encoded, question, order, size) for size in run.sizes()[:-1]]
        started = time.perf_counter()
        kept, text = distil(candidates.answers, candidates.answer, order, "smallest")
        took = time.perf_counter() - started
        by_k.append(_entry(question, [passages[index] for index in kept], "smallest", text, took))
        found[name] = {
            "passages": [passages[index].id for index in order],
            "scores": [round(float(score), 6) for score in scores],
            "evaluations": scored.evaluations,
            "seconds": seconds,
            "by_k": by_k,
        }
    return found


def _score(
    run: QARun, reader: Reader, encoded: EncodedQuestion, question: Question, scoring: Scoring
) -> tuple[CandidateScores, Scored, float]:
    started = time.perf_counter()
    candidates = CandidateScores(
        reader, question.text, encoded.passages, run.attribution, len(run.rerank), encoded=encoded
    )
    scored = candidates(scoring)
    return candidates, scored, time.perf_counter() - started


def _answered(
    reader: Reader, encoded: EncodedQuestion, question: Question, order: Sequence[int], size: int | None
) -> dict[str, Any]:
    """The answer from the first passages of an order, decoded anew, so that the seconds are those of a decode."""
    kept = list(order[:size])
    row = np.zeros(len(encoded.passages), dtype=bool)
    row[kept] = True
    started = time.perf_counter()
    text = reader.generate(encoded, row[None])[0]
    seconds = time.perf_counter() - started
    return _entry(question, [encoded.passages[index] for index in kept], size, text, seconds)


def _entry(question: Question, shown: Sequence[Passage], size: Keep, text: str, seconds: float) -> dict[str, Any]:
    score = score_answer(text, question.answers)
    return {
        "k": size,
        "passages": len(shown),
        "answer": text,
        "exact_match": score.exact_match,
        "f1": score.f1,
        "recall": any(holds_answer(passage.full_text, question.answers) for passage in shown),
        "seconds": seconds,
    }
