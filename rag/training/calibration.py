"""From which probability on "no answer" is the better answer: tuned on held-out questions after training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag.questions import QuestionSet, score_answer
from rag.readers.embedded.reader import EmbeddedReader
from rag.training.sampling import Example

THRESHOLDS: NDArray[np.float64] = np.arange(1, 20) / 20


def tune_threshold(reader: EmbeddedReader, data: QuestionSet, examples: Sequence[Example]) -> float:
    """The threshold with the most right answers over all coalitions of the examples; of equals, that nearest 0.5.

    Where a coalition lacks the passage with the answer, "no answer" is right. `reader` keeps its own threshold.
    """
    own, reader.no_answer_threshold = reader.no_answer_threshold, float("inf")  # always answer
    right = np.zeros(len(THRESHOLDS))
    try:
        for example in examples:
            question = data.questions[example.question]
            encoded = reader.encode(question.text, [data.passages[index] for index in example.passages])
            answers = reader.generate(encoded, example.coalitions)
            none = np.exp(reader.score(encoded, example.coalitions, [""])[:, 0])
            for answer, probability, held in zip(answers, none, example.coalitions[:, example.holder], strict=True):
                matches = score_answer(answer, question.answers).exact_match if held else 0.0
                right += np.where(probability >= THRESHOLDS, float(not held), matches)
    finally:
        reader.no_answer_threshold = own
    best = np.flatnonzero(right == right.max())
    return float(THRESHOLDS[best[np.argmin(np.abs(THRESHOLDS[best] - 0.5))]])
