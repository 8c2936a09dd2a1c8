"""What is lost when a cheap reader chooses the passages of a costly one; see docs/prompt-reader.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from attribution import normalize_answer
from attribution.attribution import descending
from rag.explanation.findings import is_about_zero
from rag.readers.base import Reader, Screener
from rag.session import Session
from rag.settings import AttributionSettings, Settings
from retrievers import Passage


class Agreement(NamedTuple):
    """Means over questions.

    Attributes:
        same_answer: fraction of the questions in which the chosen passages give the answer that all passages give.
        found: fraction of the full game's first `k` passages (of positive value) that were chosen, over the questions
            that have any; NaN if none has.
    """

    same_answer: float
    found: float


def screening_agreement(
    reader: Reader,
    screener: Screener,
    questions: Iterable[tuple[str, Sequence[Passage]]],
    size: int,
    *,
    k: int = 3,
    settings: AttributionSettings | None = None,
) -> Agreement:
    """Explain each question by votes and see whether screening keeps what mattered.

    Args:
        reader: the one whose answers are explained, in the role of the costly one.
        screener: chooses the passages.
        questions: questions with their passages; ValueError if there are none.
        size: number of passages chosen.
        k: first passages that matter.
        settings: of the full game.
    """
    settings = settings or AttributionSettings()
    screened = settings.model_copy(update={"screen": size})
    same, found = [], []
    for question, passages in questions:
        full = Session(reader, question, passages, Settings(attribution=settings))
        chosen = Session(reader, question, passages, Settings(attribution=screened), screener=screener)
        same.append(normalize_answer(full.answer) == normalize_answer(chosen.answer))
        attribution = full.attribute()
        values = np.maximum(attribution.of(attribution.output), 0.0)
        if first := [index for index in descending(values)[:k] if not is_about_zero(values[index], 0)]:
            found.append(np.mean([index in chosen.read for index in first]))
    if not same:
        raise ValueError("no question was given")
    return Agreement(float(np.mean(same)), float(np.mean(found)) if found else np.nan)
