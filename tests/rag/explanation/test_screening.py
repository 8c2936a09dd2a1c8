"""A cheap reader chooses passages for a costly one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from eval.own_tables.screening import screening_agreement
from rag import Pipeline, Reranker, load_settings
from rag.readers.base import EncodedQuestion
from rag.session import Session
from rag.settings import AttributionSettings
from retrievers import BM25Retriever, Hit, Passage, load_corpus

from ..conftest import ScriptedReader

ISLANDS = Path(__file__).parents[3] / "examples" / "islands"


class Screener(ScriptedReader):
    """Relevance is what a passage's metadata say."""

    name = "screener"

    def relevance(self, encoded: EncodedQuestion) -> np.ndarray:
        return np.array([p.metadata.get("relevance", 0.0) for p in encoded.passages])


class Spy(ScriptedReader):
    """Remembers which passages it was given."""

    def __init__(self) -> None:
        self.given: list[list[str]] = []

    def encode(self, question, passages):
        self.given.append([p.id for p in passages])
        return super().encode(question, passages)


@pytest.fixture
def many() -> list[Passage]:
    names = ["Rome", "Paris", "Paris", "Oslo"]
    towns = [Passage(f"t{i}", f"they say {name}.", metadata={"relevance": 5 - i}) for i, name in enumerate(names)]
    fill = [Passage(f"x{i}", "words only.", metadata={"relevance": -i}) for i in range(6)]
    return [*fill[:3], towns[3], towns[1], *fill[3:], towns[0], towns[2]]


def screened(size: int):
    return load_settings(overrides=[f"attribution.screen={size}"])


def test_the_reader_gets_what_matters_to_the_screener_in_the_retrievers_order(many):
    reader = Spy()
    answer = Pipeline(None, reader, screened(3), Screener()).explain("where?", many)
    assert reader.given == [["t1", "t0", "t2"]]
    assert answer.text == answer.full_text == "Paris"
    assert [(e.passage.id, e.rank) for e in answer.evidence] == [("t1", 5), ("t2", 10), ("t0", 9)]
    assert answer.screened == tuple(p.id for p in many if p.id not in ("t0", "t1", "t2"))
    assert any("7 of 10 passages were screened out" in warning for warning in answer.warnings)
    assert list(answer.seconds) == ["screen", "encode", "attribute", "answer", "examine"]
    assert json.loads(answer.to_json())["screened"] == list(answer.screened)
    assert "screened out" in answer.to_html()


def test_values_are_those_of_the_game_in_which_the_others_are_never_read(many):
    answer = Pipeline(None, ScriptedReader(), screened(3), Screener()).explain("where?", many)
    reader = ScriptedReader()
    encoded = reader.encode("where?", many)
    kept = np.array([p.id not in answer.screened for p in many])
    n = len(many)
    rng = np.random.default_rng(0)
    sums, orderings = np.zeros(n), 600
    for _ in range(orderings):
        members = np.zeros(n, bool)
        before = 0.0
        for player in rng.permutation(n):
            members[player] = True
            after = float(reader.generate(encoded, (members & kept)[None])[0] == "Paris")
            sums[player] += after - before
            before = after
    by_hand = dict(zip([p.id for p in many], sums / orderings, strict=True))
    for evidence in answer.evidence:
        assert evidence.value == pytest.approx(by_hand[evidence.passage.id], abs=0.06)
    assert all(by_hand[name] == 0 for name in answer.screened)


def test_few_passages_are_all_read_and_nothing_is_said(many):
    answer = Pipeline(None, ScriptedReader(), screened(10), Screener()).explain("where?", many)
    assert answer.screened == ()
    assert not any("screened" in warning for warning in answer.warnings)
    assert Session(Screener(), "where?", []).screened(3) == []


def test_relevance_decides_where_nothing_influences_the_answer():
    passages = [Passage(str(i), "words only.", metadata={"relevance": value}) for i, value in enumerate([1, 5, 3, 4])]
    assert Session(Screener(), "where?", passages).screened(2) == [1, 3]


def test_the_reranker_puts_the_screened_out_last(many):
    ranked = Reranker(ScriptedReader(), screened(3), Screener()).rerank("where?", [Hit(p, 0.0) for p in many])
    assert [hit.passage.id for hit in ranked[:3]] == ["t1", "t2", "t0"]
    assert {hit.passage.id for hit in ranked[3:]} == {p.id for p in many} - {"t0", "t1", "t2"}
    scores = [hit.score for hit in ranked]
    assert scores == sorted(scores, reverse=True)


def test_agreement_is_full_when_reader_and_screener_agree_and_none_when_they_do_not(many):
    class Wrong(Screener):
        """Sees towns in filling words alone."""

        def encode(self, question, passages):
            swapped = [Passage(p.id, "Rome." if p.id[0] == "x" else "none.", metadata={}) for p in passages]
            return super().encode(question, swapped)

    asked = [("where?", many)]
    exactly = AttributionSettings(budget=1024)
    good = screening_agreement(ScriptedReader(), Screener(), asked, 4, k=2, settings=exactly)
    assert (good.same_answer, good.found) == (1, 1)
    bad = screening_agreement(ScriptedReader(), Wrong(), asked, 4, k=2)
    assert (bad.same_answer, bad.found) == (0, 0)


class WordCounter(ScriptedReader):
    """Answers with the title of the passage that shares most words with the question: nothing like the embedded one."""

    def encode(self, question, passages):
        encoded = super().encode(question, passages)
        asked = set(re.findall(r"\w{4,}", question.lower()))
        shared = [len(asked & set(re.findall(r"\w{4,}", p.full_text.lower()))) for p in passages]
        return EncodedQuestion(question, encoded.passages, encoded.cut_tokens, 0, shared)

    def generate(self, encoded, coalitions):
        best = np.where(coalitions, encoded.state, 0).argmax(axis=1) if coalitions.shape[1] else []
        return [
            encoded.passages[i].title if row[i] and encoded.state[i] else ""
            for i, row in zip(best, coalitions, strict=True)
        ]


def test_the_embedded_reader_finds_most_of_what_matters_to_a_very_different_reader():
    from rag.readers.embedded import EmbeddedReader

    retriever = BM25Retriever(load_corpus(ISLANDS))
    questions = [json.loads(line)["text"] for line in (ISLANDS / "queries.jsonl").open(encoding="utf-8")][::50]
    asked = [(q, [hit.passage for hit in retriever.search(q, 12)]) for q in questions]
    agreement = screening_agreement(WordCounter(), EmbeddedReader(), asked, 6, k=2)
    assert agreement.found >= 0.75
