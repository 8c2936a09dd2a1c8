"""The parts of an answer that are explained: its sentences, or those that the user chose."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import SupportsIndex

from retrievers.corpora.chunking import sentence_spans

Span = str | tuple[int, int]
"""Words of an answer, or its characters [start, end)."""

_PLACES = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*")
_SHOWN = 60  # characters of what was asked for, in messages


def parse_span(text: str) -> Span:
    """A span as it is typed: "START:END" is characters, all else words of the answer."""
    places = _PLACES.fullmatch(text)
    return (int(places[1]), int(places[2])) if places else text


def explained_spans(answer: str, chosen: Sequence[Span] | None) -> Sequence[tuple[int, int]]:
    """The characters [start, end) of the parts to explain, in their order in the answer.

    Args:
        answer: the answer, without white space around it.
        chosen: what the user chose; None is all sentences in which anything is visible. White space in words may differ
            from the answer's.

    Raises:
        ValueError: nothing of the answer is visible, a span is blank or not in the answer, its words stand there more
            than once, two spans overlap, or `chosen` is no list of spans.
    """
    if chosen is None:
        sentences = [(start, end) for start, end in sentence_spans(answer) if visible(answer[start:end])]
        if not sentences:
            raise ValueError(f"nothing of the answer {answer[:_SHOWN]!r} is visible; give an answer with words")
        return sentences
    if isinstance(chosen, str) or not isinstance(chosen, Sequence) or not all(map(_is_span, chosen)):
        raise ValueError(
            "spans must be a list whose entries are words of the answer or pairs (START, END) of its characters, such "
            f"as ['the tower', (0, 9)]; got {chosen!r}"
        )
    if not chosen:
        raise ValueError("no span is given; choose one, or leave spans out to explain all sentences")
    spans = sorted(_place(answer, span) for span in chosen)
    for (_, end), (start, _) in pairwise(spans):
        if start < end:
            raise ValueError(
                f"two spans overlap at character {start} of the answer; choose spans apart from each other"
            )
    return spans


def visible(text: str) -> bool:
    """Whether anything of a text can be seen: not white space alone, nor characters that only control or format."""
    return any(not one.isspace() and unicodedata.category(one) not in ("Cc", "Cf") for one in text)


def _is_span(one: object) -> bool:
    if isinstance(one, str):
        return True
    return isinstance(one, Sequence) and len(one) == 2 and all(isinstance(place, SupportsIndex) for place in one)


def _place(answer: str, span: Span) -> tuple[int, int]:
    return _found(answer, span) if isinstance(span, str) else _checked(answer, *span)


def _checked(answer: str, start: int, end: int) -> tuple[int, int]:
    """A span of characters without the white space around its text."""
    if not 0 <= start < end <= len(answer):
        raise ValueError(
            f"the span {start}:{end} is not within the answer, which has the characters 0:{len(answer)}; START comes "
            "before END, and END is the character after the last"
        )
    text = answer[start:end]
    if not text.strip():
        raise ValueError(f"the span {start}:{end} holds white space alone")
    return start + len(text) - len(text.lstrip()), start + len(text.rstrip())


def _found(answer: str, words: str) -> tuple[int, int]:
    pieces = words.split()
    shown = f"{words[:_SHOWN]}…" if len(words) > _SHOWN else words
    if not pieces:
        raise ValueError("a span is blank; give words of the answer")
    places: list[tuple[int, int]] = []
    if len(" ".join(pieces)) <= len(answer):  # to compile long words takes long
        places = [found.span() for found in re.finditer(r"\s+".join(map(re.escape, pieces)), answer)]
    if not places:
        raise ValueError(f"the answer does not hold the words {shown!r}; it is {_start_of(answer)!r}")
    if len(places) > 1:
        at = " and ".join(f"{start}:{end}" for start, end in places[:3])
        raise ValueError(
            f"the answer holds the words {shown!r} {len(places)} times; give one of {at} instead, or more words"
        )
    return places[0]


def _start_of(answer: str) -> str:
    return f"{answer[: 3 * _SHOWN]}…" if len(answer) > 3 * _SHOWN else answer
