"""Cut a passage that an encoder cannot read at once into blocks, each a stretch of its text under its title."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple, Protocol

from retrievers.corpora.chunking import Span, even_cuts, sentence_spans, stripped
from retrievers.passage import Passage

_STEPS = 16  # places in a block at which a sentence that is longer than one may be cut


class Ruler(Protocol):
    """Measures texts in an encoder's tokens."""

    def sizes(self, passages: Sequence[Passage]) -> list[int]:
        """Tokens that each passage takes in a block of its own, its title and what frames the two included."""
        ...

    def places(self, text: str) -> Sequence[tuple[int, int]]:
        """The characters [start, end) that each token of a text stands for, in ascending order."""
        ...


class Block(NamedTuple):
    """A stretch of a passage.

    Attributes:
        passage: The stretch as a passage, with the id and title of the whole.
        start: Where it starts in the text of the whole; below 0 if it starts in the title.
    """

    passage: Passage
    start: int


class Blocks(NamedTuple):
    """A passage's blocks, at least one, and the number of tokens left out behind the last."""

    blocks: list[Block]
    cut: int


def cut_passage(passage: Passage, size: int, room: int, limit: int, ruler: Ruler, *, part: int | None = None) -> Blocks:
    """Cut a passage into as few blocks as whole sentences allow, and these as even as possible.

    Every word of the first ``limit`` tokens is in one of the blocks. A sentence that is longer than a block is cut
    between words, and a word between tokens. Each block repeats the title; one that would fill more than half of a
    block counts as the beginning of the text instead.

    Args:
        passage: What to cut.
        size: Its size as the ruler measures it.
        room: Most tokens of a block.
        limit: Most tokens of the passage; what exceeds it is left out and counted.
        ruler: Measures in the encoder's tokens.
        part: Most tokens of a block where a passage has several; by default ``room``.
    """
    if size <= min(room, limit):
        return Blocks([Block(passage, 0)], 0)
    start = 0
    [frame] = ruler.sizes([replace(passage, text="")])
    if passage.title and 2 * frame > min(room, limit):
        start = len(passage.text) - len(passage.full_text)
        passage = replace(passage, text=passage.full_text, title="")
        [frame] = ruler.sizes([replace(passage, text="")])
    places = ruler.places(passage.text)
    read = places[: max(1, limit - frame)]
    cut = len(places) - len(read)
    text = passage.text if not cut else passage.text[: read[-1][1]]
    if part is not None and frame + len(read) > room:
        room = max(part, min(room, 2 * frame))
    most = room - frame
    if most < 1 or not text.strip():
        return Blocks([Block(replace(passage, text=text), start)], cut)
    while True:
        blocks = [
            Block(replace(passage, text=text[first:end]), start + first) for first, end in _stretches(text, read, most)
        ]
        # A text need not have as many tokens by itself as within the whole.
        over = max(ruler.sizes([block.passage for block in blocks])) - room
        if over <= 0 or most == 1:
            return Blocks(blocks, cut)
        most = max(1, most - over)


def _stretches(text: str, places: Sequence[tuple[int, int]], most: int) -> list[Span]:
    """Stretches of a text of at most ``most`` tokens each, cut where sentences end as far as possible."""
    ends, n = [end for _, end in places], len(places)
    apart = [i for i in range(1, n) if places[i][0] >= ends[i - 1]]  # a character may be several tokens
    words = [i for i in apart if text[ends[i - 1] : places[i][0] + 1][:1].isspace()]
    bounds = sorted({0, n, *(bisect_right(ends, span.start) for span in sentence_spans(text))})
    for finer in (words, apart, range(1, n)):
        bounds = _refined(bounds, finer, most)
    cuts = [0, *(places[i][0] for i in even_cuts(bounds, most)[1:-1]), len(text)]
    spans = (stripped(text, first, end) for first, end in pairwise(cuts))
    return [span for span in spans if span.start < span.end]


def _refined(bounds: Sequence[int], finer: Sequence[int], most: int) -> list[int]:
    """The bounds, and among those that are more than ``most`` apart some of the finer ones."""
    refined = {0}
    step = max(1, most // _STEPS)
    for first, last in pairwise(bounds):
        refined.add(last)
        if last - first > most:
            inside = finer[bisect_right(finer, first) : bisect_right(finer, last - 1)]
            refined.update({bound // step: bound for bound in inside}.values())
    return sorted(refined)
