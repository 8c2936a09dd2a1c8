"""From which probability on "no answer" is given: tuned on held-out questions after training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag.questions import QuestionSet
from rag.readers.embedded.reader import EmbeddedReader
from rag.training.sampling import Example

FALSE_DECLINES = 0.05  # most of the coalitions that hold the answer may be declined
THRESHOLDS = np.arange(1, 20) / 20


def tune_threshold(reader: EmbeddedReader, data: QuestionSet, examples: Sequence[Example]) -> float:
    """The lowest threshold at which few coalitions that hold the answer are declined; the highest if none is.

    Not the one with the most right answers: a wrong answer and none count alike there, so that a reader that is often
    wrong would best decline most of the time.
    """
    chances: list[float] = []
    for example in examples:
        passages = [data.passages[index] for index in example.passages]
        encoded = reader.encode(data.questions[example.question].text, passages)
        held = example.coalitions[example.coalitions[:, example.holder]]
        chances += np.exp(reader.score(encoded, held, [""])[:, 0]).tolist()
    declined = (np.array(chances)[:, None] >= THRESHOLDS).mean(axis=0)
    few = THRESHOLDS[declined <= FALSE_DECLINES]
    return float(few[0] if len(few) else THRESHOLDS[-1])
