"""Which block of a long passage a training step reads: a step reads one of each passage."""

from __future__ import annotations

from collections.abc import Sequence

from rag.questions import AnswerPlace
from retrievers import Passage
from retrievers.corpora.blocks import Block


def holding(blocks: Sequence[Block], passage: Passage, place: AnswerPlace) -> int:
    """The number of the block in which an answer begins that stands at a place of the passage's full text."""
    start = place.start - (len(passage.full_text) - len(passage.text))
    return max(number for number, block in enumerate(blocks) if number == 0 or block.start <= start)


def within(block: Block, passage: Passage, place: AnswerPlace) -> tuple[int, int]:
    """The characters [start, end) at which an answer stands in the full text of the block in which it begins."""
    whole, part = (len(one.full_text) - len(one.text) for one in (passage, block.passage))
    moved = part - whole - block.start
    return place.start + moved, place.end + moved
