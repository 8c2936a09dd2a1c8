"""Layouts whose questions bring their own passages: DPR and FiD, HotpotQA, MuSiQue, MIRACL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rag.questions.fields import Entry
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


def read_dpr(entries: Sequence[Entry]) -> QuestionSet:
    """DPR and FiD: `question`, `answers`, and `ctxs` (or `positive_ctxs`, `negative_ctxs`, `hard_negative_ctxs`).

    Of `ctxs`, those that hold an answer are gold.
    """

    def contexts(entry: Entry) -> Iterator[_Context]:
        answers = entry.answers or ()
        for name, gold in _DPR_GOLD.items():
            for context in entry.value.get(name) or ():
                own, title = _first(context, "id", "passage_id", "psg_id"), context.get("title") or ""
                holds = holds_answer(f"{title} {context['text']}", answers) if gold is None else gold
                yield _Context(own, title, context["text"].strip(), holds)

    return _build(entries, contexts, "DPR/FiD JSON, which holds question, answers and ctxs")


def read_hotpotqa(entries: Sequence[Entry]) -> QuestionSet:
    """HotpotQA as published: `context` of (title, sentences) and `supporting_facts` of (title, sentence number)."""

    def contexts(entry: Entry) -> Iterator[_Context]:
        context, facts = entry.value["context"], entry.value["supporting_facts"]
        if isinstance(context, dict):  # the hub's layout of the same data
            context = zip(context["title"], context["sentences"], strict=True)
            facts = [[title] for title in facts["title"]]
        gold = {title for title, *_ in facts}
        for title, sentences in context:
            yield _Context(None, title, "".join(sentences).strip(), title in gold)

    return _build(entries, contexts, "HotpotQA JSON, which holds question, answer, context and supporting_facts")


def read_paragraphs(entries: Sequence[Entry]) -> QuestionSet:
    """Paragraphs with `is_supporting`: MuSiQue (`paragraphs`), and HotpotQA in that layout (`contexts`)."""

    def contexts(entry: Entry) -> Iterator[_Context]:
        for own in entry.value["paragraphs"] if "paragraphs" in entry.value else entry.value["contexts"]:
            yield _Context(None, own["title"], own["paragraph_text"].strip(), bool(own["is_supporting"]))

    return _build(entries, contexts, "MuSiQue JSON, whose paragraphs hold title, paragraph_text and is_supporting")


def read_judged(entries: Sequence[Entry]) -> QuestionSet:
    """MIRACL, NoMIRACL and Tevatron: `query`, with `positive_passages` and `negative_passages` of docid, title, text.

    Passages keep their docids, by which the corpus, judgements and runs know them; questions share them.
    """

    def contexts(entry: Entry) -> Iterator[_Context]:
        for name, gold in (("positive_passages", True), ("negative_passages", False)):
            for own in entry.value.get(name) or ():
                yield _Context(_first(own, "docid", "id"), own.get("title") or "", own["text"].strip(), gold)

    return _build(
        entries, contexts, "MIRACL JSON, whose positive and negative passages hold docid, title and text", True
    )


def _first(value: dict[str, Any], *fields: str) -> str | None:
    """The first of the fields that is there and not null, as text."""
    return next((str(value[field]) for field in fields if value.get(field) is not None), None)


def _build(
    entries: Sequence[Entry], contexts: Callable[[Entry], Iterable[_Context]], layout: str, shared: bool = False
) -> QuestionSet:
    """The questions of all entries; where ids are shared, passages with one id are one passage."""
    found = QuestionSet([], [])
    places: dict[str, int] | None = {} if shared else None
    left_out = 0
    for entry in entries:
        try:
            left_out += _add(found, entry, list(contexts(entry)), places)
        except CorpusError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CorpusError(f"{entry.where}: not {layout}: {error!r}") from None
    if left_out:
        found.notes.append(f"{left_out} passages of questions are left out: they are empty, or repeat one of the same")
    return found


def _add(found: QuestionSet, entry: Entry, contexts: Sequence[_Context], places: dict[str, int] | None) -> int:
    """Add one question with its contexts; the number of empty and repeated ones, which are left out."""
    name, own, gold = entry.id, list[int](), list[int]()
    seen = set()
    for number, context in enumerate(contexts):
        if not isinstance(context.title, str):
            raise TypeError(f"the title of a passage must be a string, got {context.title!r}")
        key = (context.title, context.text)
        if key in seen or not context.text:
            continue
        seen.add(key)
        if places is None or context.id is None:
            place = len(found.passages)
            own_id = f"{name}/{number if context.id is None else context.id}"
        else:
            place = places.setdefault(context.id, len(found.passages))
            own_id = context.id
        if place == len(found.passages):
            found.passages.append(Passage(own_id, context.text, context.title))
        elif found.passages[place].text != context.text:
            raise CorpusError(f"{entry.where}: the passage {context.id!r} has another text than before")
        own.append(place)
        if context.gold:
            gold.append(place)
    answers = entry.answers
    found.questions.append(
        Question(
            id=name,
            text=entry.text,
            answers=answers or (),
            article=name,
            passages=tuple(own),
            gold=tuple(gold),
            place=find_answer(found.passages, gold, answers or ()),
            answers_given=answers is not None,
        )
    )
    return len(contexts) - len(seen)


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
