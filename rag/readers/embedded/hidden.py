"""Blocks of passages of which parts are hidden, for the embedded reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rag.readers.embedded.blocks import SEP, BlockTokenizer, Tokens
from rag.readers.variants import Masking, Variant, full_text_spans, moved, overlaps, shortened, without
from retrievers import Passage

MASK = 103


class HiddenBlocks(NamedTuple):
    """Padded blocks, tensors `(n_blocks, length)`, and what the pointer's spelling needs of each."""

    ids: Tensor
    positions: Tensor  # of each token in the whole block
    types: Tensor
    mask: Tensor
    copyable: Tensor
    tokens: list[Tokens]  # word pieces of what is left, with their characters in `passages`, then those cut off
    passages: list[Passage]
    cut: list[int]  # word pieces left out because they did not fit


def hidden_blocks(
    tokenizer: BlockTokenizer,
    head: Sequence[int],
    passages: Sequence[Passage],
    variants: Sequence[Variant],
    masking: Masking,
    max_tokens: int,
) -> HiddenBlocks:
    """Blocks of variants; with "attention", hidden tokens are left out and the others keep their positions.

    That is the same as encoding the whole block with the hidden tokens masked, for less work.

    Args:
        tokenizer: makes word pieces.
        head: "[CLS] question [SEP]" as it stands in the blocks of the whole passages.
        passages: the whole passages.
        variants: what to hide of them.
        masking: how to hide it.
        max_tokens: limit of a block.
    """
    originals = [passages[variant.passage] for variant in variants]
    if masking == "delete":
        originals = [shortened(p, v) for p, v in zip(originals, variants, strict=True)]
    room = max_tokens - len(head) - 1
    rows, tokens, left, cut = [], [], [], []
    for passage, variant, pieces in zip(
        originals, variants, tokenizer.encode([passage.full_text for passage in originals]), strict=True
    ):
        ids, offsets = pieces.ids[:room], pieces.offsets[:room]
        hidden = () if masking == "delete" else full_text_spans(passage, variant)
        gone = overlaps(offsets, hidden)
        places = [*range(len(head)), *range(len(head), len(head) + len(ids) + bool(ids))]
        body = ids
        if masking == "mask":
            body = [MASK if hide else piece for piece, hide in zip(ids, gone, strict=True)]
        elif masking == "attention" and hidden:
            shown = [i for i, hide in enumerate(gone) if not hide]
            body, places = [ids[i] for i in shown], [*range(len(head)), *(len(head) + i for i in shown)]
            places += [len(head) + len(ids)] * bool(ids)
            text, removed = without(passage.full_text, hidden)
            offsets = [(moved(offsets[i][0], removed), moved(offsets[i][1] - 1, removed) + 1) for i in shown]
            passage, gone = Passage(passage.id, text), [False] * len(body)
        block = [*head, *body, *[SEP] * bool(ids)]
        copyable = [*[False] * len(head), *(not hide for hide in gone), *[False] * bool(ids)]
        types = [0] * len(head) + [1] * (len(block) - len(head))
        rows.append((block, places, types, [1] * len(block), copyable))
        tokens.append(Tokens([*body, *pieces.ids[room:]], [*offsets, *pieces.offsets[room:]]))
        left.append(passage)
        cut.append(len(pieces.ids) - len(ids))
    all_ids, positions, all_types, mask, can_copy = (_padded(column) for column in zip(*rows, strict=True))
    return HiddenBlocks(all_ids, positions, all_types, mask, can_copy.bool(), tokens, left, cut)


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    length = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (length - len(row))] for row in rows])
