"""Blocks of passages and questions with hidden parts, for the embedded reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rag.readers.cuts import hidden_in_blocks
from rag.readers.embedded.blocks import CLS, SEP, BlockTokenizer, Tokens
from rag.readers.encoding import BlockMap
from rag.readers.hidden_parts import Masking, Spans, Variant, full_text_spans, moved, overlaps, shortened, without
from retrievers import Passage

MASK = 103


class Head(NamedTuple):
    """The beginning of a question's blocks: "[CLS] question [SEP]"."""

    ids: list[int]
    places: list[int]  # position of each
    size: int  # position of what follows


def whole_head(pieces: Sequence[int]) -> Head:
    """The head of a question of which the word pieces `pieces` are read."""
    ids = [CLS, *pieces, SEP]
    return Head(ids, [*range(len(ids))], len(ids))


def hidden_head(tokenizer: BlockTokenizer, question: str, hidden: Spans, masking: Masking, max_tokens: int) -> Head:
    """The head of a question with hidden ranges of characters; they are hidden as `hidden_blocks` does in passages."""
    if masking == "delete":
        return whole_head(tokenizer.encode_question(without(question, hidden)[0], max_tokens)[0].ids)
    pieces, _ = tokenizer.encode_question(question, max_tokens)
    head = whole_head(pieces.ids)
    gone = [False, *overlaps(pieces.offsets, hidden), False]
    if masking == "mask":
        return head._replace(ids=[MASK if hide else piece for piece, hide in zip(head.ids, gone, strict=True)])
    shown = [place for place, hide in enumerate(gone) if not hide]
    return Head([head.ids[place] for place in shown], shown, head.size)


class HiddenBlocks(NamedTuple):
    """Padded blocks, tensors `(n_blocks, length)`, and what is needed to spell answers copied from each."""

    ids: Tensor
    positions: Tensor  # of each token in the whole block
    types: Tensor
    mask: Tensor
    copyable: Tensor
    afresh: Tensor
    tokens: list[Tokens]  # word pieces of what is left in each block, with their characters in `texts`
    texts: list[str]
    map: BlockMap  # which variant each block is of
    cut: list[int]  # word pieces of each variant's passage left out


def hidden_blocks(
    tokenizer: BlockTokenizer,
    head: Head,
    passages: Sequence[Passage],
    variants: Sequence[Variant],
    masking: Masking,
    max_tokens: int,
    max_passage_tokens: int,
) -> HiddenBlocks:
    """Blocks of variants; with "attention", hidden tokens are left out and the others keep their positions.

    The result equals that of encoding the whole block with the hidden tokens masked, for less work.

    Args:
        tokenizer: makes word pieces.
        head: the question as it stands in the blocks.
        passages: the whole passages.
        variants: which parts of them to hide.
        masking: how to hide it.
        max_tokens: limit of a block.
        max_passage_tokens: limit of all blocks of a passage.
    """
    originals = [passages[variant.passage] for variant in variants]
    if masking == "delete":
        originals = [shortened(p, v) for p, v in zip(originals, variants, strict=True)]
        variants = [Variant(number, ()) for number in range(len(originals))]
    room = max_tokens - head.size - 1
    cut, whole = tokenizer.cut(originals, room, max_passage_tokens)
    owners, parts = hidden_in_blocks(originals, variants, cut, masking)
    rows, tokens, texts = [], [], []
    for part in parts:
        passage, pieces = cut.blocks[part.passage].passage, whole[part.passage]
        ids, offsets, text = pieces.ids[:room], pieces.offsets[:room], passage.full_text
        hidden = full_text_spans(passage, part)
        gone = overlaps(offsets, hidden)
        shown = [*range(len(ids))]
        body = ids
        if masking == "mask":
            body = [MASK if hide else piece for piece, hide in zip(ids, gone, strict=True)]
        elif masking == "attention" and hidden:
            shown = [i for i, hide in enumerate(gone) if not hide]
            body = [ids[i] for i in shown]
            text, removed = without(text, hidden)
            offsets = [(moved(offsets[i][0], removed), moved(offsets[i][1] - 1, removed) + 1) for i in shown]
            gone = [False] * len(body)
        block = [*head.ids, *body, *[SEP] * bool(ids)]
        places = [*head.places, *(head.size + i for i in shown), *[head.size + len(ids)] * bool(ids)]
        copyable = [*[False] * len(head.ids), *(not hide for hide in gone), *[False] * bool(ids)]
        begin = -1 if pieces.afresh is None else len(head.ids) + sum(piece < pieces.afresh for piece in shown)
        afresh = [place == begin for place in range(len(block))]
        types = [0] * len(head.ids) + [1] * (len(block) - len(head.ids))
        rows.append((block, places, types, [1] * len(block), copyable, afresh))
        tokens.append(Tokens(body, offsets))
        texts.append(text)
    all_ids, positions, all_types, mask, can_copy, begins = (_padded(column) for column in zip(*rows, strict=True))
    inputs = (all_ids, positions, all_types, mask, can_copy.bool(), begins.bool())
    return HiddenBlocks(*inputs, tokens, texts, owners, cut.cut)


def question_alone(head: Head) -> HiddenBlocks:
    """The block of the question alone."""
    n = len(head.ids)
    ids, positions, types, mask = torch.tensor([head.ids, head.places, [0] * n, [1] * n])[:, None]
    no = torch.zeros(1, n, dtype=torch.bool)
    return HiddenBlocks(ids, positions, types, mask, no, no, [], [], BlockMap.of([]), [])


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    length = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (length - len(row))] for row in rows])
