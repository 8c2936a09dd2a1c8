"""Whether one system is better than another on the same questions: randomisation tests and the bootstrap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rag.settings_base import Section

Floats = NDArray[np.float64]

_CHUNK = 2000  # draws at a time: bounded memory


class ComparisonSettings(Section):
    """How systems are compared.

    Attributes:
        draws: of randomisation tests and bootstrap.
        confidence: of the intervals.
        seed: of the draws.
    """

    draws: int = Field(default=10_000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


def randomisation_test(differences: Floats, draws: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of a mean difference, `(n_questions,)`, when each difference's sign is a fair coin's.

    It is exact where the signs of all differences that are not zero can be enumerated within `draws`. Otherwise that
    many sign patterns are drawn and the observed one is counted among them (Phipson and Smyth 2010): p is never 0.
    """
    moved = np.asarray(differences, dtype=np.float64)
    moved = moved[moved != 0]
    observed = abs(moved.sum())
    threshold = observed - 1e-9 * max(1.0, np.abs(moved).sum())  # sums of equal size differ by rounding
    exact = 2.0 ** len(moved) <= draws
    patterns = _all_signs(len(moved)) if exact else _random_signs(len(moved), draws, seed)
    reached = sum(int((np.abs(signs @ moved) >= threshold).sum()) for signs in patterns)
    return reached / 2 ** len(moved) if exact else (reached + 1) / (draws + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979); significant at a level if not above it."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def bootstrap_intervals(scores: Floats, draws: int = 10_000, confidence: float = 0.95, seed: int = 0) -> Floats:
    """Percentile intervals of column means, `(2, n_columns)`, resampling the rows (questions).

    Args:
        scores: `(n_questions, n_columns)`; all columns see the same resamples.
        draws: number of resamples.
        confidence: coverage, 0 to 1.
        seed: of the resampling.
    """
    n = len(scores)
    rng = np.random.default_rng(seed)
    means = [
        rng.multinomial(n, np.full(n, 1 / n), size=min(_CHUNK, draws - start)) @ scores / n
        for start in range(0, draws, _CHUNK)
    ]
    tail = (1 - confidence) / 2
    return np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0)


def _all_signs(n: int) -> Iterator[Floats]:
    for start in range(0, 2**n, _CHUNK):
        numbers = np.arange(start, min(2**n, start + _CHUNK))
        yield np.where(numbers[:, None] >> np.arange(n) & 1, -1.0, 1.0)


def _random_signs(n: int, draws: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    for start in range(0, draws, _CHUNK):
        yield rng.choice([-1.0, 1.0], size=(min(_CHUNK, draws - start), n))
