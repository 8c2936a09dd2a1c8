"""Blocks of passages of which parts are hidden, for encoder-decoder checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

from rag.readers.fid_blocks import FiDTokenizer
from rag.readers.variants import Masking, Variant, overlaps, shortened
from retrievers import Passage


def hidden_blocks(
    blocks: FiDTokenizer, question: str, passages: Sequence[Passage], variants: Sequence[Variant], masking: Masking
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of each variant's block, and 1 for each token that may be seen, 0 for each that is hidden.

    Raises:
        ValueError: the tokeniser does not say which characters its tokens come from, and `masking` needs that.
    """
    originals = [passages[variant.passage] for variant in variants]
    if masking == "delete":
        ids = blocks.blocks(question, [shortened(p, v) for p, v in zip(originals, variants, strict=True)]).ids[:-1]
        return ids, [[1] * len(block) for block in ids]
    if not blocks.tokenizer.is_fast:
        raise ValueError(f"masking {masking!r} needs a fast tokeniser, which this checkpoint lacks; use 'delete'")
    whole = blocks.blocks(question, originals).ids[:-1]
    texts = [f" title: {passage.title} context: {passage.text}" for passage in originals]
    offsets = blocks.tokenizer(
        texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    ).offset_mapping
    start = len(blocks.blocks(question, []).ids[-1]) - blocks.n_suffix  # of the passage in its block
    mask_id = blocks.tokenizer.mask_token_id
    replacement = blocks.tokenizer.unk_token_id if mask_id is None else mask_id
    ids, seen = [], []
    for block, passage, variant, places in zip(whole, originals, variants, offsets, strict=True):
        body = len(block) - blocks.n_suffix - start
        gone = [False] * start + overlaps(places[:body], _spans(passage, variant)) + [False] * blocks.n_suffix
        if masking == "mask":
            ids.append([replacement if hide else token for token, hide in zip(block, gone, strict=True)])
            seen.append([1] * len(block))
        else:
            ids.append(block)
            seen.append([int(not hide) for hide in gone])
    return ids, seen


def _spans(passage: Passage, variant: Variant) -> tuple[tuple[int, int], ...]:
    """What is hidden, in characters of " title: … context: …"."""
    title = len(" title: ")
    text = title + len(passage.title) + len(" context: ")
    hidden = tuple((text + start, text + end) for start, end in variant.hidden)
    return ((title, title + len(passage.title)), *hidden) if variant.title_hidden and passage.title else hidden
