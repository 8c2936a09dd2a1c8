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
from rag.readers.long_questions import kept_tokens
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
    head: list[tuple[int, int]]  # the characters of the question that each token before a passage stands for
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
        head, places, question_cut = self._head(question)
        room = self.max_block_tokens - len(head) - len(self._prefix) - len(self._suffix)
        bodies = self._tokens(list(map(body, passages)))
        parts = cut_passages(passages, list(map(len, bodies)), room, self.max_passage_tokens, self)
        if max(map(len, bodies), default=0) > min(room, self.max_passage_tokens):
            bodies = self._tokens(list(map(body, parts.texts)))
        ids = [[*self._prefix, *head, *tokens[:room], *self._suffix] for tokens in [*bodies, []]]
        over = parts.map.total([max(0, len(tokens) - room) for tokens in bodies])  # where the frame fills a block
        return FiDBlocks(ids, parts, tuple((over + parts.cut).astype(int).tolist()), places, question_cut)

    def sizes(self, passages: Sequence[Passage]) -> list[int]:
        """See `Ruler`."""
        return list(map(len, self._tokens(list(map(body, passages)))))

    def places(self, text: str) -> list[tuple[int, int]]:
        """See `Ruler`."""
        return self._tokens_and_places(text)[1]

    def pad(self, blocks: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
        """Ids and mask, `(n_blocks, length)`, padded on the right."""
        length = max(map(len, blocks))
        pad = self.tokenizer.pad_token_id or 0  # masked, so that any token will do
        ids = torch.tensor([[*block, *[pad] * (length - len(block))] for block in blocks], device=device)
        lengths = torch.tensor([len(block) for block in blocks], device=device)
        return ids, (torch.arange(length, device=device) < lengths[:, None]).long()

    def _head(self, question: str) -> tuple[list[int], list[tuple[int, int]], int]:
        """What stands before a passage: its tokens, the characters of the question that each stands for, how many not.

        The tokens of `HEAD` are kept, and stand for characters before the question. At least half of a block is left
        for the passage.
        """
        ids, in_head = self._tokens_and_places(HEAD + question)
        places = [(start - len(HEAD), end - len(HEAD)) for start, end in in_head]
        first = sum(end <= 0 for _, end in places)
        limit = max(1, min(MAX_QUESTION_TOKENS, self.max_block_tokens // 2) - first)
        kept = [*range(first), *(first + number for number in kept_tokens(question, places[first:], limit))]
        return [ids[i] for i in kept], [places[i] for i in kept], len(ids) - len(kept)

    def _tokens_and_places(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """A text's tokens, and the characters of each; a tokenizer that does not say is asked about each word."""
        if self.tokenizer.is_fast:
            found = self.tokenizer([text], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            return found.input_ids[0], found.offset_mapping[0]
        words = [match.span() for match in re.finditer(r"\s*\S+", text)]
        ids = self._tokens([text[start:end] for start, end in words])
        edges = (np.linspace(*word, len(own) + 1).astype(int).tolist() for word, own in zip(words, ids, strict=True))
        return [token for own in ids for token in own], [place for of_one in edges for place in pairwise(of_one)]

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
