"""Which questions an evaluation asks, and which passages the reader gets for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from attribution import normalize_answer
from rag.questions import Question, QuestionSet, draw_questions, load_questions, mine_negatives
from rag.questions.overlap import question_digest, read_digests
from rag.questions.pool import load_pool, with_pool
from rag.retrieval import build_retriever, open_retriever
from rag.settings import RetrieverSettings, Settings
from rag.settings_base import Section, SettingsError
from retrievers import CorpusError, Passage, Retriever


class QuestionSettings(Section):
    """Which questions are asked, and what is searched for them.

    Attributes:
        data: question files, or BEIR folders.
        pool: more files or folders whose passages are searched beside the data's own.
        index: a saved index to search instead of the data's passages.
        ids: "all" questions, those whose id ends in an "odd" or "even" number, or those of a list of digests (a file,
            or the name of a shipped one such as "held-out").
        limit: at most this many questions, drawn at random with `seed`; None is all.
        seed: of that draw.
    """

    data: list[str] = Field(min_length=1)
    pool: list[str] = Field(default=[])
    index: str | None = None
    ids: str = "all"
    limit: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)


class Selection(QuestionSettings):
    """Which questions with accepted answers are asked, and which passages the reader gets for each.

    Attributes:
        passages: "gold": those marked as holding the answer; "own": those that came with the question, in order;
            "hard": the gold ones, then those that the retriever finds and that do not hold the answer;
            "retrieved": those that the retriever finds.
        k: numbers of first passages to answer from; by default all for "gold" and "own", 10 for "hard" and the
            retriever's `passages` for "retrieved".
        kind: questions that have an answer, that have none, or both; those whose accepted answers all normalise to
            nothing are left out.
        retriever: how passages are found.
    """

    passages: Literal["gold", "own", "hard", "retrieved"] = "retrieved"
    k: list[int] | None = Field(default=None, min_length=1)
    kind: Literal["answerable", "unanswerable", "all"] = "answerable"
    retriever: RetrieverSettings = RetrieverSettings()

    @model_validator(mode="after")
    def _can_search(self) -> Selection:
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


class Example(NamedTuple):
    """A question and the passages that the reader gets, best first."""

    question: Question
    passages: list[Passage]


@dataclass(frozen=True)
class SelectedQuestions:
    """The questions of an evaluation and where their passages come from.

    Attributes:
        selection: what was selected by.
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

    def examples(self, questions: Sequence[Question] | None = None) -> Iterator[Example]:
        """All questions, or these, with their passages; what is searched is indexed before the first is given."""
        questions = self.questions if questions is None else questions
        if not questions:
            return iter(())
        if self.selection.passages == "hard":
            return self._with_hard_negatives(questions)
        depth = self.selection.read()
        if self.selection.passages == "retrieved":
            assert depth is not None
            retriever = self._retriever()
            return (Example(q, [hit.passage for hit in retriever.search(q.text, depth)]) for q in questions)
        gold = self.selection.passages == "gold"
        places = (question.gold if gold and question.answers else question.passages for question in questions)
        return (
            Example(question, [self.data.passages[place] for place in own[:depth]])
            for question, own in zip(questions, places, strict=True)
        )

    def _with_hard_negatives(self, questions: Sequence[Question]) -> Iterator[Example]:
        depth = self.selection.read()
        assert depth is not None
        pool = pooled(replace(self.data, questions=list(questions)), self.selection.pool, self.root)
        retriever = build_retriever(pool.passages, self.selection.retriever)
        negatives = mine_negatives(retriever, pool.passages, pool.questions, 3 * depth)
        return (
            Example(question, [pool.passages[index] for index in [*question.gold, *others]][:depth])
            for question, others in zip(pool.questions, negatives, strict=True)
        )

    def _retriever(self) -> Retriever:
        settings, index = self.selection.retriever, self.selection.index
        if index is not None or settings.is_engine:
            return open_retriever(Settings(retriever=settings), index=None if index is None else self.root / index)
        return build_retriever(pooled(self.data, self.selection.pool, self.root).passages, settings)


