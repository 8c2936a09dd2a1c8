"""Layouts whose questions bring their own passages: DPR and FiD, HotpotQA, MuSiQue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rag.questions.matching import holds_answer
from rag.questions.question import AnswerPlace, Question, QuestionSet
from retrievers import CorpusError, Passage

# Whether the contexts of a list are gold; None where it depends on whether they hold an answer.
_DPR_GOLD = {"ctxs": None, "positive_ctxs": True, "hard_negative_ctxs": False, "negative_ctxs": False}


class _Context(NamedTuple):
    id: str | None
    title: str
    text: str
    gold: bool


class _Entry(NamedTuple):
    id: Any
    text: str
    answers: list[str]
    contexts: list[_Context]


def read_dpr(path: Path, entries: Sequence[Any]) -> QuestionSet:
    """DPR and FiD: `question`, `answers`, and `ctxs` (or `positive_ctxs`, `negative_ctxs`, `hard_negative_ctxs`).

    Of `ctxs`, those that hold an answer are gold.
    """

    def entry(value: dict[str, Any]) -> _Entry:
        answers = [str(answer) for answer in value.get("answers") or [value["target"]]]
        contexts = [_dpr_context(c, _DPR_GOLD[name], answers) for name in _DPR_GOLD for c in value.get(name, [])]
        return _Entry(value.get("id", value.get("_id")), value["question"], answers, contexts)

    return _build(path, entries, entry, "DPR/FiD JSON, which holds question, answers and ctxs")


def read_hotpotqa(path: Path, entries: Sequence[Any]) -> QuestionSet:
    """HotpotQA as published: `context` of (title, sentences) and `supporting_facts` of (title, sentence number)."""

    def entry(value: dict[str, Any]) -> _Entry:
        context, facts = value["context"], value["supporting_facts"]
        if isinstance(context, dict):  # the hub's layout of the same data
            context = zip(context["title"], context["sentences"], strict=True)
            facts = [[title] for title in facts["title"]]
        gold = {fact[0] for fact in facts}
        contexts = [_Context(None, title, "".join(sentences).strip(), title in gold) for title, sentences in context]
        return _Entry(value.get("_id", value.get("id")), value["question"], [value["answer"]], contexts)

    return _build(path, entries, entry, "HotpotQA JSON, which holds question, answer, context and supporting_facts")


def read_paragraphs(path: Path, entries: Sequence[Any]) -> QuestionSet:
    """Paragraphs with `is_supporting`: MuSiQue (`paragraphs`), and HotpotQA in that layout (`contexts`)."""

    def entry(value: dict[str, Any]) -> _Entry:
        contexts = [
            _Context(None, p["title"], p["paragraph_text"].strip(), bool(p["is_supporting"]))
            for p in (value["paragraphs"] if "paragraphs" in value else value["contexts"])
        ]
        if "answers_objects" in value:
            answers = [span for answer in value["answers_objects"] for span in answer["spans"]]
        else:
            answers = [value["answer"], *value.get("answer_aliases", [])]
        text = value["question"] if "question" in value else value["question_text"]
        return _Entry(value.get("id", value.get("question_id")), text, answers, contexts)

    return _build(path, entries, entry, "MuSiQue JSON, whose paragraphs hold title, paragraph_text and is_supporting")


def _build(path: Path, entries: Sequence[Any], parse: Any, layout: str) -> QuestionSet:
    found = QuestionSet([], [])
    for number, value in enumerate(entries, start=1):
        try:
            item: _Entry = parse(value)
            _add(found, item, f"{path.stem}/{number}")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CorpusError(f"{path}, question {number}: not {layout}: {error!r}") from None
    return found


def _add(found: QuestionSet, item: _Entry, name: str) -> None:
    """Add one question with its contexts; empty and repeated contexts are dropped."""
    name = name if item.id is None else str(item.id)
    first, seen, gold = len(found.passages), set(), []
    for number, context in enumerate(item.contexts):
        key = (context.title, context.text)
        if key in seen or not context.text:
            continue
        seen.add(key)
        if context.gold:
            gold.append(len(found.passages))
        own = f"{name}/{number}" if context.id is None else f"{name}/{context.id}"
        found.passages.append(Passage(own, context.text, context.title))
    answers = tuple(dict.fromkeys(answer for answer in item.answers if answer.strip()))
    found.questions.append(
        Question(
            id=name,
            text=item.text.strip(),
            answers=answers,
            article=name,
            passages=tuple(range(first, len(found.passages))),
            gold=tuple(gold),
            place=find_answer(found.passages, gold, answers),
        )
    )


def find_answer(passages: Sequence[Passage], gold: Iterable[int], answers: Iterable[str]) -> AnswerPlace | None:
    """The first place, as whole words in any letter case, of the first answer that stands in a gold passage."""
    for answer in answers:
        pattern = re.compile(rf"(?<!\w){re.escape(answer.strip())}(?!\w)", re.IGNORECASE)
        for index in gold:
            passage = passages[index]
            start = len(passage.full_text) - len(passage.text)
            match = pattern.search(passage.full_text, start) or pattern.search(passage.full_text)
            if match:
                return AnswerPlace(index, match.start(), match.end())
    return None


def _dpr_context(context: dict[str, Any], gold: bool | None, answers: Sequence[str]) -> _Context:
    own, title = context.get("id", context.get("passage_id", context.get("psg_id"))), context.get("title") or ""
    gold = holds_answer(f"{title} {context['text']}", answers) if gold is None else gold
    return _Context(None if own is None else str(own), title, context["text"].strip(), gold)
