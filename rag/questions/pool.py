"""A pool of passages to search beside those that came with the questions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rag.questions.loading import load_questions
from rag.questions.question import QuestionSet
from retrievers import CorpusError, Passage, load_corpus


def load_pool(paths: Sequence[Path]) -> list[Passage]:
    """The passages of question files and of corpora."""
    passages: list[Passage] = []
    for path in paths:
        try:
            own = load_questions([path]).passages
        except CorpusError:
            own = []
        passages += own or load_corpus(path)  # a table of two columns may be either
    return passages


def with_pool(data: QuestionSet, pool: Iterable[Passage]) -> QuestionSet:
    """The questions over their own passages and those of the pool, each text once."""
    place: dict[str, int] = {}
    passages: list[Passage] = []
    for passage in (*data.passages, *pool):
        if place.setdefault(passage.full_text, len(passages)) == len(passages):
            passages.append(passage)
    moved = [place[passage.full_text] for passage in data.passages]
    questions = [
        replace(
            question,
            passages=tuple(dict.fromkeys(moved[index] for index in question.passages)),
            gold=tuple(dict.fromkeys(moved[index] for index in question.gold)),
            place=question.place and question.place._replace(passage=moved[question.place.passage]),
        )
        for question in data.questions
    ]
    return QuestionSet(passages, questions, data.notes)
