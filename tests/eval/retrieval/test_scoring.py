"""Every score of a question's candidates, from one encoding and with no coalition read twice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from attribution import LikelihoodGame, VotesGame, explain
from eval.retrieval.scoring import Scored, ScoredSession, parse_scoring, rerank, score_passages
from rag.rerank import Reranker
from rag.settings import AttributionSettings, RerankSettings, Settings
from rag.settings_base import SettingsError
from retrievers import Hit, HybridRetriever, Passage

TEXTS = ["Rome it is", "no Paris", "nothing", "it is Paris", "perhaps Oslo", "the Oslo of Paris", "in Rome", "so"]
PASSAGES = [Passage(str(number), text) for number, text in enumerate(TEXTS)]


def scores_of(reader, passages, settings):
    session = ScoredSession(reader, "where?", passages, settings)
    return lambda name: score_passages(session, parse_scoring(name))


@pytest.mark.parametrize(
    ("name", "utility", "score"),
    [
        ("shapley", "votes", "value"),
        ("shapley:positive", "votes", "positive"),
        ("shapley:pivots", "votes", "pivots"),
        ("shapley:likelihood", "likelihood", "value"),
    ],
)
@pytest.mark.parametrize("budget", [60, 256])
def test_the_same_scores_as_the_contributions_of_a_reranker(reader, name, utility, score, budget):
    settings = AttributionSettings(budget=budget, estimator="permutation")
    candidates = scores_of(reader, PASSAGES, settings)
    for other in ("banzhaf", "leave-one-out", "shapley:positive", "first-in:likelihood"):
        candidates(other)
    order, scores = rerank(candidates(name), fused=False, rrf_k=60)
    mine = settings.model_copy(update={"utility": utility})
    found = Reranker(reader, Settings(attribution=mine, rerank=RerankSettings(score=score))).attribute(
        "where?", PASSAGES
    )
    expected = sorted(found.passages, key=lambda ranked: (-ranked.contribution, ranked.rank))
    assert scores == pytest.approx([ranked.contribution for ranked in expected])
    assert [PASSAGES[index].id for index in order] == [ranked.passage.id for ranked in expected]


def test_graded_is_the_order_of_the_reranker(reader):
    settings = AttributionSettings(budget=60)
    order, scores = rerank(scores_of(reader, PASSAGES, settings)("shapley:graded"), fused=False, rrf_k=60)
    found = Reranker(reader, Settings(attribution=settings)).rerank("where?", PASSAGES)
    assert [(PASSAGES[index].id, score) for index, score in zip(order, scores, strict=True)] == [
        (hit.passage.id, hit.score) for hit in found
    ]


def test_other_semivalues_are_those_of_explain(reader):
    settings = AttributionSettings(budget=256, p=0.3, seed=4)
    candidates = scores_of(reader, PASSAGES, settings)
    encoded = reader.encode("where?", PASSAGES)
    votes = VotesGame(lambda rows: reader.generate(encoded, rows))
    likelihood = LikelihoodGame(lambda rows, texts: reader.score(encoded, rows, texts), ["Paris"])
    for name, game, options in [
        ("banzhaf", votes, {"semivalue": "banzhaf", "p": 0.3}),
        ("banzhaf@0.6", votes, {"semivalue": "banzhaf", "p": 0.6}),
        ("leave-one-out", votes, {"semivalue": "leave-one-out"}),
        ("first-in:likelihood", likelihood, {"semivalue": "first-in"}),
    ]:
        expected = explain(game, len(PASSAGES), budget=256, seed=4, **options)
        scored = candidates(name)
        assert scored.scores == pytest.approx(expected.of("Paris"))
        assert scored.evaluations == expected.evaluations


def test_one_encoding_and_no_coalition_twice(reader):
    candidates = scores_of(reader, PASSAGES, AttributionSettings(budget=100))
    for name in ("shapley", "shapley:positive", "shapley:pivots+rrf", "banzhaf", "leave-one-out", "shapley:likelihood"):
        candidates(name)
    assert reader.encoded == 1
    assert set(reader.decoded.values()) == {1}


def test_no_candidates(reader):
    candidates = scores_of(reader, [], AttributionSettings())
    for name in ("shapley", "shapley:likelihood+rrf", "leave-one-out"):
        assert rerank(candidates(name), fused=True, rrf_k=60)[0] == []


def test_fusion_is_that_of_a_hybrid_retriever():
    scored = Scored(np.array([0.0, 0.1, -2.0, 0.5, 0.1, 0.0]), 0)
    order, scores = rerank(scored, fused=True, rrf_k=60)

    class Fixed:
        passages = ()

        def __init__(self, ranking):
            self.ranking = ranking

        def search_many(self, queries, k):
            return [[Hit(Passage(str(index), "x"), 0.0) for index in self.ranking] for _ in queries]

        def __len__(self):
            return 6

    by_score = [3, 1, 4, 0, 5, 2]
    hits = HybridRetriever([Fixed(range(6)), Fixed(by_score)]).search("q", 6)
    assert [str(index) for index in order] == [hit.passage.id for hit in hits]
    assert scores == pytest.approx([hit.score for hit in hits])
    assert all(a >= b for a, b in pairwise(scores))


@pytest.mark.parametrize(
    "name", ["shapely", "shapley:votes", "shapley+", "relevance:pivots", "", "shapley:", "value", "banzhaf@2"]
)
def test_unknown_scores_are_refused(name):
    with pytest.raises(ValueError, match="is unknown; write relevance, attention, learned-attention:FILE, cross-"):
        parse_scoring(name)


def test_relevance_needs_the_embedded_reader(reader):
    with pytest.raises(SettingsError, match="embedded reader's score"):
        scores_of(reader, PASSAGES, AttributionSettings())("relevance")
