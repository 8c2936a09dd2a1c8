"""Plain generation answers as the readers do; where it does not, that must be noticed."""

from __future__ import annotations

import numpy as np
import pytest

from eval.benchmark.plain import plain
from eval.own_tables.votes import random_coalitions
from rag.readers.attention import SHARED_ATTENTION


def test_votes_are_those_of_the_reader(read):
    coalitions = random_coalitions(60, len(read.passages), seed=1)
    answers = read.reader.generate(read.encoded, coalitions)
    made = read.way.generate(read.way.encode(read.question, read.passages), coalitions)
    assert len(set(answers)) > 2, "the answers do not depend on the coalition, so this shows nothing"
    for answer, generated in zip(answers, made, strict=True):
        assert read.way.same_vote(answer, generated) or generated.gap < 1e-4
        assert generated.gap >= 0
    other = next(g for a, g in zip(answers, made, strict=True) if a != answers[1])
    assert not read.way.same_vote(answers[1], other)


def test_one_at_a_time_over_the_passages_alone_gives_the_same(read):
    coalitions = random_coalitions(12, len(read.passages), seed=2)
    together = read.way.generate(read.way.encode(read.question, read.passages), coalitions)
    for row, generated in zip(coalitions, together, strict=True):
        inside = [passage for passage, member in zip(read.passages, row, strict=True) if member]
        alone = read.way.generate(read.way.encode(read.question, inside), np.ones((1, len(inside)), bool))[0]
        assert alone.tokens == generated.tokens
        assert alone.gap == pytest.approx(generated.gap, abs=1e-3)


def test_the_readers_attention_is_put_back(read):
    read.way.generate(read.way.encode(read.question, read.passages), np.ones((2, len(read.passages)), bool))
    model = getattr(read.reader.model, "decoder", None) or read.reader.model
    assert model.config._attn_implementation == SHARED_ATTENTION


def test_other_readers_are_refused():
    with pytest.raises(ValueError, match="plain generation is known of"):
        plain(object())
