"""A small SQuAD file, and a reader of its statements whose answers can be worked out by hand."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.readers.base import EncodedQuestion
from retrievers import Passage

CAPITALS = {
    "Aldra": "Oslo", "Brenta": "Rome", "Corvo": "Paris", "Dunmar": "Bergen", "Elvira": "Turku", "Fosse": "Malaga",
}  # fmt: skip


class StatementReader:
    """Answers what is stated most often of the country that is asked about; the first in the alphabet on a tie.

    The log-probability of an answer that is
    stated n of N times is log (n + 1) / (N + 2). With `heart`, it knows one answer without any passage.
    """

    name = "statements"

    def __init__(self, heart: str = "") -> None:
        self.heart = heart
        self.encoded = 0

    def encode(self, question: str, passages: Sequence[Passage]) -> EncodedQuestion:
        self.encoded += 1
        return EncodedQuestion(question, tuple(passages), (0,) * len(passages), 0, None)

    def generate(self, encoded: EncodedQuestion, coalitions: np.ndarray) -> list[str]:
        return [self._answer(self._stated(encoded, row)) for row in coalitions]

    def score(self, encoded: EncodedQuestion, coalitions: np.ndarray, answers: Sequence[str]) -> np.ndarray:
        stated = [self._stated(encoded, row) for row in coalitions]
        return np.log([[(one[answer] + 1) / (one.total() + 2) for answer in answers] for one in stated])

    def _answer(self, stated: Counter[str]) -> str:
        return self.heart or min(stated, key=lambda answer: (-stated[answer], answer), default="")

    @staticmethod
    def _stated(encoded: EncodedQuestion, row: np.ndarray) -> Counter[str]:
        country = encoded.question.removesuffix("?").split()[-1]
        text = "\n".join(p.text for p, shown in zip(encoded.passages, row, strict=True) if shown)
        orders = re.findall(rf"of {country}\?.*answer (\w+)\. The answer is (\w+)", text)
        return Counter([*re.findall(rf"of {country} is (\w+)", text), *(word for order in orders for word in order)])


@pytest.fixture
def reader() -> StatementReader:
    return StatementReader()


@pytest.fixture
def squad(tmp_path) -> Path:
    """Six articles of one paragraph and one question each."""
    articles = []
    for country, capital in CAPITALS.items():
        context = f"It lies by the sea. The capital of {country} is {capital}. Few have been there."
        answer = {"text": capital, "answer_start": context.index(capital)}
        asked = {"id": country, "question": f"What is the capital of {country}?", "answers": [answer]}
        articles.append({"title": country, "paragraphs": [{"context": context, "qas": [asked]}]})
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"version": "1.1", "data": articles}), encoding="utf-8")
    return path
