"""The blocks of one question: encoding them once, and what each coalition may see of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rag.readers.attention import additive_mask
from rag.readers.base import Coalitions
from rag.readers.interruption import checkpoint

BLOCK_BATCH_TOKENS = 2048  # padded tokens per encoder call: enough for full-speed products, little memory


def encode_blocks(encode: Callable[[Tensor, int], Tensor], mask: Tensor, hidden_size: int) -> Tensor:
    """Encode blocks in groups of similar length, so that little padding is computed.

    Args:
        encode: takes block indices `(n,)` and a length; returns states `(n, length, hidden_size)`.
        mask: `(n_blocks, length)`, 1 on tokens, 0 on the padding at each block's end.
        hidden_size: width of the states.

    Returns:
        `(n_blocks, length, hidden_size)` float32; 0 on padding.
    """
    lengths = mask.sum(1)
    order = torch.argsort(lengths, descending=True, stable=True)
    states = torch.zeros(*mask.shape, hidden_size, device=mask.device)
    done = 0
    while done < len(order):
        checkpoint()
        longest = int(lengths[order[done]])
        group = order[done : done + max(1, BLOCK_BATCH_TOKENS // longest)]
        done += len(group)
        states[group, :longest] = encode(group, longest).to(states.dtype)
    return states


class FlatBlocks(NamedTuple):
    """Positions of all real tokens of a question's blocks, the passages' first and the question alone last."""

    row: Tensor  # (n_tokens,) block of each token
    column: Tensor  # (n_tokens,) position in its block


def flatten(mask: Tensor) -> FlatBlocks:
    """Where the tokens of `(n_blocks, length)` are, block after block, without padding."""
    row, column = mask.bool().nonzero(as_tuple=True)
    return FlatBlocks(row, column)


@dataclass(frozen=True)
class BlockMap:
    """Which passage each block is of; the block of the question alone is left out.

    A passage is one player, however many blocks it takes: a coalition sees all of them or none.

    Attributes:
        owner: `(n_blocks,)` ascending, the column of each block's passage; each passage has a block.
    """

    owner: NDArray[np.intp]

    @classmethod
    def of(cls, counts: Sequence[int]) -> BlockMap:
        """The map of passages with so many blocks each."""
        return cls(np.repeat(np.arange(len(counts)), counts))

    def __add__(self, other: BlockMap) -> BlockMap:
        """The map with more passages behind the others."""
        return BlockMap(np.concatenate([self.owner, other.owner + self.n_passages]))

    @property
    def n_passages(self) -> int:
        """Number of passages."""
        return int(self.owner[-1]) + 1 if len(self.owner) else 0

    def spread(self, coalitions: Coalitions) -> Coalitions:
        """Coalitions of passages `(n_rows, n_passages)` as coalitions of blocks, `(n_rows, n_blocks)`."""
        return coalitions[:, self.owner]

    def best(self, values: ArrayLike) -> NDArray[np.float64]:
        """The largest of the values `(n_blocks,)` of each passage, `(n_passages,)`."""
        found = np.full(self.n_passages, -np.inf)
        np.maximum.at(found, self.owner, np.asarray(values, dtype=np.float64))
        return found

    def total(self, values: ArrayLike) -> NDArray[np.float64]:
        """The sum of the values `(n_blocks, …)` of each passage's blocks, `(n_passages, …)`."""
        parts = np.asarray(values, dtype=np.float64)
        found = np.zeros((self.n_passages, *parts.shape[1:]))
        np.add.at(found, self.owner, parts)
        return found


@dataclass(frozen=True)
class View:
    """What each row (a coalition) sees of a question's blocks.

    The last block holds the question alone; only the empty coalition sees it.

    Attributes:
        members: bool `(n_rows, n_blocks)`.
        tokens: bool `(n_rows, n_tokens)`.
        mask: the same as an additive mask `(n_rows, 1, 1, n_tokens)`.
    """

    members: Tensor
    tokens: Tensor
    mask: Tensor

    @classmethod
    def of(cls, coalitions: Coalitions, block: Tensor, dtype: torch.dtype = torch.float32) -> View:
        """The view that coalitions of blocks `(n_rows, n_blocks - 1)` have of tokens in blocks `(n_tokens,)`."""
        alone = ~coalitions.any(axis=1, keepdims=True)
        members = torch.from_numpy(np.concatenate([coalitions, alone], axis=1)).to(block.device)
        tokens = members[:, block]
        return cls(members, tokens, additive_mask(tokens, dtype)[:, None, None, :])

    def rows(self, index: Tensor) -> View:
        """The view of some rows only."""
        return View(self.members[index], self.tokens[index], self.mask[index])


def chunks(n_rows: int, bytes_per_row: int, memory_mb: int) -> Iterator[slice]:
    """Slices of rows whose working memory stays below `memory_mb`, of at least one row each.

    Many small chunks also keep the attention scores within the processor's cache.
    """
    size = max(1, memory_mb * 2**20 // max(1, bytes_per_row))
    for first in range(0, n_rows, size):
        checkpoint()
        yield slice(first, min(n_rows, first + size))
