"""The rerank protocols, as their documentation has them."""

from __future__ import annotations

import math

import pytest

from rag import Reranker
from rag.service.operations import Engine, relevance
from rag.settings import load_settings
from retrievers import Hit, Passage

from ..conftest import ScriptedReader
from .conftest import TOWNS, make_client, ranking

QUERY = "where is it?"
TEXTS = [passage.text for passage in TOWNS]


def expected() -> list[tuple[int, float]]:
    """Places and relevance by exact values."""
    values = ranking(ScriptedReader(), QUERY, TEXTS)
    return [(int(i), values[i]) for i in sorted(range(len(TEXTS)), key=lambda i: -values[i])]


def test_cohere_v2(client):
    answer = client.post("/v2/rerank", json={"model": "m", "query": QUERY, "documents": TEXTS})
    assert answer.status_code == 200
    content = answer.json()
    assert set(content) == {"id", "results", "meta"}
    assert all(set(result) == {"index", "relevance_score"} for result in content["results"])
    found = [(result["index"], result["relevance_score"]) for result in content["results"]]
    assert found == [(index, pytest.approx(score)) for index, score in expected()]
    assert [index for index, _ in found] == [1, 2, 0, 3]  # the last two do nothing and stay as they came


@pytest.mark.parametrize(("top_n", "count"), [(1, 1), (3, 3), (100, 4)])
def test_top_n(client, top_n, count):
    sent = {"model": "m", "query": QUERY, "documents": TEXTS, "top_n": top_n}
    for path in ("/v1/rerank", "/v2/rerank"):
        results = client.post(path, json=sent).json()["results"]
        assert [result["index"] for result in results] == [1, 2, 0, 3][:count]


def test_v1_answers_both_clients_and_gives_documents_to_whom_expects_them(client):
    sent = {"query": QUERY, "documents": TEXTS}
    cohere = client.post("/v1/rerank", json=sent | {"model": "rerank-v3.5"}).json()
    jina = client.post("/v1/rerank", json=sent | {"model": "jina-reranker-v2-base-multilingual"}).json()
    other = client.post("/v1/rerank", json=sent | {"model": "m", "truncation": True}).json()
    refused = client.post("/v1/rerank", json=sent | {"model": "jina-m", "return_documents": False}).json()
    wanted = client.post("/v1/rerank", json=sent | {"return_documents": True}).json()
    for content in (cohere, jina):
        assert {"id", "results", "meta", "model", "usage", "object"} == set(content)
    assert [("document" in c["results"][0]) for c in (cohere, jina, other, refused, wanted)] == [0, 1, 1, 0, 1]
    assert jina["results"][0]["document"] == {"text": TEXTS[1]}
    assert jina["model"].startswith("jina-")


def test_v1_documents_may_be_objects(client):
    objects = [{"text": text, "year": 1900} for text in TEXTS]
    by_text = client.post("/v1/rerank", json={"query": QUERY, "documents": objects, "return_documents": True}).json()
    assert [result["index"] for result in by_text["results"]] == [1, 2, 0, 3]
    assert by_text["results"][0]["document"]["text"] == TEXTS[1]
    fields = [{"a": "others say", "b": "it is Paris."}, {"a": "nothing", "b": None}]
    sent = {"query": QUERY, "documents": fields, "rank_fields": ["a", "b"], "return_documents": True}
    found = client.post("/v1/rerank", json=sent).json()["results"]
    assert [result["document"]["text"] for result in found] == ["others say\nit is Paris.", "nothing"]
    images = client.post("/v1/rerank", json={"query": QUERY, "documents": [{"image": "https://example.org/a.png"}]})
    assert images.status_code == 422
    assert "only text can be read" in images.json()["detail"]


