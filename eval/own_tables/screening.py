"""How well a screened attribution agrees with the full one of the same reader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution import normalize_answer
from attribution.attribution import descending
from rag.readers.base import Reader, Screener
from rag.scores import mean_ranks
from rag.session import Session
from rag.settings import AttributionSettings, Settings
from retrievers import Passage

_ABOUT_ZERO = 0.005


@dataclass(frozen=True)
class Agreement:
    """Means over questions; None where no question allows the measure.

    Attributes:
        questions: number of questions.
        same_answer: fraction of the questions in which the chosen passages give the answer that all passages give.
        found: fraction of the full game's first `k` passages (of positive value) that were chosen.
        overlap: fraction of the same that are among the first `k` of the screened game.
        rank_correlation: Spearman's, between both games' values of the chosen passages for the full answer, over
            questions in which neither game is constant.
        evaluations: coalitions that the reader read in the screened game, and in the full one.
    """

    questions: int
    same_answer: float | None
    found: float | None
    overlap: float | None
    rank_correlation: float | None
    evaluations: tuple[float, float]


def screening_agreement(
    reader: Reader,
    screener: Screener,
    questions: Iterable[tuple[str, Sequence[Passage]]],
    size: int,
    *,
    k: int = 3,
    settings: AttributionSettings | None = None,
) -> Agreement:
    """Explain each question with and without screening, by votes, and compare.

    Args:
        reader: the one whose answers are explained, in the role of the costly one.
        screener: chooses the passages.
        questions: questions with their passages.
        size: number of passages chosen.
        k: first passages that matter.
        settings: of both games.
    """
    settings = settings or AttributionSettings()
    rows = [_compare(reader, screener, question, passages, size, k, settings) for question, passages in questions]
    if not rows:
        raise ValueError("no question was given")
    same, found, overlap, correlation, small, large = np.array(rows, dtype=np.float64).T
    return Agreement(
        questions=len(rows),
        same_answer=_mean(same),
        found=_mean(found),
        overlap=_mean(overlap),
        rank_correlation=_mean(correlation),
        evaluations=(float(small.mean()), float(large.mean())),
    )


def _compare(
    reader: Reader,
    screener: Screener,
    question: str,
    passages: Sequence[Passage],
    size: int,
    k: int,
    settings: AttributionSettings,
) -> tuple[float, ...]:
    every = Session(reader, question, passages, Settings(attribution=settings))
    few = settings.model_copy(update={"screen": size})
    chosen_alone = Session(reader, question, passages, Settings(attribution=few), screener=screener)
    chosen, full, part = chosen_alone.read, every.attribute(), chosen_alone.attribute()
    reference = full.of(full.output)
    # The full answer's values in the screened game; zero if no coalition gave it there.
    names = [normalize_answer(name) for name in part.outputs]
    wanted = normalize_answer(every.answer)
    values = part.of(names.index(wanted)) if wanted in names else np.zeros(len(chosen))
    first = [index for index in descending(reference)[:k] if reference[index] > _ABOUT_ZERO]
    own = {chosen[index] for index in descending(values)[:k] if values[index] > _ABOUT_ZERO}
    return (
        float(wanted == normalize_answer(chosen_alone.answer)),
        _share(first, set(chosen)),
        _share(first, own),
        _spearman(reference[chosen], values),
        part.evaluations,
        full.evaluations,
    )


def _share(wanted: Sequence[int], there: set[int]) -> float:
    return float(np.mean([index in there for index in wanted])) if wanted else np.nan


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Correlation of mean ranks; NaN if either side is constant."""
    if not len(first):
        return np.nan
    ranks = np.stack([mean_ranks(values.round(9)) for values in (first, second)])
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if np.ptp(ranks, axis=1).all() else np.nan


def _mean(column: NDArray[np.float64]) -> float | None:
    there = column[~np.isnan(column)]
    return float(there.mean()) if len(there) else None
