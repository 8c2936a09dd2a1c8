"""Text to blocks: what the embedded reader's encoder sees of a question and its passages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

CLS, SEP, PAD = 101, 102, 0
MAX_QUESTION_TOKENS = 64


class Tokens(NamedTuple):
    """Word pieces of one text, with each piece's (start, end) characters in it."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class Blocks(NamedTuple):
    """A padded batch of blocks; all tensors are `(n_blocks, length)`."""

    ids: Tensor
    types: Tensor
    mask: Tensor
    copyable: Tensor
    cut: list[int]  # passage tokens left out of each block because they did not fit

    def to(self, device: torch.device) -> Blocks:
        """The same blocks on a device."""
        ids, types, mask, copyable = (part.to(device) for part in self[:4])
        return Blocks(ids, types, mask, copyable, self.cut)


class BlockTokenizer:
    """Word pieces without special tokens, from a `tokenizer.json`."""

    def __init__(self, path: Path):
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the bare class is what tokenizers raises
            raise ValueError(f"{path} is no tokenizer: {error}") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True  # "[SEP]" in a passage is text, not the stop token

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenise texts; the same text always gives the same pieces."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [Tokens(encoding.ids, encoding.offsets) for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """Lower-case text of word pieces, for answers that stand in no passage."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)


def question_limit(max_tokens: int) -> int:
    """Most question tokens in a block of `max_tokens`: at least half of it is left for the passage."""
    return min(MAX_QUESTION_TOKENS, max_tokens // 2)


def assemble(pairs: Sequence[tuple[Sequence[int], Sequence[int] | None]], max_tokens: int) -> Blocks:
    """Blocks "[CLS] question [SEP] passage [SEP]" of (question ids, passage ids) pairs.

    A passage of `None` gives the question alone. Questions and passages are cut to fit `max_tokens`.
    """
    rows, cut = [], []
    for question, passage in pairs:
        head = [CLS, *question[: question_limit(max_tokens)], SEP]
        room = max_tokens - len(head) - 1
        kept = list(passage[:room]) if passage is not None else []
        cut.append(len(passage) - len(kept) if passage is not None else 0)
        rows.append((head, kept))
    length = max(len(head) + len(kept) + bool(kept) for head, kept in rows)
    ids = torch.full((len(rows), length), PAD, dtype=torch.long)
    types, mask = torch.zeros_like(ids), torch.zeros_like(ids)
    copyable = torch.zeros_like(ids, dtype=torch.bool)
    for row, (head, kept) in enumerate(rows):
        block = [*head, *kept, SEP] if kept else head
        ids[row, : len(block)] = torch.tensor(block)
        mask[row, : len(block)] = 1
        types[row, len(head) : len(block)] = 1
        copyable[row, len(head) : len(head) + len(kept)] = True
    return Blocks(ids, types, mask, copyable, cut)
