from __future__ import annotations

import numpy as np
import pytest

from rag.readers.embedded import EmbeddedReader
from rag.readers.fid import FiDReader
from rag.readers.interruption import checkpoint, interruptible

from .conftest import random_passages


class Enough(Exception):  # noqa: N818
    pass


class Countdown:
    def __init__(self, most: int):
        self.left = most

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Enough


def test_nothing_happens_without_a_check():
    checkpoint()


@pytest.mark.parametrize("kind", ["embedded", "t5"])
def test_reading_ends_wherever_it_is_told_to_and_can_be_done_again(kind, t5, tiny_embedded):
    reader = (
        EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=6)
        if kind == "embedded"
        else FiDReader(t5, max_answer_tokens=6)
    )
    passages = random_passages(6, seed=1)
    rows = np.random.default_rng(0).random((40, 6)) < 0.5

    def read():
        encoded = reader.encode("which word is it?", passages)
        return reader.generate(encoded, rows)

    expected = read()
    endless = Countdown(10**9)
    with interruptible(endless):
        assert read() == expected
    passed = 10**9 - endless.left
    assert passed >= 3  # encoding, and more than one token
    encoded = reader.encode("which word is it?", passages)
    for most in range(passed):
        with pytest.raises(Enough), interruptible(Countdown(most)):
            read()
        with pytest.raises(Enough), interruptible(Countdown(0)):
            reader.generate(encoded, rows)
    assert read() == expected == reader.generate(encoded, rows)
    with interruptible(Countdown(0)):
        pass
    checkpoint()
