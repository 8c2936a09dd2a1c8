"""A scripted reader, whose answers can be worked out by hand, and tiny random checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.readers.base import EncodedQuestion, TokenScores, check_coalitions, check_question
from retrievers import Passage

from .checkpoints import make_bart, make_gpt2, make_llama, make_mpnet, make_t5


class ScriptedReader:
    """Answers with the longest capitalised word that most visible passages hold; "" when they hold none."""

    name = "scripted"

    def encode(self, question: str, passages: Sequence[Passage]) -> EncodedQuestion:
        words = [{w.strip(".,") for w in p.text.split() if w[0].isupper()} for p in passages]
        return EncodedQuestion(check_question(question), tuple(passages), (0,) * len(passages), 0, words)

    def generate(self, encoded: EncodedQuestion, coalitions: np.ndarray) -> list[str]:
        rows = check_coalitions(coalitions, len(encoded.passages))
        return [self._answer([w for w, seen in zip(encoded.state, row, strict=True) if seen]) for row in rows]

    def score(self, encoded: EncodedQuestion, coalitions: np.ndarray, answers: Sequence[str]) -> np.ndarray:
        said = self.generate(encoded, coalitions)
        return np.array([[0.0 if given == answer else -5.0 for answer in answers] for given in said])

    @staticmethod
    def _answer(visible: list[set[str]]) -> str:
        counts: dict[str, int] = {}
        for words in visible:
            for word in words:
                counts[word] = counts.get(word, 0) + 1
        return max(counts, key=lambda w: (counts[w], len(w), w), default="")


class WordReader(ScriptedReader):
    """Finds a word likelier the more visible passages hold it: log-probability -8 / (1 + their number)."""

    least_support = -5.0
    worst = -8.0

    def scores_tokens(self) -> bool:
        return True

    def score_tokens(self, encoded: EncodedQuestion, coalitions: np.ndarray, answer: str) -> TokenScores:
        found = list(re.finditer(r"\S+", answer))
        holds = np.array([[match[0] in passage.text.split() for match in found] for passage in encoded.passages])
        holds = holds.reshape(-1, len(found))
        return TokenScores(self.worst / (1 + coalitions.astype(float) @ holds), tuple(match.span() for match in found))


@pytest.fixture
def reader() -> ScriptedReader:
    return ScriptedReader()


@pytest.fixture
def passages() -> list[Passage]:
    return [
        Passage("rome", "it is said to be Rome.", "first"),
        Passage("paris", "others say it is Paris.", "second"),
        Passage("paris again", "the guide names Paris too.", "third"),
        Passage("nothing", "nothing of note here.", "fourth"),
    ]


@pytest.fixture(scope="session")
def t5(tmp_path_factory) -> Path:
    return make_t5(tmp_path_factory.mktemp("t5"))


@pytest.fixture(scope="session")
def mpnet(tmp_path_factory) -> Iterator[Path]:
    """A small random MPNet, which stands in for all-mpnet-base-v2 as the encoder of readers."""
    folder = make_mpnet(tmp_path_factory.mktemp("mpnet"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rag.readers.embedded.model.locate_base", lambda: folder)
        yield folder


@pytest.fixture(scope="session")
def bart(tmp_path_factory) -> Path:
    return make_bart(tmp_path_factory.mktemp("bart"), forced_bos_token_id=3)


@pytest.fixture(scope="session")
def bart_without_repeats(tmp_path_factory) -> Path:
    rules = {"forced_bos_token_id": 3, "forced_eos_token_id": 1, "no_repeat_ngram_size": 3}
    return make_bart(tmp_path_factory.mktemp("bart3"), end_bias=4.0, **rules)


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory) -> Path:
    return make_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="session")
def llama(tmp_path_factory) -> Path:
    """Its generation settings ask for sampling and a penalty, which greedy answers must not follow."""
    rules = {"do_sample": True, "temperature": 5.0, "repetition_penalty": 3.0}
    return make_llama(tmp_path_factory.mktemp("llama"), **rules)
