"""Which questions an evaluation asks, and which passages the reader gets for each."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from rag.engines import open_engine
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
        if self.retriever.is_engine and (self.index or self.pool or self.passages == "hard"):
            raise ValueError("a search engine (retriever.kind) goes with passages=retrieved, without index and pool")
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
    kinds = [
        q for q in data.questions if selection.kind == "all" or bool(q.answers) == (selection.kind == "answerable")
    ]
    found = of_parity(kinds, selection.ids)
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
    usable = sample(usable, selection.limit, selection.seed)
    return Chosen(_passages(data, usable, selection, root), len(usable), len(found) - len([q for q in found if q.gold]))


def of_parity(questions: Sequence[Question], ids: Literal["all", "odd", "even"]) -> list[Question]:
    """The questions whose id ends in an odd or an even number, or all; `SettingsError` for an id without number."""
    if ids == "all":
        return list(questions)
    kept = []
    for question in questions:
        number = re.search(r"(\d+)\D*$", question.id)
        if number is None:
            raise SettingsError(f"ids={ids}: the id {question.id!r} holds no number")
        if int(number[1]) % 2 == (ids == "odd"):
            kept.append(question)
    return kept


def sample(questions: Sequence[Question], limit: int | None, seed: int) -> list[Question]:
    """At most `limit` questions, drawn at random and kept in their order; None is all."""
    if limit is None or limit >= len(questions):
        return list(questions)
    picked = sorted(random.Random(seed).sample(range(len(questions)), limit))
    return [questions[index] for index in picked]


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
    pool = pooled(data, selection.pool, root)
    place = {passage.full_text: index for index, passage in enumerate(pool)}
    gold = [tuple(place[data.passages[index].full_text] for index in question.gold) for question in questions]
    placed = [replace(question, gold=own) for question, own in zip(questions, gold, strict=True)]
    negatives = mine_negatives(build_retriever(pool, selection.retriever), pool, placed, 3 * depth)
    for question, own, others in zip(questions, gold, negatives, strict=True):
        yield Asked(question, [pool[index] for index in [*own, *others]][:depth])


def _retriever(data: QuestionSet, selection: Selection, root: Path) -> Retriever:
    if selection.index is not None:
        return load_index(root / selection.index)
    if selection.retriever.is_engine:
        return open_engine(selection.retriever.kind, selection.retriever, selection.retriever.dense.encoder)
    return build_retriever(pooled(data, selection.pool, root), selection.retriever)


def pooled(data: QuestionSet, paths: Sequence[str], root: Path) -> list[Passage]:
    """The passages of the data and of more files or folders, those with the same text once.

    Raises:
        SettingsError: there are none.
    """
    passages = list(data.passages)
    for path in paths:
        try:
            passages += load_questions([root / path]).passages
        except CorpusError:
            passages += load_corpus(root / path)
    unique = list({passage.full_text: passage for passage in reversed(passages)}.values())[::-1]
    if not unique:
        raise SettingsError("the questions bring no passages to search; give index or pool")
    return unique
