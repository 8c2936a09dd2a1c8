"""Order passages by what they contributed to the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attribution import Attribution
from attribution.attribution import descending
from rag.explanation.passages import explain_passages
from rag.explanation.screening import Screener, default_screener, screen
from rag.readers import Reader
from rag.readers.loading import load_reader, set_threads
from rag.settings import AttributionSettings, load_settings
from rag.settings_base import SettingsError
from retrievers import Hit, Passage
from retrievers.base import RRF_K

Scores = NDArray[np.float64]


def _value(attribution: Attribution) -> Scores:
    """Value for the full answer. Where that is "no answer", what is taken from it: the values of all others."""
    values = attribution.values[attribution.output]
    return -values if attribution.outputs[attribution.output] == "" else values


def _positive(attribution: Attribution) -> Scores:
    """Positive values, summed over all answers but "no answer"."""
    return np.maximum(attribution.values[_answers(attribution)], 0.0).sum(axis=0)


def _pivots(attribution: Attribution) -> Scores:
    """How often a passage changes the answer to something, "no answer" excepted (TextGenSHAP's released score)."""
    if attribution.pivots is None:
        raise SettingsError(
            f"rerank.score: estimator {attribution.estimator!r} gives no pivots; "
            "use value or positive, or attribution.estimator=permutation"
        )
    return attribution.pivots[_answers(attribution)].sum(axis=0)


def _answers(attribution: Attribution) -> list[int]:
    return [index for index, output in enumerate(attribution.outputs) if output != ""]


BY_VALUES: dict[str, Callable[[Attribution], Scores]] = {
    "value": _value,
    "positive": _positive,
    "pivots": _pivots,
}
FUSION = "+rrf"
SCORES = (*BY_VALUES, *(f"{name}{FUSION}" for name in BY_VALUES))
"""What passages can be ordered by: a score of their values, or that order fused with the one in which they came."""


def passage_scores(attribution: Attribution, score: str = "value") -> Scores:
    """The score of each passage, `(n_passages,)`, by one of `SCORES`; fused, 1 is a passage first in both orders."""
    if score not in SCORES:
        raise SettingsError(f"rerank.score: {score!r} is unknown; known: {', '.join(SCORES)}")
    scores = BY_VALUES[score.removesuffix(FUSION)](attribution)
    return fuse(scores) * (RRF_K + 1) / 2 if score.endswith(FUSION) else scores


def fuse(scores: Scores, rrf_k: float = RRF_K) -> Scores:
    """1 / (rrf_k + rank) in the order given plus the same by score (Cormack, Clarke and Büttcher 2009), `(n,)`."""
    ranks = np.empty(len(scores))
    ranks[descending(scores)] = np.arange(1, len(scores) + 1)
    fused: Scores = 1 / (rrf_k + np.arange(1, len(scores) + 1)) + 1 / (rrf_k + ranks)
    return fused


def needs_pivots(score: str) -> bool:
    """Whether the estimator must give pivots for one of `SCORES`."""
    return score.startswith("pivots")


def attributed_order(attribution: Attribution, score: str = "value") -> list[int]:
    """Passages from the best score to the worst; equal ones stay in the retriever's order."""
    order: list[int] = descending(passage_scores(attribution, score)).tolist()
    return order


class Ranked(NamedTuple):
    """One passage of a reranking.

    Attributes:
        passage: the passage.
        rank: its rank before, from 1.
        score: what the passages are ordered by; higher is better.
        value: its value for the answer; None if it was screened out.
        error: standard error of the value; None likewise.
    """

    passage: Passage
    rank: int
    score: float
    value: float | None
    error: float | None


@dataclass(frozen=True)
class Reranking:
    """Passages in attributed order.

    Attributes:
        answer: the answer that they are attributed, the reader's from all passages it got; "" is "no answer".
        passages: all passages, best first.
    """

    answer: str
    passages: tuple[Ranked, ...]


class Reranker:
    """Reranks retrieved passages by attribution.

    Args:
        reader: the reader whose answer is attributed.
        attribution: utility, estimator and budget.
        score: one of `SCORES`.
        screener: chooses passages where `attribution.screen` asks for it; by default the embedded reader.
    """

    def __init__(
        self,
        reader: Reader,
        attribution: AttributionSettings | None = None,
        score: str = "value",
        screener: Screener | None = None,
    ):
        if score not in SCORES:
            raise SettingsError(f"rerank.score: {score!r} is unknown; known: {', '.join(SCORES)}")
        self.reader = reader
        self.attribution = attribution or AttributionSettings()
        self.score = score
        self.screener = screener or (default_screener() if self.attribution.screen else None)

    @classmethod
    def from_config(cls, config: str | Path | None = None, *, overrides: Sequence[str] = ()) -> Reranker:
        """A reranker from settings, of which `reader`, `attribution`, `rerank.score` and `threads` matter.

        Raises:
            SettingsError: a setting is wrong.
            FileNotFoundError: there is no such file of settings.
        """
        settings = load_settings(config, overrides)
        set_threads(settings.threads)
        return cls(load_reader(settings.reader), settings.attribution, settings.rerank.score)

    def rerank(self, question: str, hits: Sequence[Hit]) -> list[Hit]:
        """The same passages, best first, with their attribution scores.

        Those that were screened out come last, in their old order, with the lowest score of the others or 0.
        """
        reranking = self.attribute(question, [hit.passage for hit in hits])
        return [Hit(ranked.passage, ranked.score) for ranked in reranking.passages]

    def attribute(self, question: str, passages: Sequence[Passage]) -> Reranking:
        """As `rerank`, with the answer and what each passage contributed to it."""
        read = list(range(len(passages)))
        if self.screener is not None:
            read = screen(self.screener, question, passages, self.attribution.screen, self.attribution.seed)
        chosen = [passages[index] for index in read]
        explanation = explain_passages(self.reader, question, chosen, self.attribution, pivots=needs_pivots(self.score))
        attribution = explanation.attribution
        scores = passage_scores(attribution, self.score)
        values, errors = (part[attribution.output] for part in (attribution.values, attribution.errors))
        ranked = [
            Ranked(chosen[i], read[i] + 1, float(scores[i]), float(values[i]), float(errors[i]))
            for i in attributed_order(attribution, self.score)
        ]
        lowest = min(0.0, float(scores.min(initial=0.0)))
        left = (index for index in range(len(passages)) if index not in read)
        unread = [Ranked(passages[index], index + 1, lowest, None, None) for index in left]
        return Reranking(explanation.text, (*ranked, *unread))
