"""Which questions an evaluation asks, and which passages the reader gets for each."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from rag.pipeline import build_retriever
from rag.questions import Question, QuestionSet, load_questions, mine_negatives
from rag.settings import RetrieverSettings, Section, SettingsError
from retrievers import CorpusError, Passage, Retriever, load_corpus, load_index


class Selection(Section):
    """What is asked, and from which passages.

    Attributes:
        data: question files, or BEIR folders with answers.
        passages: "gold": those marked as holding the answer; "own": those that came with the question, in order;
            "hard": the gold ones, then those that the retriever finds and that do not hold the answer;
            "retrieved": those that the retriever finds.
        k: numbers of first passages to answer from; by default all for "gold" and "own", 10 for "hard" and the
            retriever's `passages` for "retrieved".
        pool: more files or folders whose passages are searched, beside the data's own.
        index: a saved index to search instead of the data's passages.
        kind: questions that have an answer, that have none, or both.
        ids: all questions, or those whose id ends in an odd or even number.
        limit: at most so many questions, drawn at random with `seed`; None is all.
        seed: of that draw.
        retriever: how passages are found.
    """

    data: list[str] = Field(min_length=1)
    passages: Literal["gold", "own", "hard", "retrieved"] = "retrieved"
    k: list[int] | None = Field(default=None, min_length=1)
    pool: list[str] = Field(default=[])
    index: str | None = None
    kind: Literal["answerable", "unanswerable", "all"] = "answerable"
    ids: Literal["all", "odd", "even"] = "all"
    limit: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    retriever: RetrieverSettings = RetrieverSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Selection:
        if self.k is not None and min(self.k) < 1:
            raise ValueError("k must be 1 or more")
        searched = self.passages in ("hard", "retrieved")
        if not searched and (self.pool or self.index):
            raise ValueError(f"passages={self.passages} searches nothing; leave out pool and index")
        if self.index and (self.pool or self.passages == "hard"):
            raise ValueError("index goes with passages=retrieved, and without pool")
        return self

    def sizes(self) -> list[int | None]:
        """Numbers of first passages to answer from, ascending; None is all."""
        if self.k is not None:
            return [*sorted(set(self.k))]
        return [{"hard": 10, "retrieved": self.retriever.passages}.get(self.passages)]


class Asked(NamedTuple):
    """A question and the passages that the reader gets, best first."""

    question: Question
    passages: list[Passage]


class Chosen(NamedTuple):
    """The questions of an evaluation, one after another, and what was left out."""

    asked: Iterator[Asked]
    n_questions: int
    without_gold: int  # questions that have an answer and no passage marked as holding it


def choose(selection: Selection, root: Path | None = None) -> Chosen:
    """Load the data and pick questions and passages.

    Args:
        selection: what to choose.
        root: folder that paths are relative to.

    Raises:
        CorpusError, FileNotFoundError: a file cannot be read.
        SettingsError: no question remains.
    """
    root = root or Path()
    data = load_questions([root / path for path in selection.data])
    found = [q for q in data.questions if _wanted(q, selection)]
    if not found:
        raise SettingsError(
            f"none of {len(data.questions)} questions is left by kind={selection.kind} and ids={selection.ids}"
        )
    usable = found
    if selection.passages in ("gold", "hard") and selection.kind == "answerable":
        usable = [q for q in found if q.gold]
        if not usable:
            raise SettingsError(
                f"passages={selection.passages}: no question has a passage marked as holding its answer"
            )
    if selection.limit is not None and selection.limit < len(usable):
        picked = sorted(random.Random(selection.seed).sample(range(len(usable)), selection.limit))
        usable = [usable[index] for index in picked]
    return Chosen(_passages(data, usable, selection, root), len(usable), len(found) - len([q for q in found if q.gold]))


def _wanted(question: Question, selection: Selection) -> bool:
    if selection.kind != "all" and bool(question.answers) != (selection.kind == "answerable"):
        return False
    if selection.ids == "all":
        return True
    number = re.search(r"(\d+)\D*$", question.id)
    if number is None:
        raise SettingsError(f"ids={selection.ids}: the id {question.id!r} holds no number")
    return int(number[1]) % 2 == (selection.ids == "odd")


def _passages(data: QuestionSet, questions: Sequence[Question], selection: Selection, root: Path) -> Iterator[Asked]:
    if selection.passages in ("gold", "own"):
        for question in questions:
            marked = question.gold if selection.passages == "gold" and question.answers else question.passages
            yield Asked(question, [data.passages[index] for index in marked])
        return
    depth = max(size for size in selection.sizes() if size is not None)
    if selection.passages == "retrieved":
        retriever = _retriever(data, selection, root)
        for question in questions:
            yield Asked(question, [hit.passage for hit in retriever.search(question.text, depth)])
        return
    pool = _pool(data, selection, root)
    place = {passage.full_text: index for index, passage in enumerate(pool)}
    gold = [tuple(place[data.passages[index].full_text] for index in question.gold) for question in questions]
    placed = [replace(question, gold=own) for question, own in zip(questions, gold, strict=True)]
    negatives = mine_negatives(build_retriever(pool, selection.retriever), pool, placed, 3 * depth)
    for question, own, others in zip(questions, gold, negatives, strict=True):
        yield Asked(question, [pool[index] for index in [*own, *others]][:depth])


def _retriever(data: QuestionSet, selection: Selection, root: Path) -> Retriever:
    if selection.index is not None:
        return load_index(root / selection.index)
    return build_retriever(_pool(data, selection, root), selection.retriever)


def _pool(data: QuestionSet, selection: Selection, root: Path) -> list[Passage]:
    """The passages of data and pool, those with the same text once."""
    passages = list(data.passages)
    for path in selection.pool:
        try:
            passages += load_questions([root / path]).passages
        except CorpusError:
            passages += load_corpus(root / path)
    unique = list({passage.full_text: passage for passage in reversed(passages)}.values())[::-1]
    if not unique:
        raise SettingsError(f"{', '.join(selection.data)}: no passages to search; give index or pool")
    return unique
