"""Foreign text made fit to show: harmless characters, marked answers, short extracts."""

import re
from collections.abc import Iterable
from typing import NamedTuple

# Control characters (terminal escapes among them), bidirectional embeddings, overrides and isolates, which
# reorder the text around them, lone surrogates, which cannot be encoded, and the noncharacters of the BMP.
_HARMFUL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_BREAKS = re.compile("[\u00ad\u200b\u2060\ufeff]")  # not `retrievers.text`: messages need no package but this one
_LINE_ENDS = re.compile("\r\n|[\r\x85\u2028\u2029]")


class Part(NamedTuple):
    """A piece of text, and whether it is an answer."""

    text: str
    marked: bool


def harmless(text: str) -> str:
    """The text with U+FFFD for each character that could control a terminal or reorder the text around it.

    Soft hyphens and zero-width spaces go, so that an answer is marked where it has one.
    """
    return _HARMFUL.sub("\ufffd", _LINE_ENDS.sub("\n", _BREAKS.sub("", text)))


def one_line(text: str) -> str:
    """`harmless` text with every run of white space replaced by one space."""
    return " ".join(harmless(text).split())


def marked(text: str, answers: Iterable[str]) -> list[Part]:
    """Cut harmless text into parts at the answers in it: whole words, in any letter case."""
    parts, end = [], 0
    for start, stop in _mentions(text, answers):
        parts += [Part(text[end:start], False), Part(text[start:stop], True)]
        end = stop
    return [part for part in (*parts, Part(text[end:], False)) if part.text]


def extract(text: str, answers: Iterable[str], width: int) -> list[Part]:
    """At most `width` characters of a text as one line: around the first answer in it, or else its beginning."""
    line = one_line(text)
    if len(line) <= width:
        return marked(line, answers)
    start, stop = next(iter(_mentions(line, answers)), (0, 0))
    room = width - 2  # an ellipsis at either end
    first = max(0, min(start - (room - (stop - start)) // 2, start, len(line) - room))
    last = first + room
    # Whole words, as long as that costs few letters and leaves the answer alone.
    if first and (space := line.find(" ", first - 1, min(first + 15, start))) >= 0:
        first = space + 1
    if last < len(line) and (space := line.rfind(" ", max(last - 15, stop), last + 1)) >= 0:
        last = space
    before, after = "…" * (first > 0), "…" * (last < len(line))
    return marked(f"{before}{line[first:last]}{after}", answers)


def _mentions(text: str, answers: Iterable[str]) -> list[tuple[int, int]]:
    wanted = sorted({one_line(answer) for answer in answers} - {""}, key=len, reverse=True)
    if not wanted:
        return []
    pattern = "|".join(r"\s+".join(map(re.escape, answer.split())) for answer in wanted)
    spans = (match.span() for match in re.finditer(pattern, text, re.IGNORECASE))
    return [(start, stop) for start, stop in spans if not (_inside(text, start) or _inside(text, stop))]


def _inside(text: str, place: int) -> bool:
    """Whether a place lies within a word; scripts without letter case may write words without spaces."""
    return 0 < place < len(text) and all(
        character.isdigit() or character.lower() != character.upper() for character in text[place - 1 : place + 1]
    )
