"""Text to blocks for encoder-decoder checkpoints: "question: … title: … context: …" (Izacard & Grave 2021)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rag.readers.cuts import CutPassages, cut_passages
from retrievers import Passage

HEAD = "question: "
MAX_QUESTION_TOKENS = 96


def body(passage: Passage) -> str:
    """A passage as it stands in a block."""
    return f" title: {passage.title} context: {passage.text}"


class FiDBlocks(NamedTuple):
    """Token ids of each passage's blocks and, last, of the question alone; and how much did not fit."""

    ids: list[list[int]]
    parts: CutPassages  # what the blocks hold
    cut: tuple[int, ...]  # tokens of each passage left out
    question_cut: int  # tokens of the question left out


class FiDTokenizer:
    """Makes blocks of at most `max_block_tokens` with a checkpoint's tokenizer, and measures passages for them.

    Args:
        tokenizer: the checkpoint's.
        max_block_tokens: limit of a block.
        max_passage_tokens: limit of all blocks of a passage together, the question in them left out.
    """

    def __init__(self, tokenizer: Any, max_block_tokens: int, max_passage_tokens: int):
        self.tokenizer = tokenizer
        self.max_block_tokens = max_block_tokens
        self.max_passage_tokens = max_passage_tokens
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
        """The blocks of a question with its passages; a passage takes as many as it needs."""
        head = self._tokens([HEAD + question])[0]
        limit = min(MAX_QUESTION_TOKENS, self.max_block_tokens // 2)  # the passage keeps at least half of its block
        question_cut = max(0, len(head) - limit)
        head = head[:limit]
        room = self.max_block_tokens - len(head) - len(self._prefix) - len(self._suffix)
        bodies = self._tokens(list(map(body, passages)))
        parts = cut_passages(passages, list(map(len, bodies)), room, self.max_passage_tokens, self)
        if max(map(len, bodies), default=0) > min(room, self.max_passage_tokens):
            bodies = self._tokens(list(map(body, parts.texts)))
        ids = [[*self._prefix, *head, *tokens[:room], *self._suffix] for tokens in [*bodies, []]]
        over = parts.map.total([max(0, len(tokens) - room) for tokens in bodies])  # where the frame fills a block
        return FiDBlocks(ids, parts, tuple((over + parts.cut).astype(int).tolist()), question_cut)

    def sizes(self, passages: Sequence[Passage]) -> list[int]:
        """See `Ruler`."""
        return list(map(len, self._tokens(list(map(body, passages)))))

    def places(self, text: str) -> list[tuple[int, int]]:
        """See `Ruler`; a tokenizer that does not say is asked about each word."""
        if self.tokenizer.is_fast:
            found = self.tokenizer([text], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            offsets: list[tuple[int, int]] = found.offset_mapping[0]
            return offsets
        words = [match.span() for match in re.finditer(r"\s*\S+", text)]
        sizes = map(len, self._tokens([text[start:end] for start, end in words]))
        edges = (np.linspace(*word, size + 1).astype(int).tolist() for word, size in zip(words, sizes, strict=True))
        return [place for of_one in edges for place in pairwise(of_one)]

    def pad(self, blocks: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
        """Ids and mask, `(n_blocks, length)`, padded on the right."""
        length = max(map(len, blocks))
        pad = self.tokenizer.pad_token_id or 0  # masked, so that any token will do
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
