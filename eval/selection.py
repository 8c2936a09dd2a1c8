"""Which questions an evaluation asks, and which passages the reader gets for each."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from attribution import normalize_answer
from rag.questions import Question, QuestionSet, load_questions, mine_negatives
from rag.retrieval import build_retriever, open_engine
from rag.settings import RetrieverSettings
from rag.settings_base import Section, SettingsError
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
        kind: questions that have an answer, that have none, or both; those whose accepted answers all normalise to
            nothing are left out.
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

    def usual(self) -> int | None:
        """How many passages are read where nothing says how many; None is all."""
        return {"hard": 10, "retrieved": self.retriever.passages}.get(self.passages)

    def read(self) -> int | None:
        """How many passages of each question the reader gets; None is all."""
        return self.usual() if self.k is None or self.usual() is None else max(self.k)

    def sizes(self) -> list[int | None]:
        """Numbers of first passages to answer from, ascending; None is all."""
        return [self.usual()] if self.k is None else [*sorted(set(self.k))]


class Asked(NamedTuple):
    """A question and the passages that the reader gets, best first."""

    question: Question
    passages: list[Passage]


@dataclass(frozen=True)
class Chosen:
    """The questions of an evaluation and where their passages come from.

    Attributes:
        selection: what was chosen by.
        root: folder that its paths are relative to.
        data: all questions and passages.
        questions: those that are asked.
        without_gold: how many have an answer and no passage marked as holding it.
        warnings: what was left out, and how much of it.
    """

    selection: Selection
    root: Path
    data: QuestionSet
    questions: list[Question]
    without_gold: int
    warnings: tuple[str, ...]

    @property
    def asked(self) -> Iterator[Asked]:
        """All questions with their passages."""
        return self.passages_of(self.questions)

    def passages_of(self, questions: Sequence[Question]) -> Iterator[Asked]:
        """Some of the questions with their passages; what has to be indexed is so before the first is given."""
        return _passages(self.data, questions, self.selection, self.root) if questions else iter(())


def choose(selection: Selection, root: Path | None = None) -> Chosen:
    """Load the data and pick questions.

    Args:
        selection: what to choose.
        root: folder that paths are relative to.

    Raises:
        CorpusError, FileNotFoundError: a file cannot be read, or two questions have one id.
        SettingsError: no question remains.
    """
    root = root or Path()
    data = load_questions([root / path for path in selection.data])
    wanted, warnings = askable(data, selection.data, selection.ids)
    empty = [q for q in wanted if q.answers and not any(map(normalize_answer, q.answers))]
    if empty:
        warnings.append(
            f"{len(empty)} questions are left out, such as {empty[0].id!r}: "
            "nothing of their accepted answers is left by normalisation"
        )
    scored = [q for q in wanted if not q.answers or any(map(normalize_answer, q.answers))]
    found = [q for q in scored if selection.kind == "all" or bool(q.answers) == (selection.kind == "answerable")]
    if selection.kind == "answerable" and len(found) < len(scored):
        warnings.append(f"{len(scored) - len(found)} questions without accepted answer are left out (kind=answerable)")
    if not found:
        raise SettingsError(
            f"none of {len(data.questions)} questions is left by kind={selection.kind} and ids={selection.ids}"
            + "".join(f"; {warning}" for warning in warnings)
        )
    usable, without_gold = found, sum(not q.gold for q in found)
    if selection.passages in ("gold", "hard") and selection.kind == "answerable":
        usable = [q for q in found if q.gold]
        if not usable:
            raise SettingsError(
                f"passages={selection.passages}: no question has a passage marked as holding its answer"
            )
        if without_gold:
            warnings.append(f"{without_gold} questions left out: their answer stands whole in no passage")
    usable = sample(usable, selection.limit, selection.seed)
    return Chosen(selection, root, data, usable, without_gold, tuple(warnings))


def askable(
    data: QuestionSet, names: Sequence[str], ids: Literal["all", "odd", "even"]
) -> tuple[list[Question], list[str]]:
    """The questions with such ids, without blank ones, and what is to be said of these.

    Raises:
        CorpusError: two questions of these files have one id, by which results are kept.
        SettingsError: an id holds no number, and is asked for one.
    """
    counts = Counter(question.id for question in data.questions)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise CorpusError(f"{', '.join(names)}: {len(repeated)} question ids come twice, such as {repeated[0]!r}")
    wanted = of_parity(data.questions, ids)
    blank = [question for question in wanted if not question.text.strip()]
    said = [f"{len(blank)} questions are blank, such as {blank[0].id!r}, and are left out"] if blank else []
    return [question for question in wanted if question.text.strip()], said


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
    depth = selection.read()
    if selection.passages == "retrieved":
        assert depth is not None
        retriever = _retriever(data, selection, root)
        return (Asked(q, [hit.passage for hit in retriever.search(q.text, depth)]) for q in questions)
    if selection.passages == "hard":
        return _hard(data, questions, selection, root)
    marked = (q.gold if selection.passages == "gold" and q.answers else q.passages for q in questions)
    return (
        Asked(question, [data.passages[index] for index in own[:depth]])
        for question, own in zip(questions, marked, strict=True)
    )


def _hard(data: QuestionSet, questions: Sequence[Question], selection: Selection, root: Path) -> Iterator[Asked]:
    depth = selection.read()
    assert depth is not None
    pool = pooled(data, selection.pool, root)
    place = {passage.full_text: index for index, passage in enumerate(pool)}
    gold = [tuple(place[data.passages[index].full_text] for index in question.gold) for question in questions]
    placed = [replace(question, gold=own) for question, own in zip(questions, gold, strict=True)]
    negatives = mine_negatives(build_retriever(pool, selection.retriever), pool, placed, 3 * depth)
    return (
        Asked(question, [pool[index] for index in [*own, *others]][:depth])
        for question, own, others in zip(questions, gold, negatives, strict=True)
    )


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
