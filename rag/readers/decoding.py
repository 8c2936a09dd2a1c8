"""Greedy decoding of many coalitions at once: drafts are verified in one pass, and finished rows leave the batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import TypeVar

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from rag.readers.attention import Prefixes, distinct
from rag.readers.encoding import View
from rag.readers.interruption import checkpoint

Forked = TypeVar("Forked", bound="CoalitionDecoder")
_MOST_TOKENS = 1 << 32  # more than any vocabulary has


class CoalitionDecoder(ABC):
    """A reader's decoder over a batch of rows (coalitions) that share the encoded passages; it has not been fed yet.

    Args:
        view: what each row sees.
        cross: cross-attention keys and values of the passages, one row.
        sizes: tokens of each block.
    """

    def __init__(self, view: View, cross: DynamicCache, sizes: Sequence[int]):
        n_rows, device = len(view.tokens), view.tokens.device
        self.view, self.sizes = view, sizes
        self.fed = torch.zeros(n_rows, 0, dtype=torch.long, device=device)  # from the start token on
        self.cache = EncoderDecoderCache(DynamicCache(), cross)
        self.tracker = PrefixTracker(n_rows, sizes, device)

    @abstractmethod
    def advance(self, tokens: Tensor) -> Tensor:
        """Feed `(n_rows, n)` more tokens, and return the greedy token after each of them, `(n_rows, n)`, on the CPU."""

    def fork(self: Forked, rows: Tensor, length: int | None = None) -> Forked:
        """A decoder for some rows, as it was after the first `length` tokens (None: all that were fed)."""
        rows = rows.to(self.fed.device)
        length = self.fed.shape[1] if length is None else length
        fork = copy(self)
        fork.view, fork.fed = self.view.rows(rows), self.fed[rows, :length]
        own = fork_cache(self.cache.self_attention_cache, rows, length)
        fork.cache = EncoderDecoderCache(own, self.cache.cross_attention_cache)
        if length == self.fed.shape[1]:
            fork.tracker = self.tracker.rows(rows)
        else:
            fork.tracker = PrefixTracker(len(rows), self.sizes, rows.device)
            if length:
                fork.tracker.extend(fork.fed, fork.view.members)
        return fork


def greedy_decode(
    decoder: CoalitionDecoder,
    drafts: Sequence[Sequence[int]],
    start: int,
    stops: frozenset[int],
    max_tokens: int,
) -> list[list[int]]:
    """Decode every row until a stop token or `max_tokens`; the tokens come without start and stop.

    All rows read all drafts at once (speculative decoding, Leviathan et al. 2023; over a tree of answers already seen,
    Enouen et al. 2024). The token that a row would choose after each token of a draft shows how far the draft is right.
    A row whose answer is not among the drafts goes on step by step from the end of its longest match. Drafts change the
    time that decoding takes, never its outcome.

    Args:
        decoder: a decoder that has not been fed yet.
        drafts: distinct likely answers, without stop token; without any, all rows are decoded step by step.
        start: the token that answers begin with.
        stops: tokens that end an answer.
        max_tokens: largest number of tokens of an answer.
    """
    n_rows = len(decoder.view.tokens)
    answers: list[list[int]] = [[] for _ in range(n_rows)]
    if not drafts:
        _step_by_step(decoder, list(range(n_rows)), answers, start, stops, max_tokens)
        return answers
    checkpoint()
    width = len(drafts)
    longest = min(max_tokens - 1, max(map(len, drafts)))
    inputs = torch.tensor([[start, *draft[:longest], *[start] * (longest - len(draft))] for draft in drafts])
    verifier = decoder.fork(torch.arange(n_rows).repeat_interleave(width), 0)
    chosen = verifier.advance(inputs.repeat(n_rows, 1)).view(n_rows, width, -1)
    right = (chosen[:, :, :-1] == inputs[:, 1:]).long().cumprod(-1)
    ends = torch.tensor([min(len(draft), longest) for draft in drafts])
    right = torch.minimum(right.sum(-1), ends)  # (n_rows, n_drafts): tokens of each draft that the row would give
    best = right.argmax(1)
    going: dict[int, list[int]] = {}  # unfinished rows, by the length of their answer so far
    for row, (draft, length) in enumerate(zip(best.tolist(), right.amax(1).tolist(), strict=True)):
        tokens = [*drafts[draft][:length], int(chosen[row, draft, length])]
        answers[row] = tokens[:-1] if tokens[-1] in stops else tokens
        if tokens[-1] not in stops and len(tokens) < max_tokens:
            going.setdefault(len(tokens), []).append(row)
    for length, rows in sorted(going.items()):
        members = torch.tensor(rows)
        rest = verifier.fork(members * width + best[members], length)
        _step_by_step(rest, rows, answers, start, stops, max_tokens)
    return answers


def _step_by_step(
    decoder: CoalitionDecoder,
    rows: list[int],
    answers: list[list[int]],
    start: int,
    stops: frozenset[int],
    max_tokens: int,
) -> None:
    """Complete the answers of `rows`, which are equally long and were fed except for their last token."""
    while rows and len(answers[rows[0]]) < max_tokens:
        checkpoint()
        last = [answers[row][-1] if answers[row] else start for row in rows]
        chosen = decoder.advance(torch.tensor(last)[:, None])[:, 0].tolist()
        going = [position for position, token in enumerate(chosen) if token not in stops]
        for position in going:
            answers[rows[position]].append(chosen[position])
        if len(going) < len(rows):
            rows = [rows[position] for position in going]
            decoder = decoder.fork(torch.tensor(going, dtype=torch.long))


class PrefixTracker:
    """Numbers the distinct answer prefixes of a batch of rows; see `rag.readers.attention.Prefixes`."""

    def __init__(self, n_rows: int, sizes: Sequence[int], device: torch.device):
        self._sizes = sizes
        self._last = torch.zeros(n_rows, dtype=torch.long, device=device)

    def extend(self, tokens: Tensor, members: Tensor) -> Prefixes:
        """The prefixes that end in each of `tokens` `(n_rows, n)`, which follow those given before.

        `members` says which blocks each row sees, `(n_rows, n_blocks)`.
        """
        columns, count = [], 0
        for column in tokens.unbind(1):
            self._last, first = distinct(self._last * _MOST_TOKENS + column)
            columns.append(self._last + count)
            count += len(first)
        node, first = distinct(torch.stack(columns, 1))
        return Prefixes(self._sizes, members, node, first)

    def rows(self, index: Tensor) -> PrefixTracker:
        """The tracker of some rows only."""
        tracker = PrefixTracker(0, self._sizes, index.device)
        tracker._last = self._last[index]
        return tracker


def fork_cache(cache: DynamicCache, rows: Tensor, length: int) -> DynamicCache:
    """The keys and values of some rows' first `length` tokens."""
    fork = DynamicCache()
    if length:
        for number, layer in enumerate(cache.layers):
            keys, values = layer.keys, layer.values  # type: ignore[union-attr]
            assert keys is not None, "a decoder that was fed has keys"
            assert values is not None, "a decoder that was fed has values"
            fork.update(keys[rows, :, :length], values[rows, :, :length], number)
    return fork
