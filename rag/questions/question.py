"""A question, what is known of its answer, and the passages that came with it."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from retrievers import Passage


class AnswerPlace(NamedTuple):
    """Where the target answer stands: characters [start, end) of a passage's `full_text`."""

    passage: int
    start: int
    end: int


@dataclass(frozen=True)
class Question:
    """A question of a data set.

    Attributes:
        id: its id in the file, or "FILE/NUMBER" where the file gives none.
        text: the question.
        answers: accepted answers; none where the data say that there is no answer.
        article: what a split keeps on one side: the article's title, the paragraph's id where it has none,
            or the question's own id.
        passages: indices of the passages that came with the question, in the file's order.
        gold: those of `passages` that hold or support the answer.
        place: where the target answer stands in a gold passage; None if nowhere.
        metadata: what else the file says of it.
        answers_given: whether the file speaks of answers; where it does not, `answers` is empty and says nothing.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    article: str
    passages: tuple[int, ...] = ()
    gold: tuple[int, ...] = ()
    place: AnswerPlace | None = None
    metadata: dict[str, Any] = field(default_factory=dict, hash=False)
    answers_given: bool = True


@dataclass(frozen=True)
class QuestionSet:
    """Questions and the passages that they point into.

    Attributes:
        passages: all passages.
        questions: all questions.
        notes: what of the files was left out, or read in one of several ways.
    """

    passages: list[Passage]
    questions: list[Question]
    notes: list[str] = field(default_factory=list)

    def answer(self, question: Question) -> str:
        """The target answer as it stands in its passage; "" if it has no place."""
        place = question.place
        return "" if place is None else self.passages[place.passage].full_text[place.start : place.end]

    def __add__(self, other: QuestionSet) -> QuestionSet:
        """Both sets' questions over both sets' passages."""
        shift = len(self.passages)
        moved = [
            replace(
                question,
                passages=tuple(p + shift for p in question.passages),
                gold=tuple(p + shift for p in question.gold),
                place=question.place and question.place._replace(passage=question.place.passage + shift),
            )
            for question in other.questions
        ]
        passages, questions = [*self.passages, *other.passages], [*self.questions, *moved]
        return QuestionSet(passages, questions, [*self.notes, *other.notes])


def draw_questions(questions: Sequence[Question], limit: int | None, seed: int) -> list[Question]:
    """At most `limit` questions, drawn at random and kept in their order; None is all."""
    if limit is None or limit >= len(questions):
        return list(questions)
    picked = sorted(random.Random(seed).sample(range(len(questions)), limit))
    return [questions[index] for index in picked]


def split_by_article(questions: Sequence[Question], every: int = 20) -> tuple[list[int], list[int]]:
    """Question indices for training and for validation: each `every`-th article is held out, whole.

    Articles are ordered by name with digits left out, so that the split does not depend on file order.
    """
    names = {question.article for question in questions}
    articles = sorted(names, key=lambda name: (re.sub(r"\d", "", name), name))
    held_out = set(articles[every // 2 :: every])
    train = [i for i, q in enumerate(questions) if q.article not in held_out]
    return train, [i for i, q in enumerate(questions) if q.article in held_out]
