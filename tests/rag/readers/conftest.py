"""Random passages and coalitions for the readers."""

from __future__ import annotations

import numpy as np

from retrievers import Passage

from ..checkpoints import WORDS


def random_passages(n: int, seed: int = 0) -> list[Passage]:
    rng = np.random.default_rng(seed)
    return [
        Passage(f"p{i}", " ".join(rng.choice(WORDS[6:], int(rng.integers(4, 15)))), " ".join(rng.choice(WORDS, 2)))
        for i in range(n)
    ]


def random_coalitions(n: int, players: int, seed: int = 0) -> np.ndarray:
    """The empty and the full coalition, then coalitions of every size."""
    rng = np.random.default_rng(seed)
    rows = rng.random((n, players)) < rng.random((n, 1))
    rows[0], rows[1] = False, True
    return rows