def select_questions(selection: Selection, root: Path | None = None) -> SelectedQuestions:
    """Load the data and pick questions.

    Args:
        selection: which.
        root: folder that paths are relative to.

    Raises:
        CorpusError, FileNotFoundError: a file cannot be read.
        SettingsError: no question remains.
    """
    root = root or Path()
    data = load_questions([root / path for path in selection.data])
    wanted, warnings = usable_questions(data, selection)
    scored: list[Question] = []
    unscored: list[Question] = []
    for question in wanted:
        accepted = question.answers
        (scored if not accepted or any(map(normalize_answer, accepted)) else unscored).append(question)
    if unscored:
        warnings.append(
            f"{len(unscored)} questions are left out, such as {unscored[0].id!r}: "
            "nothing of their accepted answers is left by normalisation"
        )
    if selection.kind != "answerable":
        silent = [question for question in scored if not question.answers_given]
        scored = [question for question in scored if question.answers_given]
        if silent:
            warnings.append(f"{len(silent)} questions are left out, such as {silent[0].id!r}: the data give no answers")
    of_kind = [q for q in scored if selection.kind == "all" or bool(q.answers) == (selection.kind == "answerable")]
    if selection.kind == "answerable" and len(of_kind) < len(scored):
        left_out = len(scored) - len(of_kind)
        warnings.append(f"{left_out} questions without accepted answer are left out (kind=answerable)")
    if not of_kind:
        raise SettingsError(
            f"none of {len(data.questions)} questions is left by kind={selection.kind} and ids={selection.ids}"
            + "".join(f"; {warning}" for warning in warnings)
        )
    usable, without_gold = of_kind, sum(not q.gold for q in of_kind)
    if selection.passages in ("gold", "hard") and selection.kind == "answerable":
        usable = [q for q in of_kind if q.gold]
        if not usable:
            raise SettingsError(
                f"passages={selection.passages}: no question has a passage marked as holding its answer"
            )
        if without_gold:
            warnings.append(f"{without_gold} questions left out: their answer stands whole in no passage")
    if selection.passages == "own":
        if not any(question.passages for question in usable):
            raise SettingsError("passages=own: no question brings passages; leave it out to retrieve them")
        if bare := sum(not question.passages for question in usable):
            warnings.append(f"{bare} of {len(usable)} questions bring no passages; they are asked without any")
    usable = draw_questions(usable, selection.limit, selection.seed)
    return SelectedQuestions(selection, root, data, usable, without_gold, tuple(warnings))


def usable_questions(data: QuestionSet, settings: QuestionSettings) -> tuple[list[Question], list[str]]:
    """The questions with such ids that are not blank; the data's notes, and warnings about blank ones and repeated ids.

    Results are kept by id, so that a question with the id of an earlier one is given a number behind it.

    Raises:
        SettingsError: ids are chosen by their number, and one holds none.
    """
    is_wanted = _wanted(settings.ids)
    numbered = zip(data.questions, _distinct([question.id for question in data.questions]), strict=True)
    wanted = [(question, name) for question, name in numbered if is_wanted(question)]
    blank = [question for question, _ in wanted if not question.text.strip()]
    warnings = list(data.notes)
    if blank:
        warnings.append(f"{len(blank)} questions are blank, such as {blank[0].id!r}, and are left out")
    usable = [(question, name) for question, name in wanted if question.text.strip()]
    if repeated := [(question.id, name) for question, name in usable if name != question.id]:
        warnings.append(
            f"{len(repeated)} questions have the id of an earlier one, such as {repeated[0][0]!r}; they are kept as "
            f"{repeated[0][1]!r} and so on"
        )
    return [question if name == question.id else replace(question, id=name) for question, name in usable], warnings


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number behind each that was there before; it does not depend on what is chosen of them."""
    taken, seen, found = set(names), set[str](), list[str]()
    for name in names:
        own = name
        if name in seen:
            own = next(other for number in count(2) if (other := f"{name}~{number}") not in taken)
        taken.add(own)
        seen.add(name)
        found.append(own)
    return found


def _wanted(ids: str) -> Callable[[Question], bool]:
    if ids == "all":
        return lambda question: True
    if ids in ("odd", "even"):
        return lambda question: _parity(question.id, ids) == ids
    digests = read_digests(ids)
    return lambda question: question_digest(question.text) in digests


def _parity(name: str, wanted: str) -> str:
    """Whether the last number in an id is "odd" or "even"."""
    number = re.search(r"(\d+)\D*$", name)
    if number is None:
        raise SettingsError(f"ids={wanted}: the id {name!r} holds no number")
    return "odd" if int(number[1]) % 2 else "even"


def pooled(data: QuestionSet, paths: Sequence[str], root: Path) -> QuestionSet:
    """The questions over the data's passages and those of more files or folders, each text once.

    Raises:
        CorpusError: two passages have one id.
        SettingsError: there are no passages.
    """
    found = with_pool(data, load_pool([root / path for path in paths]))
    if not found.passages:
        raise SettingsError("the questions bring no passages to search; give index or pool")
    first: dict[str, Passage] = {}
    for passage in found.passages:
        if (other := first.setdefault(passage.id, passage)) is not passage:
            raise CorpusError(
                f"two passages have the id {passage.id!r}: {other.full_text[:60]!r} and {passage.full_text[:60]!r}; "
                "give the questions or passages of each file ids of their own, or evaluate the files one by one"
            )
    return found
