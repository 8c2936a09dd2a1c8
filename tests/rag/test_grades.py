"""One graded score for every document."""

from __future__ import annotations

import numpy as np
import pytest

from rag import Pipeline, Reranker, load_settings
from rag.grades import grades, order_of
from retrievers import Passage

from .conftest import ScriptedReader


def named(texts):
    return [Passage(str(place), text) for place, text in enumerate(texts)]


def test_contribution_comes_first_then_relevance_and_blank_documents_last():
    passages = named(["", "a", "b", "c", "d", "e", "f"])
    contributions = np.array([0.0, 0.0, 0.4, 0.39, 0.0, 0.2, -0.3])
    relevance = np.array([1.0, 0.9, 0.2, 0.8, 0.95, 0.99, 1.0])
    found = grades(passages, contributions, relevance)
    assert order_of(found) == [3, 2, 5, 4, 1, 6, 0]
    ranges = [(0.75, 1), (0.75, 1), (0.5, 0.75), (0.1, 0.5), (0.1, 0.5), (0, 0.1)]
    for place, (above, most) in zip(order_of(found), ranges, strict=False):
        assert above < found[place] <= most
    assert found[0] == 0
    assert found[4] == 0.1 + 0.4 * 0.95


@pytest.mark.parametrize("n", [1, 2, 20, 1000])
def test_scores_descend_strictly_lie_in_0_to_1_and_are_rounded(n):
    rng = np.random.default_rng(n)
    passages = named([f"text {i}" for i in range(n)])
    for contributions in (np.zeros(n), rng.normal(size=n).round(1), np.full(n, 1.0000000000000009), -np.ones(n)):
        for relevance in (np.zeros(n), np.ones(n), rng.random(n)):
            found = grades(passages, contributions, relevance)
            falling = found[order_of(found)]
            assert (np.diff(falling) < 0).all()
            assert 0 < falling[-1] <= falling[0] <= 1
            assert [round(float(one), 6) for one in found] == found.tolist()


def test_equal_texts_are_equal_and_no_others():
    passages = named(["same", "other", "same", "third"])
    found = grades(passages, np.array([0.6, 0.5, 0.4, 0.5]), np.full(4, 0.5))
    assert found[0] == found[2]
    assert len(set(found.tolist())) == 3
    titled = [Passage("a", "same", "One"), Passage("b", "same", "Two")]
    assert len(set(grades(titled, np.zeros(2), np.zeros(2)).tolist())) == 2


class Relevant(ScriptedReader):
    def relevance(self, encoded):
        return np.array([len(passage.text) for passage in encoded.passages], dtype=float)


def test_without_an_answer_relevance_decides():
    texts = ["short", "the longest of all", "longer one"]
    reranking = Reranker(Relevant()).attribute("hotels", texts)
    assert reranking.answer == ""
    assert [ranked.passage.text for ranked in reranking.passages] == [texts[1], texts[2], texts[0]]
    assert all(0.1 < ranked.score <= 0.5 for ranked in reranking.passages)
    assert "no answer" in reranking.warnings[0]


@pytest.mark.parametrize("score", ["positive", "value"])
def test_the_pipeline_has_the_rerankers_order(score):
    rng = np.random.default_rng(0)
    texts = [f"{'x' * int(rng.integers(1, 9))} Town{i % 3} it is." for i in range(8)]
    settings = load_settings(overrides=[f"rerank.score={score}"])
    passages = named(texts)
    answer = Pipeline(None, Relevant(), settings).explain("where?", passages)
    reranked = Reranker(Relevant(), settings).rerank("where?", passages)
    assert [e.passage.id for e in answer.evidence] == [hit.passage.id for hit in reranked]


class Additive(Relevant):
    """The log-probability of any answer falls by so many nats for each passage that is not read."""

    nats = np.array([0.0, 5.0, 2.0, 0.5])

    def score(self, encoded, coalitions, answers):
        return np.tile(-(~coalitions @ self.nats)[:, None], len(answers))


def test_contributions_to_a_likelihood_are_compared_in_nats(passages):
    settings = load_settings(overrides=["attribution.utility=likelihood"])
    reranking = Reranker(Additive(), settings).attribute("where?", passages)
    found = {ranked.passage.id: ranked for ranked in reranking.passages}
    assert [found[passage.id].value for passage in passages] == pytest.approx(Additive.nats)
    assert found["paris"].score > 0.75
    assert 0.5 < found["paris again"].score <= 0.75, "two fifths of the largest"
    assert 0.1 < found["nothing"].score <= 0.5, "a tenth"


def test_a_fid_readers_relevance_is_its_attention(t5, passages):
    from rag.readers.fid import FiDReader

    reader = FiDReader(t5)
    reranking = Reranker(reader, load_settings(overrides=["attribution.budget=20"])).attribute("where?", passages)
    found = {ranked.passage.id: ranked.relevance for ranked in reranking.passages}
    expected = reader.attention(reader.encode("where?", passages), reranking.answer)
    assert list(map(found.get, (p.id for p in passages))) == pytest.approx(expected.tolist(), rel=1e-4)