def test_tei(client):
    answer = client.post("/rerank", json={"query": QUERY, "texts": TEXTS})
    assert [(rank["index"], rank["score"]) for rank in answer.json()] == [
        (index, pytest.approx(score)) for index, score in expected()
    ]
    assert set(answer.json()[0]) == {"index", "score"}
    raw = client.post("/rerank", json={"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True}).json()
    assert {rank["text"]: rank["score"] for rank in raw} == pytest.approx(
        dict(zip(TEXTS, ranking(ScriptedReader(), QUERY, TEXTS), strict=True))
    )
    empty = client.post("/rerank", json={"query": QUERY, "texts": []})
    assert (empty.status_code, empty.json()["error_type"]) == (400, "Validation")
    info = client.get("/info").json()
    assert "reranker" in info["model_type"]
    assert info["max_client_batch_size"] == 100


@pytest.mark.parametrize(
    ("path", "sent", "status", "message"),
    [
        ("/v2/rerank", {"query": QUERY, "documents": TEXTS}, 422, "model"),
        ("/v2/rerank", {"model": "m", "query": QUERY, "documents": []}, 422, "documents"),
        ("/v2/rerank", {"model": "m", "query": "  ", "documents": TEXTS}, 422, "question is empty"),
        ("/v2/rerank", {"model": "m", "query": QUERY, "documents": TEXTS, "top_n": 0}, 422, "top_n"),
        ("/v2/rerank", {"model": "m", "query": QUERY, "documents": ["a"] * 101}, 413, "at most 100"),
        ("/v2/rerank", {"model": "m", "query": QUERY, "documents": ["a" * 20_001]}, 413, "20,000"),
        ("/v1/rerank", {"query": QUERY, "documents": "abc"}, 422, "documents"),
        ("/rerank", {"query": QUERY, "texts": [1]}, 422, "texts.0"),
    ],
)
def test_what_is_refused_says_why_in_every_protocols_field(client, path, sent, status, message):
    answer = client.post(path, json=sent)
    assert answer.status_code == status
    content = answer.json()
    assert message in content["message"]
    assert content["message"] == content["detail"] == content["error"]


def test_documents_that_repeat_or_are_empty_are_ranked_all(client):
    texts = ["", "others say it is Paris.", "", "others say it is Paris."]
    results = client.post("/v2/rerank", json={"model": "m", "query": QUERY, "documents": texts}).json()["results"]
    assert [result["index"] for result in results] == [1, 3, 0, 2]
    assert results[0]["relevance_score"] == pytest.approx(results[1]["relevance_score"])


def test_many_documents_get_a_budget_that_suffices(client):
    texts = [f"Town{i % 7} it is." for i in range(100)]
    answer = client.post("/v2/rerank", json={"model": "m", "query": QUERY, "documents": texts})
    assert answer.status_code == 200
    assert sorted(result["index"] for result in answer.json()["results"]) == list(range(100))


@pytest.mark.parametrize("score", ["value", "positive", "pivots", "positive+rrf"])
def test_the_ranking_is_the_rerankers(score):
    reader = ScriptedReader()
    texts = [f"Town{'n' * (i % 6)} it is." for i in range(12)]
    with make_client(overrides=[f"rerank.score={score}"], rerank_budget=100) as client:
        results = client.post("/v2/rerank", json={"model": "m", "query": QUERY, "documents": texts}).json()["results"]
    hits = [Hit(Passage(str(i), text), 0.0) for i, text in enumerate(texts)]
    direct = Reranker(reader, load_settings(overrides=["attribution.budget=100", f"rerank.score={score}"])).rerank(
        QUERY, hits
    )
    assert [result["index"] for result in results] == [int(hit.passage.id) for hit in direct]
    scores = [min(1, max(0, (1 + hit.score) / 2 if score == "value" else hit.score)) for hit in direct]
    assert [result["relevance_score"] for result in results] == pytest.approx(scores)


@pytest.mark.parametrize(("utility", "kind"), [("votes", "value"), ("votes", "positive"), ("likelihood", "value")])
def test_relevance_keeps_the_order_and_stays_between_0_and_1(utility, kind):
    scores = [-1e308, -900.0, -30.0, -1.0, -0.3, 0.0, 1e-3, 0.5, 1.0, 25.0, 900.0, 1e308]
    mapped = [relevance(score, utility, kind) for score in scores]
    assert mapped == sorted(mapped)
    assert all(0 <= value <= 1 and math.isfinite(value) for value in mapped)
    nothing = 0.0 if kind == "positive" else 0.5
    assert relevance(-0.3, utility, kind) <= relevance(0.0, utility, kind) == nothing < relevance(1e-3, utility, kind)


def test_single_calls_and_the_service_agree_on_likelihood(towns):
    with make_client(overrides=["attribution.utility=likelihood"]) as client:
        results = client.post("/rerank", json={"query": QUERY, "texts": TEXTS, "raw_scores": True}).json()
        engine: Engine = client.app.state.service.engine
        assert [(rank["index"], rank["score"]) for rank in results] == [
            (index, pytest.approx(score)) for index, _, score in engine.rerank(QUERY, TEXTS)
        ]
