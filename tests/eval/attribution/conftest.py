"""A reader whose answers follow a formula, and two-hop questions with marked evidence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.readers.base import EncodedQuestion
from retrievers import Passage


class FormulaReader:
    """Answers "Oslo" where the log-probability exceeds log 1/2; each passage's text is its weight.

    Of the visible weights w, the odds of the answer are exp(sum of w - 1), and 3 more in the exponent where both the
    first and the last passage are visible. With `silent` it never answers.
    """

    name = "formula"

    def __init__(self, silent: bool = False) -> None:
        self.silent = silent
        self.read: Counter[tuple[str, str, bytes]] = Counter()

    def encode(self, question: str, passages: Sequence[Passage]) -> EncodedQuestion:
        weights = np.array([float(passage.text) for passage in passages])
        return EncodedQuestion(question, tuple(passages), (0,) * len(passages), 0, weights)

    def generate(self, encoded: EncodedQuestion, coalitions: np.ndarray) -> list[str]:
        self.read.update(("votes", encoded.question, row.tobytes()) for row in coalitions)
        likely = self.log_probability(encoded.state, coalitions) > np.log(0.5)
        return ["Oslo" if yes and not self.silent else "" for yes in likely]

    def score(self, encoded: EncodedQuestion, coalitions: np.ndarray, answers: Sequence[str]) -> np.ndarray:
        self.read.update(("likelihood", encoded.question, row.tobytes()) for row in coalitions)
        said = self.log_probability(encoded.state, coalitions)
        return np.stack([said if answer == "Oslo" else np.log(-np.expm1(said)) for answer in answers], axis=1)

    @staticmethod
    def log_probability(weights: np.ndarray, coalitions: np.ndarray) -> np.ndarray:
        odds = coalitions @ weights - 1 + 3 * (coalitions[:, 0] & coalitions[:, -1])
        return -np.logaddexp(0, -odds)


@pytest.fixture
def reader() -> FormulaReader:
    return FormulaReader()


WEIGHTS = [0.5, -1.0, 0.0, 2.0, 0.25, -0.5, 1.0]


@pytest.fixture
def passages() -> list[Passage]:
    return [Passage(f"p{number}", str(weight)) for number, weight in enumerate(WEIGHTS)]


@pytest.fixture
def hotpotqa(tmp_path) -> Path:
    """Four questions of seven weights; the first and last passage support the answer."""
    values = []
    for number in range(4):
        weights = np.round(np.roll(WEIGHTS, number) + 0.1 * number, 2)
        contexts = [
            {"title": f"t{place}", "paragraph_text": str(weight), "is_supporting": place in (0, 6)}
            for place, weight in enumerate(weights)
        ]
        values.append(
            {"id": f"q{number}", "question": f"where is it {number}?", "answer": "Oslo", "contexts": contexts}
        )
    path = tmp_path / "two-hop.jsonl"
    path.write_text("\n".join(map(json.dumps, values)), encoding="utf-8")
    return path
