"""Readers of all three families, and coalitions for them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from eval.benchmark.plain import PlainReader, plain
from rag.readers import EncodedQuestion, Reader
from rag.readers.embedded import EmbeddedReader
from rag.readers.fid import FiDReader
from retrievers import Passage

from ...rag.checkpoints import make_bart, make_t5

WORDS = "rock tower island sea ferry bird stone year north south old new high low red green harbour storm".split()
LAKES = [
    "Loch Ness is 37 kilometres long.",
    "The loch is 36 km long.",
    "It holds the most water.",
    "Nessie lives here.",
]


class Read(NamedTuple):
    """One question, encoded by a reader and in the plain way."""

    reader: Reader
    encoded: EncodedQuestion
    way: PlainReader
    passages: list[Passage]
    question: str


@pytest.fixture(scope="session", params=["t5", "bart", "embedded"])
def read(request, tmp_path_factory) -> Read:
    if request.param == "embedded":
        reader, question = EmbeddedReader(), "How long is Loch Ness?"
        passages = [Passage(f"p{i}", text, "Loch Ness") for i, text in enumerate(LAKES)]
    else:
        folder = tmp_path_factory.mktemp(request.param)
        make = {"t5": make_t5, "bart": lambda at: make_bart(at, forced_bos_token_id=3)}[request.param]
        reader = FiDReader(make(folder), max_block_tokens=64, max_answer_tokens=8)
        rng = np.random.default_rng(0)
        texts = [" ".join(rng.choice(WORDS, int(rng.integers(4, 15)))) for _ in range(5)]
        passages, question = [Passage(f"p{i}", text, "old") for i, text in enumerate(texts)], "where is the tower ?"
    return Read(reader, reader.encode(question, passages), plain(reader), passages, question)
