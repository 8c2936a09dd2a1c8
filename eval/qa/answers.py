"""The answers to one question, from the first passages of every order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.qa.settings import Keep, QARun
from eval.retrieval.scoring import Scored, ScoredSession, parse_scoring, rerank, score_passages
from eval.runner import cut_fields
from eval.selection import Example
from rag.questions import Question, holds_answer, score_answer
from rag.readers import Reader
from rag.session import Session
from retrievers import Passage


def answer_question(
    run: QARun, reader: Reader, example: Example, retrieve: float | None = None, *, answerer: Reader | None = None
) -> dict[str, Any]:
    """One question's record: what was read, answered and scored, from passages that are encoded once.

    Args:
        run: sizes and scores.
        reader: orders the passages, and answers if there is no other.
        example: the question with its passages.
        retrieve: seconds that it took to find them; None if they came with the question.
        answerer: answers from the first passages alone, in their order; its seconds are of reading and of decoding.

    Returns:
        `id`, `question`, `accepted`, `passages` (ids in the given order), `retrieve_seconds`, what was cut (see
        `cut_fields`), `encode_seconds`, `by_k`
        (one entry per size: `k`, `passages` read, `answer`, `exact_match`, `f1`, `cover_exact_match`, `recall`,
        `seconds` of one decode, `no_answer_probability`),
        and by score in `reranked`: `passages` and `scores` in the new order, `evaluations` (distinct coalitions) and
        `seconds` that this score alone takes, and its own `by_k`.
    """
    question, passages = example
    session = ScoredSession(reader, question.text, passages, run.attribution, len(run.rerank))
    given = range(len(passages))
    record: dict[str, Any] = {
        "id": question.id,
        "question": question.text,
        "accepted": list(question.answers),
        "passages": [passage.id for passage in passages],
        "retrieve_seconds": retrieve,
        **cut_fields(session.encoded),
        "encode_seconds": session.seconds["encode"],
        "by_k": [
            _answer(session, question, given[:size], size, answerer) | _no_answer_probability(session, size, answerer)
            for size in run.sizes()
        ],
    }
    if run.rerank:
        record["reranked"] = _reranked(run, session, question, answerer)
    return record


def _reranked(run: QARun, session: ScoredSession, question: Question, answerer: Reader | None) -> dict[str, Any]:
    """By score, its order and the answers from its first passages."""
    passages = session.passages
    scored_alone: dict[tuple[str, str], tuple[ScoredSession, Scored, float]] = {}
    reranked = {}
    for name in run.rerank:
        scoring = parse_scoring(name)
        key = scoring.semivalue, scoring.mode
        if key not in scored_alone:  # nothing is shared with other scores, so that the seconds are those of this one
            alone, started = session.anew(), time.perf_counter()
            scored_alone[key] = alone, score_passages(alone, scoring), time.perf_counter() - started
        alone, scored, seconds = scored_alone[key]
        order, scores = rerank(scored, scoring.fused, run.rrf_k)
        by_k = []
        for size in run.reranked_sizes():
            if size != "smallest":
                by_k.append(_answer(session, question, order[:size], size, answerer))
                continue
            started = time.perf_counter()
            kept, text = alone.distil(order, size)
            shown = [passages[index] for index in kept]
            by_k.append(_entry(question, shown, size, text, time.perf_counter() - started))
        reranked[name] = {
            "passages": [passages[index].id for index in order],
            "scores": [round(float(score), 6) for score in scores],
            "evaluations": scored.evaluations,
            "seconds": seconds,
            "by_k": by_k,
        }
    return reranked


def _answer(
    session: ScoredSession, question: Question, kept: Sequence[int], size: int | None, answerer: Reader | None
) -> dict[str, Any]:
    """The answer from these passages, decoded anew, so that the seconds are those of a decode."""
    shown = [session.passages[index] for index in kept]
    row = np.zeros((1, session.n_read), dtype=bool)
    row[0, list(kept)] = True
    started = time.perf_counter()
    if answerer is None:
        text = session.reader.generate(session.encoded, row)[0]
    else:
        text = Session(answerer, question.text, shown, most_decodes=1).answer
    return _entry(question, shown, size, text, time.perf_counter() - started)


def _no_answer_probability(
    session: ScoredSession, size: int | None, answerer: Reader | None
) -> dict[str, float | None]:
    """That of the reader that answers; another one than the session's is not asked."""
    if answerer is not None:
        return {"no_answer_probability": None}
    first = np.zeros((1, session.n_read), dtype=bool)
    first[0, :size] = True
    return {"no_answer_probability": session.no_answer_probabilities(first)[0]}


def _entry(question: Question, shown: Sequence[Passage], size: Keep, text: str, seconds: float) -> dict[str, Any]:
    return {
        "k": size,
        "passages": len(shown),
        "answer": text,
        **score_answer(text, question.answers)._asdict(),
        "recall": any(holds_answer(passage.full_text, question.answers) for passage in shown),
        "seconds": seconds,
    }
