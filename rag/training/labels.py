"""Gold passages for questions of which only the answers are known.

A passage that a retriever finds for a question and that holds an accepted answer is a distant label (Mintz et al.
2009), and often a wrong one: the words stand there by chance. A reader is asked about each of these passages by itself;
the label is kept if the reader finds the answer likely. What it would not say itself, but finds likely, is what
it can learn most from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rag.questions import Question, holds_answer
from rag.questions.contexts import find_answer
from rag.readers.base import Reader
from retrievers import Passage, Retriever

_AT_ONCE = 512  # questions that are searched for together


class Label(NamedTuple):
    """A question with a passage that answers it, and where the answer stands in the passage's text."""

    question: Question
    passage: Passage
    start: int
    end: int


def find_labels(
    questions: Sequence[Question],
    retriever: Retriever,
    reader: Reader,
    *,
    depth: int = 10,
    most: int = 2,
    likely: float = -3.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[list[Label]]:
    """The labels of each question, best passage first; none for a question that no passage answers.

    Args:
        questions: with accepted answers.
        retriever: searched for them.
        reader: judges the answer, from each passage alone.
        depth: passages retrieved for each question.
        most: labels kept for each question.
        likely: the reader's log-probability of the answer is at least this.
        progress: called as progress(done, total), in questions.
    """
    for first in range(0, len(questions), _AT_ONCE):
        part = questions[first : first + _AT_ONCE]
        found = retriever.search_many([question.text for question in part], depth)
        for number, (question, hits) in enumerate(zip(part, found, strict=True), start=first + 1):
            holders = [hit.passage for hit in hits if holds_answer(hit.passage.text, question.answers)]
            yield _checked(question, holders, reader, most, likely)
            progress(number, len(questions))


def _checked(question: Question, holders: Sequence[Passage], reader: Reader, most: int, likely: float) -> list[Label]:
    labels: list[Label] = []
    for passage in holders:
        text = Passage(passage.id, passage.text)  # an answer in the title alone says nothing of the text
        place = find_answer([text], [0], question.answers)
        if place is None:
            continue
        said = passage.text[place.start : place.end]
        encoded = reader.encode(question.text, [passage])
        if reader.score(encoded, np.ones((1, 1), dtype=bool), [said])[0, 0] >= likely:
            labels.append(Label(question, passage, place.start, place.end))
        if len(labels) == most:
            break
    return labels


def as_squad(labels: Sequence[Label]) -> dict[str, Any]:
    """Labels in SQuAD's layout: one article per title, one paragraph per passage.

    A question with several passages stands in each of them, under an id of its own.
    """
    articles: dict[str, dict[str, dict[str, Any]]] = {}
    for number, (question, passage, start, end) in enumerate(labels):
        paragraphs = articles.setdefault(passage.title, {})
        paragraph = paragraphs.setdefault(passage.text, {"context": passage.text, "qas": []})
        answers = [{"text": passage.text[start:end], "answer_start": start}]
        paragraph["qas"].append({"id": f"{question.id}~{number}", "question": question.text, "answers": answers})
    data = [{"title": title, "paragraphs": [*paragraphs.values()]} for title, paragraphs in articles.items()]
    return {"version": "1.1", "data": data}
