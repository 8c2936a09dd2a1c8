"""Text to blocks for encoder-decoder checkpoints: "question: … title: … context: …" (Izacard & Grave 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from retrievers import Passage

HEAD = "question: "
MAX_QUESTION_TOKENS = 96


class FiDBlocks(NamedTuple):
    """Token ids of each passage's block and, last, of the question alone; and how much did not fit."""

    ids: list[list[int]]
    cut: tuple[int, ...]  # tokens of each passage left out
    question_cut: int  # tokens of the question left out


class FiDTokenizer:
    """Makes blocks of at most `max_block_tokens` with a checkpoint's tokenizer."""

    def __init__(self, tokenizer: Any, max_block_tokens: int):
        self.tokenizer = tokenizer
        self.max_block_tokens = max_block_tokens
        self._prefix, self._suffix = _special_tokens(tokenizer)

    @property
    def n_prefix(self) -> int:
        """Number of special tokens before a block's text."""
        return len(self._prefix)

    @property
    def n_suffix(self) -> int:
        """Number of special tokens after a block's text."""
        return len(self._suffix)

    def blocks(self, question: str, passages: Sequence[Passage]) -> FiDBlocks:
        """The blocks of a question with its passages."""
        head = self._tokens([HEAD + question])[0]
        bodies = self._tokens([f" title: {p.title} context: {p.text}" for p in passages])
        limit = min(MAX_QUESTION_TOKENS, self.max_block_tokens // 2)  # the passage keeps at least half of its block
        question_cut = max(0, len(head) - limit)
        head = head[:limit]
        room = self.max_block_tokens - len(head) - len(self._prefix) - len(self._suffix)
        ids = [[*self._prefix, *head, *body[:room], *self._suffix] for body in [*bodies, []]]
        return FiDBlocks(ids, tuple(max(0, len(body) - room) for body in bodies), question_cut)

    def pad(self, blocks: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
        """Ids and mask, `(n_blocks, length)`, padded on the right."""
        length = max(map(len, blocks))
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[*block, *[pad] * (length - len(block))] for block in blocks], device=device)
        lengths = torch.tensor([len(block) for block in blocks], device=device)
        return ids, (torch.arange(length, device=device) < lengths[:, None]).long()

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        ids: list[list[int]] = self.tokenizer(texts, add_special_tokens=False, verbose=False).input_ids
        return ids


def _special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens that a tokenizer puts before and after a text."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    runs = [
        (special, [token for _, token in run])
        for special, run in groupby(
            zip(encoded.special_tokens_mask, encoded.input_ids, strict=True), key=lambda pair: pair[0]
        )
    ]
    prefix = runs[0][1] if runs[0][0] else []
    suffix = runs[-1][1] if runs[-1][0] else []
    return prefix, suffix
