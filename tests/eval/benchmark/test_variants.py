"""Ideas are switched off without changing an answer, and on again afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from eval.benchmark.ablations import OURS, VARIANTS
from eval.benchmark.speed import evaluated_coalitions, permutation_coalitions
from eval.own_tables.votes import random_coalitions
from rag.readers.attention import SHARED_ATTENTION


@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.name for variant in VARIANTS])
def test_answers_stay_the_same(read, variant):
    coalitions = random_coalitions(20, len(read.passages), seed=4)
    expected, bound = read.reader.generate(read.encoded, coalitions), read.reader.memory_mb
    with variant.context(read.reader):
        assert read.reader.generate(read.encoded, coalitions) == expected
    decoder = getattr(read.reader.model, "decoder", None) or read.reader.model.get_decoder()
    assert decoder.config._attn_implementation == SHARED_ATTENTION
    assert read.reader.memory_mb == bound


def test_what_is_evaluated_is_distinct_or_all(read):
    n = len(read.passages)
    distinct = evaluated_coalitions(read.reader, read.encoded, 10, OURS)
    assert len(np.unique(distinct, axis=0)) == len(distinct)
    again = next(variant for variant in VARIANTS if not variant.distinct)
    everything = evaluated_coalitions(read.reader, read.encoded, 10, again)
    assert everything.tolist() == permutation_coalitions(n, 10, seed=0).tolist()
