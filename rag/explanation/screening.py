"""A cheap reader chooses the passages that a costly one is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.explanation.passages import Explanation, explain_passages
from rag.readers.base import EncodedQuestion, Reader
from rag.settings import AttributionSettings
from retrievers import Passage

_BUDGET = 1000


class Screener(Reader, Protocol):
    """A reader that also says how relevant each passage is, as the embedded one does."""

    def relevance(self, encoded: EncodedQuestion) -> NDArray[np.float64]:
        """`(n_passages,)`, higher is better."""
        ...


def default_screener() -> Screener:
    """The embedded reader."""
    from rag.readers.embedded import EmbeddedReader

    return EmbeddedReader()


def screen(screener: Screener, question: str, passages: Sequence[Passage], size: int, seed: int = 0) -> list[int]:
    """The `size` passages that matter most to the screener, in their given order; all if there are no more.

    The costly reader then plays the game over these passages alone, as if no other had been retrieved. That is the
    game in which the others are never read, where their values are zero. It is cheaper than reading the others always,
    and an answer that they would give does not hide what the chosen ones do.
    """
    if len(passages) <= size:
        return list(range(len(passages)))
    settings = AttributionSettings(budget=max(_BUDGET, 4 * len(passages)), seed=seed)
    explanation = explain_passages(screener, question, passages, settings)
    order = influence_order(explanation, screener.relevance(explanation.encoded))
    return sorted(order[:size])


def influence_order(explanation: Explanation, relevance: NDArray[np.float64]) -> list[int]:
    """Passages by the mean of two ranks: that of their largest value for any answer, and that of their relevance."""
    influence = np.abs(explanation.attribution.values).max(axis=0)
    ranks = [mean_ranks(-influence.round(3)), mean_ranks(-relevance)]
    order: list[int] = np.argsort(ranks[0] + ranks[1], kind="stable").tolist()
    return order


def mean_ranks(keys: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0 in ascending order, `(n,)`; equal keys share the mean of theirs."""
    below = (keys[None, :] < keys[:, None]).sum(axis=1)
    equal = (keys[None, :] == keys[:, None]).sum(axis=1)
    return below + (equal - 1) / 2
