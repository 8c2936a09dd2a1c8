"""The count of operations against torch's own counter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from eval.benchmark import plain
from eval.own_tables.flops import DecoderShape, decoder_shape, matrix_product_peak, softmax_rate
from rag.readers.embedded import EmbeddedReader


@pytest.mark.parametrize("rows", [1, 3])
def test_operations_are_those_that_torch_counts(read, rows, monkeypatch):
    """Rows that see everything: then plain generation computes only what is needed, and keys and values."""
    monkeypatch.setattr(plain, "STOCK", "eager")  # whose products the counter sees
    blocks = read.way.encode(read.question, read.passages)
    tokens = blocks.states.shape[1]
    everything = torch.ones(rows, tokens, dtype=torch.bool)
    monkeypatch.setattr(plain.Blocks, "visible", lambda self, coalitions: everything)
    with FlopCounterMode(display=False) as counter:
        made = read.way.generate(blocks, np.ones((rows, len(read.passages)), bool))
    steps = [min(read.reader.max_answer_tokens, len(generated.tokens) + 1) for generated in made]
    assert steps[0] > 1
    shape = decoder_shape(read.reader)
    expected = shape.answers(steps, [tokens] * rows) + rows * 4 * shape.width * shape.attention * shape.layers * tokens
    if isinstance(read.reader, EmbeddedReader):
        config = read.reader.model.config
        expected += sum(steps) * 2 * config.hidden_size * (config.hidden_size + config.vocab_size)
    assert counter.get_total_flops() == pytest.approx(expected, rel=1e-6)


def test_steps_add_up():
    shape = DecoderShape(3, 16, 2, 8, 32, True, 50, False)
    by_hand = sum(shape.step(position, 70) for position in (1, 2, 3, 4)) + shape.step(1, 20)
    assert shape.answers([4, 1], [70, 20]) == by_hand
    assert shape.exponentials([4, 1], [70, 20]) == 3 * 2 * (4 * 70 + 20)


def test_rates_are_measured():
    assert matrix_product_peak(0.02, sizes=(128,)) > 1e8
    assert softmax_rate(0.02, rows=16, tokens=256) > 1e6


def test_readers_without_a_known_decoder_are_refused():
    with pytest.raises(ValueError, match="T5 and BART, not for scripted"):
        decoder_shape(type("Scripted", (), {"name": "scripted"})())
