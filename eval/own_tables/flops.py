"""Floating-point operations that a coalition pass needs, and what the machine can do.

A product of (m, k) and (k, n) counts 2 m k n. For one decoder step of one coalition that sees T source tokens, as the
t-th token of its answer, each layer of width d, attention width a and feed-forward width f needs

    8 d a         self-attention's query, key, value and output
    4 a t         its scores and their weighted sum over t tokens
    4 d a         cross-attention's query and output
    4 a T         its scores and their weighted sum over the visible tokens
    4 d f         the feed-forward layer (6 d f where it is gated)

and after the layers the head: 2 d V for a vocabulary of V; for the embedded reader 2 d d for the pointer's query, 2 d T
for its match with the visible tokens and 4 d for stop and gate. The embedded reader's vocabulary is left out: few rows
need it. So are exponentials, sums, norms and what is computed for hidden tokens: the count is what must be done, not
what is done. Keys and values of the source (4 d a per token and layer) belong to the encoding.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from eval.benchmark.plain import plain
from eval.benchmark.settings import BenchmarkSettings
from eval.benchmark.speed import evaluated_coalitions
from rag.readers import EncodedQuestion, Reader
from rag.readers.base import Coalitions
from rag.readers.embedded import EmbeddedReader


@dataclass(frozen=True)
class DecoderShape:
    """Sizes of a decoder; `vocabulary` is 0 and `pointer` True for the embedded reader."""

    layers: int
    width: int
    heads: int
    attention: int
    feed_forward: int
    gated: bool
    vocabulary: int
    pointer: bool

    def step(self, position: int | np.ndarray, visible: int | np.ndarray) -> Any:
        """Operations of one step: `position` counts answer tokens from 1, `visible` the source tokens seen."""
        d, a = self.width, self.attention
        dense = 12 * d * a + (6 if self.gated else 4) * d * self.feed_forward
        layers = self.layers * (dense + 4 * a * (position + visible))
        pointer = (2 * d * d + 2 * d * visible + 4 * d) if self.pointer else 0
        return layers + 2 * d * self.vocabulary + pointer

    def answers(self, steps: Sequence[int] | np.ndarray, visible: Sequence[int] | np.ndarray) -> float:
        """Operations of all steps of all coalitions: `steps` and `visible` are (n_coalitions,)."""
        counts, seen = np.asarray(steps, dtype=np.float64), np.asarray(visible, dtype=np.float64)
        extra = 4 * self.attention * self.layers * counts * (counts - 1) / 2  # positions 2, 3, … beyond the first
        return float((counts * self.step(1, seen) + extra).sum())

    def exponentials(self, steps: Sequence[int] | np.ndarray, visible: Sequence[int] | np.ndarray) -> float:
        """Exponentials of the softmaxes over visible tokens, cross-attention and pointer."""
        products = np.asarray(steps, dtype=np.float64) * np.asarray(visible, dtype=np.float64)
        return float(products.sum() * (self.layers * self.heads + self.pointer))


def decoder_shape(reader: Reader) -> DecoderShape:
    """The shape of a reader's decoder; raises ValueError where the model's configuration does not tell."""
    if isinstance(reader, EmbeddedReader):
        own = reader.model.config
        width = own.hidden_size
        return DecoderShape(own.decoder_layers, width, own.heads, width, own.intermediate_size, False, 0, True)
    c: Any = getattr(getattr(reader, "model", None), "config", None)
    if hasattr(c, "d_kv"):
        attention, vocabulary = c.num_heads * c.d_kv, c.vocab_size
        return DecoderShape(
            c.num_decoder_layers, c.d_model, c.num_heads, attention, c.d_ff, c.is_gated_act, vocabulary, False
        )
    if hasattr(c, "decoder_ffn_dim"):
        heads, feed_forward = c.decoder_attention_heads, c.decoder_ffn_dim
        return DecoderShape(c.decoder_layers, c.d_model, heads, c.d_model, feed_forward, False, c.vocab_size, False)
    raise ValueError(f"operations are counted for the embedded reader, T5 and BART, not for {reader.name}")


class Needed(NamedTuple):
    """The coalitions of a question, bool `(n_coalitions, n_passages)`, and what answering for them needs."""

    coalitions: Coalitions
    operations: float
    exponentials: float


def needed(settings: BenchmarkSettings, reader: Reader, encoded: EncodedQuestion) -> Needed:
    """What the permutations of the settings need; the stop counts as a step, unless an answer ran into its limit."""
    coalitions = evaluated_coalitions(reader, encoded, settings.permutations)
    way, most_tokens = plain(reader), settings.reader.max_answer_tokens
    visible = way.encode(encoded.question, encoded.passages).visible(coalitions).sum(1).cpu().numpy()
    steps = [min(most_tokens, len(way.tokens(answer)) + 1) for answer in reader.generate(encoded, coalitions)]
    shape = decoder_shape(reader)
    return Needed(coalitions, shape.answers(steps, visible), shape.exponentials(steps, visible))


def matrix_product_peak(seconds: float, sizes: Sequence[int] = (1024, 1536, 2048)) -> float:
    """Most operations per second that float32 products of square matrices reach, with torch's present threads."""
    best = 0.0
    for size in sizes:
        left, right, out = (torch.rand(size, size) for _ in range(3))
        best = max(best, 2 * size**3 / _fastest(lambda a=left, b=right, c=out: torch.matmul(a, b, out=c), seconds))
    return best


def softmax_rate(seconds: float, rows: int = 512, tokens: int = 2048) -> float:
    """Most exponentials per second that torch's float32 softmax reaches over rows of `tokens`."""
    scores = torch.rand(rows, tokens)
    return rows * tokens / _fastest(lambda: scores.softmax(-1), seconds)


def _fastest(function: Any, seconds: float) -> float:
    function()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - started)
    return best
