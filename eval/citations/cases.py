"""Composed answers: each sentence is taken from another passage of an article, one of them from none that is read."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from rag.questions.question import QuestionSet
from retrievers import Passage
from retrievers.corpora.chunking import sentence_spans

_WORDS = range(6, 41)  # of a sentence that is taken


class Statement(NamedTuple):
    """The sentence of a passage in which a question's answer stands."""

    passage: int
    text: str
    question: str


@dataclass(frozen=True)
class Case:
    """A question, its passages, and an answer composed of sentences.

    Attributes:
        id: names the case.
        question: the questions that the sentences answer, one after another; none for the made-up sentence.
        passages: the sources and the distractors, shuffled.
        sentences: the answer's sentences; joined by spaces they are the answer.
        sources: id of the passage that each sentence is taken from; None for the made-up one.
    """

    id: str
    question: str
    passages: tuple[Passage, ...]
    sentences: tuple[str, ...]
    sources: tuple[str | None, ...]


def compose(data: QuestionSet, cases: int, distractors: int, seed: int) -> list[Case]:
    """Composed answers, each within one article, whose name differs from case to case as chance has it.

    Two to four sentences are taken, each from another passage that is read. One more is from a passage of the article
    that is not read: to the reader, it is made up. It stands at a random place. Distractors are other passages of the
    article.

    Args:
        data: questions with the places of their answers, as in SQuAD.
        cases: how many to compose.
        distractors: passages beside those that sentences are taken from.
        seed: of all draws.

    Raises:
        ValueError: no article has enough passages with such sentences.
    """
    rng = random.Random(seed)
    members: dict[str, set[int]] = defaultdict(set)
    statements: dict[str, dict[int, list[Statement]]] = defaultdict(lambda: defaultdict(list))
    for question in data.questions:
        members[question.article].update(question.passages)
    for article, statement in _statements(data):
        statements[article][statement.passage].append(statement)
    # For four sentences and the made-up one, sources are needed; for the distractors, any other passages.
    fit = sorted(a for a in statements if len(statements[a]) >= 5 and len(members[a]) >= 5 + distractors)
    if not fit:
        raise ValueError(
            f"no article has answers in 5 passages and {distractors} more passages; give SQuAD files of whole articles"
        )
    found = []
    for number in range(cases):
        article = rng.choice(fit)
        sources = rng.sample(sorted(statements[article]), rng.randint(2, 4) + 1)
        chosen = [rng.choice(statements[article][source]) for source in sources]
        *read, unread = sources
        others = rng.sample(sorted(members[article] - set(sources)), distractors)
        places = [*read, *others]
        rng.shuffle(places)
        asked = " ".join(statement.question for statement in chosen[:-1])
        order = rng.sample(range(len(chosen)), len(chosen))
        names = [None if source == unread else data.passages[source].id for source in sources]
        found.append(
            Case(
                f"{article}/{number}",
                asked,
                tuple(data.passages[place] for place in places),
                tuple(chosen[i].text for i in order),
                tuple(names[i] for i in order),
            )
        )
    return found


def _statements(data: QuestionSet) -> Iterable[tuple[str, Statement]]:
    seen = set()
    for question in data.questions:
        place = question.place
        if place is None:
            continue
        passage = data.passages[place.passage]
        before = len(passage.full_text) - len(passage.text)
        for start, end in sentence_spans(passage.text):
            text = " ".join(passage.text[start:end].split())
            whole = before + start <= place.start and place.end <= before + end
            # A sentence that ends without its mark would run into the next one of a composed answer.
            if whole and len(text.split()) in _WORDS and text[-1] in ".!?" and text not in seen:
                seen.add(text)
                yield question.article, Statement(place.passage, text, question.text.strip())
