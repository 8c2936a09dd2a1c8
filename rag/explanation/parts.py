"""Parts of passages and questions: sentences and words, in the characters of the original text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from retrievers import Passage
from retrievers.corpora.chunking import sentence_spans

Kind = Literal["passage", "title", "sentence", "word", "question"]


@dataclass(frozen=True)
class Part:
    """A passage, its title, one of its sentences or words, or the question or one of its words; and what it did.

    Attributes:
        kind: what it is.
        passage: id of its passage; "" for the question and its words.
        start: its first character in the text of the passage or question; in the title for a title.
        end: the character after its last.
        value: its Owen value for the answer; the sum of its parts' values, if it has parts.
        error: standard error of the value.
        parts: its parts, if it was opened.
    """

    kind: Kind
    passage: str
    start: int
    end: int
    value: float = 0.0
    error: float = 0.0
    parts: tuple[Part, ...] = ()

    def walk(self) -> Iterator[Part]:
        """The part itself, then its parts with theirs, depth first."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def finest(self) -> list[Part]:
        """The parts that have no parts, in reading order; the part itself if it has none."""
        return [part for part in self.walk() if not part.parts]

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers."""
        return {**asdict(self), "parts": [part.to_dict() for part in self.parts]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Part:
        """Inverse of `to_dict`."""
        return cls(**{**content, "parts": tuple(cls.from_dict(part) for part in content["parts"])})


def whole(passage: Passage) -> Part:
    """A passage as one part."""
    return Part("passage", passage.id, 0, len(passage.text))


def sentences(passage: Passage) -> tuple[Part, ...]:
    """A passage's title, if it has one, and its sentences: together all that a reader reads of it."""
    title = [Part("title", passage.id, 0, len(passage.title))] if passage.title else []
    spans = sentence_spans(passage.text)
    return (*title, *(Part("sentence", passage.id, start, end) for start, end in spans))


def words(passage: Passage, sentence: Part) -> tuple[Part, ...]:
    """A sentence's words, with the punctuation that touches them."""
    return _words(passage.text, sentence)


def question_part(question: str, *, divided: bool) -> Part:
    """A question as one part, or divided into its words."""
    whole = Part("question", "", 0, len(question))
    return replace(whole, parts=_words(question, whole)) if divided else whole


def _words(text: str, whole: Part) -> tuple[Part, ...]:
    found = re.finditer(r"\S+", text[whole.start : whole.end])
    return tuple(Part("word", whole.passage, whole.start + match.start(), whole.start + match.end()) for match in found)
