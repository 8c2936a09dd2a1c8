"""Blocks of passages and questions with hidden parts, for encoder-decoder checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rag.readers.cuts import hidden_in_blocks
from rag.readers.encoding import BlockMap
from rag.readers.fid_blocks import FiDTokenizer, body
from rag.readers.hidden_parts import Masking, Spans, Variant, overlaps, shortened
from retrievers import Passage


class BlockQuestion(NamedTuple):
    """A question as it stands in blocks: its text, and the ranges of characters that are hidden there."""

    text: str
    hidden: Spans = ()


class HiddenBlocks(NamedTuple):
    """Token ids of variants' blocks and, last, of the question alone."""

    ids: list[list[int]]
    seen: list[list[int]]  # 1 for each token that may be seen, 0 for each that is hidden
    map: BlockMap
    cut: tuple[int, ...]  # tokens of each variant's passage left out


def hidden_blocks(
    blocks: FiDTokenizer,
    question: BlockQuestion,
    passages: Sequence[Passage],
    variants: Sequence[Variant],
    masking: Masking,
) -> HiddenBlocks:
    """The blocks of variants, and of the question alone.

    Raises:
        ValueError: `masking` needs to know which characters a token comes from, and the tokeniser does not say.
    """
    originals = [passages[variant.passage] for variant in variants]
    if masking == "delete":
        made = blocks.blocks(question.text, [shortened(p, v) for p, v in zip(originals, variants, strict=True)])
        return HiddenBlocks(made.ids, [[1] * len(block) for block in made.ids], made.parts.map, made.cut)
    if not blocks.tokenizer.is_fast:
        raise ValueError(f"masking {masking!r} needs a fast tokeniser, which this checkpoint lacks; use 'delete'")
    made = blocks.blocks(question.text, originals)
    owners, parts = hidden_in_blocks(originals, variants, made.parts, masking)
    whole = [*(made.ids[part.passage] for part in parts), made.ids[-1]]
    texts = [made.parts.blocks[part.passage].passage for part in parts]
    bodies = [*(blocks.places(body(text)) for text in texts), []]
    start = len(whole[-1]) - blocks.n_suffix  # of the passage in its block
    gone_head = [False] * blocks.n_prefix + overlaps(made.head, question.hidden)
    hidden = [*(_spans(text, variant) for text, variant in zip(texts, parts, strict=True)), ()]
    mask_id = blocks.tokenizer.mask_token_id
    replacement = blocks.tokenizer.unk_token_id if mask_id is None else mask_id
    ids, seen = [], []
    for block, places, spans in zip(whole, bodies, hidden, strict=True):
        size = len(block) - blocks.n_suffix - start
        gone = gone_head + overlaps(places[:size], spans) + [False] * blocks.n_suffix
        if masking == "mask":
            ids.append([replacement if hide else token for token, hide in zip(block, gone, strict=True)])
            seen.append([1] * len(block))
        else:
            ids.append(block)
            seen.append([int(not hide) for hide in gone])
    return HiddenBlocks(ids, seen, owners, made.cut)


def _spans(passage: Passage, variant: Variant) -> Spans:
    """The hidden ranges, in characters of " title: … context: …"."""
    title = len(" title: ")
    text = title + len(passage.title) + len(" context: ")
    hidden = tuple((text + start, text + end) for start, end in variant.hidden)
    return ((title, title + len(passage.title)), *hidden) if variant.title_hidden and passage.title else hidden
