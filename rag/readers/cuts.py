"""Passages cut into the blocks that an encoder reads: all of each passage, up to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rag.readers.encoding import BlockMap
from rag.readers.hidden_parts import Masking, Spans, Variant, without
from retrievers import Passage
from retrievers.corpora.blocks import Block, Ruler, cut_passage


class CutPassages(NamedTuple):
    """The blocks of several passages, one passage's after another's.

    Attributes:
        blocks: the stretches of text.
        map: which passage each is of.
        cut: tokens of each passage beyond the limit, which no block holds.
    """

    blocks: list[Block]
    map: BlockMap
    cut: list[int]

    @property
    def texts(self) -> list[Passage]:
        """Each block as a passage of its own."""
        return [block.passage for block in self.blocks]


def cut_passages(passages: Sequence[Passage], sizes: Sequence[int], room: int, limit: int, ruler: Ruler) -> CutPassages:
    """Cut passages of given sizes in tokens into blocks of at most `room` tokens; see `cut_passage`.

    A passage that does not fit into one block is cut into blocks of half that size, which are about as long as the
    passages that readers are trained with.
    """
    found = [
        cut_passage(passage, size, room, limit, ruler, part=room // 2)
        for passage, size in zip(passages, sizes, strict=True)
    ]
    blocks = [block for of_one in found for block in of_one.blocks]
    return CutPassages(blocks, BlockMap.of([len(of_one.blocks) for of_one in found]), [one.cut for one in found])


def hidden_in_blocks(
    passages: Sequence[Passage], variants: Sequence[Variant], cut: CutPassages, masking: Masking
) -> tuple[BlockMap, list[Variant]]:
    """What variants hide of each block, as variants of the blocks; and which of the variants given each is of.

    Where nothing attends to what is hidden, a block is left out of which nothing but the repeated title would be seen,
    unless its variant would have none left.

    Args:
        passages: the whole passage of each variant.
        variants: what is hidden of each.
        cut: these passages' blocks.
        masking: how it is hidden, other than by deleting it.
    """
    found: list[Variant] = []
    counts: list[int] = []
    for column, (passage, variant) in enumerate(zip(passages, variants, strict=True)):
        numbers = np.flatnonzero(cut.map.owner == column).tolist()
        own = [Variant(n, _inside(passage, variant, cut.blocks[n]), variant.title_hidden) for n in numbers]
        if masking == "attention":
            own = [part for part in own if without(cut.blocks[part.passage].passage.text, part.hidden)[0]] or own[:1]
        found += own
        counts.append(len(own))
    return BlockMap.of(counts), found


def _inside(passage: Passage, variant: Variant, block: Block) -> Spans:
    """What a variant of a passage hides in a block, in characters of the block's text."""
    hidden = variant.hidden
    if variant.title_hidden and block.passage.title != passage.title:  # the title stands in the text
        hidden = ((len(passage.text) - len(passage.full_text), 0), *hidden)
    size = len(block.passage.text)
    moved = ((max(0, first - block.start), min(size, end - block.start)) for first, end in hidden)
    return tuple(span for span in moved if span[0] < span[1])
