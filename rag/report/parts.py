"""The parts of opened passages and of the question, as both views show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rich.console import Group
from rich.text import Text

from rag.answer import Answer
from rag.explanation.findings import is_about_zero
from rag.explanation.parts import Part
from rag.report import wording
from rag.report.text import one_line
from retrievers import Passage

_MOST_PARTS = 4
_MOST_WORDS = 6
_POSITIVE, _NEGATIVE = "cyan", "red"


class Shade(NamedTuple):
    """A stretch of a passage or question: a part with its value, or the text between two parts.

    `strength` is how strongly to colour it, 0 to 1; `shown` whether its value is written beside it.
    """

    text: str
    part: Part | None
    strength: float
    shown: bool
    inner: list[Shade]


def text_of(part: Part, passage: Passage) -> str:
    """The text of a passage's part."""
    return (passage.title if part.kind == "title" else passage.text)[part.start : part.end]


def _stands_out(part: Part) -> bool:
    return not is_about_zero(part.value, part.error)


def worth(part: Part) -> str:
    """A value with its sign and its standard error."""
    sign = "+" if part.value > 0 and wording.number(part.value) != "0.000" else ""
    return f"{sign}{wording.number(part.value)} ±{wording.number(part.error)}"


def shades(answer: Answer) -> dict[str, list[Shade]]:
    """The text of each opened passage, by id, cut into its parts; the title's shade first if it has one."""
    if answer.hierarchy is None:
        return {}
    opened = {part.passage: part for part in answer.hierarchy.passages if part.parts}
    scale = _scale(opened.values())
    passages = {e.passage.id: e.passage for e in answer.evidence}
    return {name: _cut(part.parts, passages[name], 0, part.end, scale) for name, part in opened.items()}


def question_shades(answer: Answer) -> list[Shade]:
    """The question cut into its words, coloured on their own scale; empty if they were not players."""
    question = None if answer.hierarchy is None else answer.hierarchy.question
    if question is None:
        return []
    return _cut(question.parts, Passage("", answer.question), 0, question.end, _scale([question]))


def _scale(parts: Iterable[Part]) -> float:
    """The largest absolute value of a part that has no parts."""
    return max((abs(node.value) for part in parts for node in part.finest()), default=0.0) or 1.0


def _cut(parts: Sequence[Part], passage: Passage, start: int, end: int, scale: float) -> list[Shade]:
    found, done = [], start
    for part in parts:
        inner: list[Shade] = []
        if part.kind != "title":
            if part.start > done:
                found.append(Shade(passage.text[done : part.start], None, 0.0, False, []))
            done = part.end
            inner = _cut(part.parts, passage, part.start, part.end, scale) if part.parts else []
        strength = 0.0 if part.parts else min(1.0, abs(part.value) / scale)
        shown = part.kind != "word" or _stands_out(part)
        found.append(Shade(text_of(part, passage), part, round(strength, 3), shown, inner))
    return [*found, Shade(passage.text[done:end], None, 0.0, False, [])]


def part_lines(answer: Answer, names: Mapping[str, str], width: int) -> Group | None:
    """For the terminal: the question's words, and the most valuable sentences and words of each opened passage."""
    if answer.hierarchy is None:
        return None
    lines = _question_lines(answer, answer.hierarchy.question, width)
    for e in answer.evidence:
        passage = answer.hierarchy.of(e.passage.id)
        if not passage.parts:
            continue
        if lines:
            lines.append(Text())
        lines.append(Text.assemble(("parts of ", "dim"), (names[passage.passage], "bold"), f"  {worth(passage)}"))
        # Sorting is stable: equal parts stay in the order of the text.
        largest = sorted(passage.parts, key=lambda part: -abs(part.value))[:_MOST_PARTS]
        for part in [part for part in passage.parts if part in largest]:
            lines.append(_line(part, f"{one_line(text_of(part, e.passage))}", width))
            words = sorted((word for word in part.parts if _stands_out(word)), key=lambda word: -abs(word.value))
            shown = [f"{one_line(text_of(word, e.passage))} {_signed(word)}" for word in words[:_MOST_WORDS]]
            if shown:
                lines.append(Text(" " * 18 + "  ".join(shown), "dim"))
                lines[-1].truncate(width, overflow="ellipsis")
        left = len(passage.parts) - len(largest)
        if left:
            lines.append(Text(f"  {wording.count(left, 'more part')}", "dim"))
    return Group(*lines) if lines else None


def _question_lines(answer: Answer, question: Part | None, width: int) -> list[Text]:
    """The question's value, and its words that stand out, the most valuable first."""
    if question is None:
        return []
    lines = [Text.assemble(("words of ", "dim"), ("the question", "bold"), f"  {worth(question)}")]
    largest = sorted((word for word in question.parts if _stands_out(word)), key=lambda word: -abs(word.value))
    for word in largest[:_MOST_WORDS]:
        lines.append(_line(word, one_line(answer.question[word.start : word.end]), width))
    left = len(question.parts) - len(lines) + 1
    if left:
        lines.append(Text(f"  {wording.count(left, 'more word' if len(lines) > 1 else 'word')}", "dim"))
    return lines


def _line(part: Part, text: str, width: int) -> Text:
    line = Text.assemble("  ", (worth(part).ljust(16), _POSITIVE if part.value >= 0 else _NEGATIVE))
    line.append(f"title: {text}" if part.kind == "title" else text, "" if _stands_out(part) else "dim")
    line.truncate(width, overflow="ellipsis")
    return line


def _signed(part: Part) -> str:
    return ("+" if part.value > 0 else "") + wording.number(part.value, 2)
