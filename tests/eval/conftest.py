"""A small open-domain set with judgements, and a reader whose answers can be worked out by hand."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.readers.base import EncodedQuestion
from retrievers import Passage


class CountingReader:
    """Answers with the capitalised word that most visible passages hold, the longest on a tie; counts its work."""

    name = "counting"

    def __init__(self) -> None:
        self.encoded = 0
        self.decoded: Counter[tuple[str, tuple[str, ...], bytes]] = Counter()

    def encode(self, question: str, passages: Sequence[Passage]) -> EncodedQuestion:
        self.encoded += 1
        words = [{w.strip(".") for w in p.text.split() if w[0].isupper()} for p in passages]
        return EncodedQuestion(question, tuple(passages), (0,) * len(passages), 0, words)

    def generate(self, encoded: EncodedQuestion, coalitions: np.ndarray) -> list[str]:
        ids = tuple(passage.id for passage in encoded.passages)
        self.decoded.update((encoded.question, ids, row.tobytes()) for row in coalitions)
        return [self._answer(encoded, row) for row in coalitions]

    def score(self, encoded: EncodedQuestion, coalitions: np.ndarray, answers: Sequence[str]) -> np.ndarray:
        counts = [Counter(w for words, seen in zip(encoded.state, row, strict=True) if seen for w in words)
                  for row in coalitions]  # fmt: skip
        return np.array([[-1.0 / (1 + count[answer]) for answer in answers] for count in counts])

    @staticmethod
    def _answer(encoded: EncodedQuestion, row: np.ndarray) -> str:
        counts = Counter(w for words, seen in zip(encoded.state, row, strict=True) if seen for w in words)
        return max(counts, key=lambda w: (counts[w], len(w), w), default="")


@pytest.fixture
def reader() -> CountingReader:
    return CountingReader()


CITIES = {"aldra": "Oslo", "brenta": "Rome", "corvo": "Paris", "dunmar": "Bergen", "elvira": "Turku", "fosse": "Malaga"}


@pytest.fixture
def beir(tmp_path) -> Path:
    """Six questions; the passage with the answer is BM25's third or later, as distractors repeat the question."""
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    corpus, queries, qrels = [], [], ["query-id\tcorpus-id\tscore"]
    for number, (name, city) in enumerate(CITIES.items(), start=1):
        about = f"harbour of {name}"
        rows = [
            f"where is the {about} nobody knows",
            f"{about} is where it is",
            f"{about} is in {city}",
            f"the old guide says of {about} that it lies in {city}",
            f"{about} and the long road to {city[::-1].title()}",
        ]
        corpus += [{"_id": f"p{number}-{place}", "title": "", "text": text} for place, text in enumerate(rows)]
        queries.append({"_id": f"q{number}", "text": f"Where is the {about}?", "metadata": {"answers": [city]}})
        qrels += [f"q{number}\tp{number}-2\t2", f"q{number}\tp{number}-3\t1"]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)), encoding="utf-8")
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("\n".join(qrels) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def openqa() -> Path:
    default = Path(__file__).parents[2] / "../shared/data"
    folder = Path(os.environ.get("RAGSHAP_DATA", default)) / "openqa"
    if not folder.is_dir():
        pytest.skip(f"openqa is not at {folder}; set RAGSHAP_DATA to the folder that holds openqa/")
    return folder
