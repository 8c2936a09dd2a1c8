"""The bodies that others' clients send to be scored, and what they get."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
from pydantic import ValidationError

from rag import Reranker
from rag.service.answers import Explain, Read
from rag.service.operations import Engine
from rag.service.protocols import RerankRequest, ScoreRequest, TeiRequest
from rag.settings import load_settings
from retrievers import Hit, Passage

from ..conftest import ScriptedReader
from .conftest import TOWNS, make_client

QUERY = "where is it?"
TEXTS = [passage.text for passage in TOWNS]
ORDER = [1, 2, 0, 3]  # either passage on Paris makes the answer Paris; alone, the first would make it Rome
DOCUMENTS = {"query": QUERY, "documents": TEXTS}
PAIRS = {"text_1": QUERY, "text_2": TEXTS}
OBJECTS = [{"text": text} for text in TEXTS]


@pytest.fixture(scope="module")
def client():
    with make_client() as client:
        yield client


def ranked(content) -> list[int]:
    """The places of the documents in a response, best first, whatever its protocol."""
    if isinstance(content, list):
        return [rank["index"] for rank in content]
    if "data" in content:
        return [score["index"] for score in sorted(content["data"], key=lambda score: -score["score"])]
    return [result["index"] for result in content["results"]]


# One row for each shape in which a client sends something; `left` is the order of what comes back.
SHAPES = [
    # Cohere, version 2 and 1
    ("/v2/rerank", {"model": "rerank-v3.5", **DOCUMENTS}, ORDER),
    ("/v2/rerank", {"model": "m", **DOCUMENTS, "top_n": 2}, ORDER[:2]),
    ("/v2/rerank", {"model": "m", **DOCUMENTS, "top_n": 0}, ORDER),
    ("/v2/rerank", {"model": "m", **DOCUMENTS, "top_n": None}, ORDER),
    ("/v2/rerank", {"model": "m", **DOCUMENTS, "top_n": 100}, ORDER),
    ("/v2/rerank", {"model": "m", **DOCUMENTS, "max_tokens_per_doc": 4096, "priority": 0}, ORDER),
    ("/v2/rerank", {"model": "m", "query": QUERY, "documents": OBJECTS}, ORDER),
    ("/v2/rerank", DOCUMENTS, ORDER),
    ("/v2/rerank/", DOCUMENTS, ORDER),
    ("/api/v2/rerank", DOCUMENTS, ORDER),
    ("/v1/rerank", {**DOCUMENTS, "return_documents": False, "max_chunks_per_doc": 10}, ORDER),
    ("/v1/rerank", {"query": QUERY, "documents": OBJECTS, "rank_fields": ["text"]}, ORDER),
    ("/v1/rerank", {"query": QUERY, "documents": [{"title": "x", **one, "year": 1900} for one in OBJECTS]}, ORDER),
    ("/v1/rerank", {"query": QUERY, "documents": [{**one, "metadata": {"a": [1]}} for one in OBJECTS]}, ORDER),
    ("/v1/rerank", {"query": QUERY, "documents": [{"body": t} for t in TEXTS], "rank_fields": ["body"]}, ORDER),
    ("/v1/rerank", {"query": QUERY, "documents": [TEXTS[0], OBJECTS[1], TEXTS[2]]}, ORDER[:3]),
    ("/api/v1/rerank", DOCUMENTS, ORDER),
    ("/v1/rerank/", DOCUMENTS, ORDER),
    ("/v1/v2/rerank", DOCUMENTS, ORDER),
    ("/api/v2/v1/rerank", DOCUMENTS, ORDER),
    # Jina
    ("/v1/rerank", {"model": "jina-reranker-v2-base-multilingual", **DOCUMENTS, "top_n": 3}, ORDER[:3]),
    ("/v1/rerank", {"model": "m", "query": {"text": QUERY}, "documents": OBJECTS, "truncation": True}, ORDER),
    ("/v1/rerank", {"model": "m", **DOCUMENTS, "return_embeddings": False, "max_doc_length": 1024}, ORDER),
    # vLLM, llama.cpp, Infinity, LiteLLM (hosted_vllm, infinity), Dify, RAGFlow, all at /rerank
    ("/rerank", {"model": "m", "query": QUERY, "documents": OBJECTS, "return_documents": True}, ORDER),
    ("/rerank", {"model": "m", **DOCUMENTS, "top_n": 4}, ORDER),
    ("/rerank", {"model": "m", **DOCUMENTS, "top_n": 0}, ORDER),
    ("/rerank", {"model": "m", **DOCUMENTS, "top_n": 1, "return_documents": True}, ORDER[:1]),
    ("/rerank", {**DOCUMENTS, "truncate_prompt_tokens": -1, "additional_data": None}, ORDER),
    ("/rerank", {**DOCUMENTS, "raw_scores": False, "return_documents": False}, ORDER),
    ("/rerank/", {"model": "m", **DOCUMENTS}, ORDER),
    ("/api/rerank", {"model": "m", **DOCUMENTS}, ORDER),
    # text-embeddings-inference
    ("/rerank", {"query": QUERY, "texts": TEXTS}, ORDER),
    ("/rerank", {"query": QUERY, "texts": TEXTS, "truncate": True, "truncation_direction": "Left"}, ORDER),
    ("/rerank", {"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True}, ORDER),
    ("/rerank/", {"query": QUERY, "texts": TEXTS, "truncate": None}, ORDER),
    ("/rerank", {"query": QUERY, "texts": OBJECTS, "raw_scores": False, "truncation_direction": "Right"}, ORDER),
    # vLLM's scores
    ("/v1/score", PAIRS, ORDER),
    ("/v1/score/", PAIRS, ORDER),
    ("/score", {"model": "m", **PAIRS, "truncate_prompt_tokens": 10}, ORDER),
    ("/v1/score", {"text_1": [QUERY], "text_2": TEXTS}, ORDER),
    ("/v1/score", {"text_1": [QUERY] * 4, "text_2": TEXTS}, ORDER),
    ("/v1/score", {"text_1": QUERY, "text_2": TEXTS[0]}, [0]),
    # odd, but well meant
    ("/v2/rerank", {"query": QUERY, "documents": ["", *TEXTS, " \n"]}, [2, 3, 1, 4, 0, 5]),
    ("/v2/rerank", {"query": QUERY, "documents": ["nothing."]}, [0]),
    ("/v2/rerank", {"query": QUERY, "documents": ["", ""]}, [0, 1]),
    ("/v2/rerank", {"query": "Paris hotel", "documents": ["cheap rooms", "no rooms"]}, [0, 1]),
    ("/v2/rerank", {"query": QUERY, "documents": TEXTS, "nonsense": {"a": 1}}, ORDER),
]


@pytest.mark.parametrize(("path", "sent", "left"), SHAPES)
def test_every_shape_of_request_is_understood(client, path, sent, left):
    answer = client.post(path, json=sent)
    assert answer.status_code == 200, answer.text
    assert ranked(answer.json()) == left


def test_a_client_of_infinity_gets_texts_as_texts(client):
    sent = {**DOCUMENTS, "model": "m", "return_documents": True}
    ours, theirs = (client.post("/rerank", json={**sent, **more}).json() for more in ({}, {"raw_scores": False}))
    assert ours["object"] == "list"
    assert theirs["object"] == "rerank"
    assert [result["document"]["text"] for result in ours["results"]] == [r["document"] for r in theirs["results"]]
    raw = client.post("/rerank", json={**sent, "raw_scores": True}).json()["results"]
    for graded, odds in zip(theirs["results"], raw, strict=True):
        assert 1 / (1 + math.exp(-odds["relevance_score"])) == pytest.approx(graded["relevance_score"], abs=1e-6)


REFUSED = [
    ("/v2/rerank", {"model": "m", **DOCUMENTS, "documents": []}, 422, "documents is empty; expected at least 1"),
    ("/v2/rerank", {"model": "m", **DOCUMENTS, "query": "  "}, 422, "the question is empty; ask something"),
    ("/v2/rerank", {**DOCUMENTS, "top_n": -1}, 422, "top_n is -1; expected at least 0"),
    ("/v2/rerank", {**DOCUMENTS, "top_n": 1.5}, 422, "top_n is 1.5; expected a whole number"),
    ("/v2/rerank", {**DOCUMENTS, "top_n": "few"}, 422, "top_n is other text; expected a whole number"),
    ("/v2/rerank", {"query": QUERY, "documents": [*TEXTS[:3], None]}, 422,
     "documents[3] is null; expected text or an object"),
    ("/v1/rerank", {"query": QUERY, "documents": [7, "a"]}, 422, "documents[0] is 7; expected text or an object"),
    ("/v1/rerank", {"query": QUERY, "documents": [["a"]]}, 422, "documents[0] is a list; expected text or an object"),
    ("/v1/rerank", {"query": QUERY, "documents": "abc"}, 422, "documents is other text; expected a list"),
    ("/v1/rerank", {"query": None, "documents": TEXTS}, 422, "query is null; expected text"),
    ("/v1/rerank", {"documents": TEXTS}, 422, "query is missing"),
    ("/rerank", {"query": QUERY}, 422, "documents is missing"),
    ("/rerank", {"query": QUERY, "texts": [1]}, 422, "texts[0] is 1; expected text"),
    ("/rerank", {"query": QUERY, "texts": []}, 400, "texts is empty; expected at least one"),
    ("/rerank", [QUERY], 422, "the body is a list; expected an object"),
    ("/v1/rerank", {"query": QUERY, "documents": [{"image": "https://example.org/a.png"}]}, 422,
     "documents[0] has no text; only text can be read"),
    ("/v1/score", {"text_1": [QUERY, QUERY], "text_2": TEXTS}, 422, "text_1 holds 2 texts and text_2 4; "),
    ("/v1/score", {"text_1": QUERY, "text_2": []}, 422, "text_2 is empty"),
    ("/v2/rerank", {"query": QUERY, "documents": ["a"] * 1001}, 413, "this service takes at most 1,000 at once"),
    ("/v2/rerank", {"query": QUERY, "documents": ["a" * 20_001]}, 413, "a text of 20,001 characters"),
    ("/explain", {"question": QUERY, "passages": ["a"] * 101}, 413, "passages: 101 is more than this service's 100"),
    ("/explain", {"question": QUERY, "passages": [{"text": "a", "titel": "b"}]}, 422,
     "passages[0].titel is no field of this request"),
    ("/explain", {"question": QUERY, "passages": ["a"], "answer": "b", "spans": ["c " * 10_001]}, 413,
     "a text of 20,002 characters"),
    ("/explain", {"question": QUERY, "passages": ["a"], **dict.fromkeys(map(str, range(2000)), 1)}, 422,
     "the body has 2,002 fields; expected those of this request"),
    ("/v1/rerank", {"query": QUERY, "documents": OBJECTS, "rank_fields": ["text"] * 101}, 422,
     "rank_fields is too long; expected at most 100"),
    ("/explain", {"question": QUERY, "passages": ["a"], "level": "page"}, 422,
     "level is other text; expected 'passage', 'sentence' or 'word'"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "sent", "status", "message"), REFUSED)
def test_what_is_refused_says_why_in_plain_words(client, path, sent, status, message):
    answer = client.post(path, json=sent)
    assert answer.status_code == status
    content = answer.json()
    assert content["message"].startswith(message) or message in content["message"]
    assert content["message"] == content["detail"] == content["error"]
    assert not any(inside in answer.text for inside in ("pydantic", "type=", "by documents", "Text", "dict["))


WRONG: list = [1] * 1000


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (RerankRequest, {"query": QUERY, "documents": WRONG}),
        (RerankRequest, {"query": QUERY, "documents": TEXTS, "rank_fields": WRONG}),
        (TeiRequest, {"query": QUERY, "texts": WRONG}),
        (ScoreRequest, {"text_1": WRONG, "text_2": TEXTS}),
        (ScoreRequest, {"text_1": QUERY, "text_2": WRONG}),
        (Read, {"question": QUERY, "passages": WRONG}),
        (Read, {"question": QUERY, "passages": [{"text": "a", **dict.fromkeys(map(str, range(2000)), 1)}]}),
        (Explain, {"question": QUERY, "passages": TEXTS, "spans": WRONG}),
        (Explain, {"question": QUERY, "passages": TEXTS, "spans": [["a"] * 1000]}),
    ],
)
def test_of_many_wrong_elements_the_first_alone_costs_records(kind, sent):
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(sent)
    assert refused.value.error_count() <= 2


def test_a_response_has_what_the_clients_of_each_protocol_read(client):
    cohere = client.post("/v2/rerank", json=DOCUMENTS).json()
    assert {"id", "results", "meta"} <= set(cohere)
    assert cohere["meta"]["api_version"] == {"version": "2"}
    assert all(set(result) == {"index", "relevance_score"} for result in cohere["results"])
    vllm = client.post("/rerank", json={"model": "mine", **DOCUMENTS}).json()
    assert (vllm["model"], vllm["object"], set(vllm["usage"])) == ("mine", "list", {"total_tokens", "prompt_tokens"})
    tei = client.post("/rerank", json={"query": QUERY, "texts": TEXTS, "return_text": True}).json()
    assert [rank["text"] for rank in tei] == [TEXTS[place] for place in ORDER]
    scores = client.post("/v1/score", json=PAIRS).json()
    assert [score["index"] for score in scores["data"]] == [0, 1, 2, 3]
    assert {score["object"] for score in scores["data"]} == {"score"}
    assert {"id", "created", "model", "object", "usage"} <= set(scores)
    assert client.get("/v1/models").json()["data"][0]["id"] == cohere["model"]
    info = client.get("/info").json()
    assert "reranker" in info["model_type"]
    assert info["max_client_batch_size"] == 1000


def test_all_protocols_give_the_same_scores(client):
    cohere = client.post("/v2/rerank", json=DOCUMENTS).json()["results"]
    expected = {result["index"]: result["relevance_score"] for result in cohere}
    assert list(expected.values()) == [0.875, 0.874999, 0.625, 0.3]
    tei = client.post("/rerank", json={"query": QUERY, "texts": TEXTS}).json()
    assert {rank["index"]: rank["score"] for rank in tei} == expected
    raw = client.post("/rerank", json={"query": QUERY, "texts": TEXTS, "raw_scores": True}).json()
    assert {rank["index"]: 1 / (1 + math.exp(-rank["score"])) for rank in raw} == pytest.approx(expected)
    pairs = client.post("/v1/score", json=PAIRS).json()["data"]
    assert {pair["index"]: pair["score"] for pair in pairs} == expected
    direct = Reranker(ScriptedReader(), load_settings()).attribute(
        QUERY, [Passage(str(i), t) for i, t in enumerate(TEXTS)]
    )
    assert {one.rank - 1: one.score for one in direct.passages} == expected


def test_the_parts_of_a_score_are_told(client):
    account = client.post("/v2/rerank", json={**DOCUMENTS, "top_n": 2}).json()["meta"]["ragshap"]
    assert (account["answer"], account["attributed"]) == ("Paris", 4)
    part = {"contribution": 0.5, "value": 0.5, "error": 0.0}
    assert account["documents"] == [{"index": 1, **part}, {"index": 2, **part}]


def test_documents_are_given_to_whom_expects_them(client):
    jina, other = {"model": "jina-reranker-v2-base-multilingual"}, {"model": "rerank-v3.5"}
    asked = [other, jina, other | {"truncation": True}, jina | {"return_documents": False}, {"return_documents": True}]
    for path in ("/v1/rerank", "/rerank"):
        found = [client.post(path, json={**DOCUMENTS, **more}).json()["results"][0] for more in asked]
        assert ["document" in result for result in found] == [False, True, True, False, True]
        assert found[1]["document"] == {"text": TEXTS[1]}
    fields = [{"a": "others say", "b": "it is Paris."}, {"a": "nothing", "b": None}]
    sent = {"query": QUERY, "documents": fields, "rank_fields": ["a", "b"], "return_documents": True}
    results = client.post("/v1/rerank", json=sent).json()["results"]
    assert [result["document"]["text"] for result in results] == ["others say\nit is Paris.", "nothing"]


def test_equal_documents_have_equal_scores_and_blank_ones_none(client):
    texts = ["", "others say it is Paris.", "", "others say it is Paris."]
    content = client.post("/v2/rerank", json={"query": QUERY, "documents": texts}).json()
    scores = {result["index"]: result["relevance_score"] for result in content["results"]}
    assert list(scores) == [1, 3, 0, 2]
    assert scores[1] == scores[3] > scores[0] == scores[2] == 0
    assert "2 of 4 passages are blank, and come last" in content["meta"]["warnings"]


def test_what_must_be_known_is_said_in_the_meta_and_in_a_header(client):
    sent = {"query": "hotels in Paris", "documents": ["cheap rooms", "no rooms"]}
    said = "the reader finds no answer in these passages, so they are ordered by what pulls towards one"
    answer = client.post("/v2/rerank", json=sent)
    assert answer.json()["meta"]["warnings"] == [said]
    for path, body in (
        ("/rerank", {"query": sent["query"], "texts": sent["documents"]}),
        ("/v1/score", {"text_1": sent["query"], "text_2": sent["documents"]}),
    ):
        assert client.post(path, json=body).headers["x-warning"] == said
    quiet = client.post("/v2/rerank", json=DOCUMENTS)
    assert "warnings" not in quiet.json()["meta"]
    assert "x-warning" not in quiet.headers


def test_pairs_with_one_query_are_scored_together_and_others_apart(client):
    sent = {"text_1": [QUERY, QUERY, "who?"], "text_2": [TEXTS[0], TEXTS[1], TEXTS[0]]}
    first, second, alone = (pair["score"] for pair in client.post("/v1/score", json=sent).json()["data"])
    together = client.post("/v1/score", json={"text_1": QUERY, "text_2": TEXTS[:2]}).json()["data"]
    assert [first, second] == [pair["score"] for pair in together]
    assert alone == client.post("/v1/score", json={"text_1": "who?", "text_2": TEXTS[0]}).json()["data"][0]["score"]


def test_more_documents_than_are_attributed_are_ranked_by_relevance():
    class Relevant(ScriptedReader):
        """The later a letter is in the alphabet, the more relevant."""

        def relevance(self, encoded):
            return np.array([ord(passage.text[0]) - ord("m") for passage in encoded.passages])

    letters = [chr(ord("a") + i) for i in range(26)]
    texts = [f"{letter} town" for letter in letters[:-1]] + ["z is Paris"]
    with make_client(Relevant(), attribute=5) as client:
        content = client.post("/v2/rerank", json={"query": QUERY, "documents": texts}).json()
    assert [result["index"] for result in content["results"]] == list(range(25, -1, -1))
    assert content["meta"]["ragshap"]["attributed"] == 5
    parts = content["meta"]["ragshap"]["documents"]
    assert [set(part) for part in parts] == [
        *[{"index", "relevance", "contribution", "value", "error"}] * 5,
        *[{"index", "relevance"}] * 21,
    ]
    assert content["meta"]["warnings"] == [
        "of 26 passages, the 5 most relevant were attributed; the others follow by relevance"
    ]


@pytest.mark.parametrize("score", ["value", "positive", "pivots"])
def test_the_ranking_is_the_rerankers(score):
    reader = ScriptedReader()
    texts = [f"Town{'n' * (i % 6)} it is." for i in range(12)]
    with make_client(overrides=[f"rerank.score={score}"], rerank_budget=100) as client:
        results = client.post("/v2/rerank", json={"query": QUERY, "documents": texts}).json()["results"]
    hits = [Hit(Passage(str(i), text), 0.0) for i, text in enumerate(texts)]
    direct = Reranker(reader, load_settings(overrides=["attribution.budget=100", f"rerank.score={score}"])).rerank(
        QUERY, hits
    )
    assert [(result["index"], result["relevance_score"]) for result in results] == [
        (int(hit.passage.id), hit.score) for hit in direct
    ]


def test_single_calls_and_the_service_agree_on_likelihood(towns):
    with make_client(overrides=["attribution.utility=likelihood"]) as client:
        results = client.post("/rerank", json={"query": QUERY, "texts": TEXTS}).json()
        engine: Engine = client.app.state.service.engine
        direct = Reranker(engine.pipeline.reader, engine.pipeline.settings).rerank(QUERY, TEXTS)
    assert [rank["score"] for rank in results] == [hit.score for hit in direct]


def test_paths_and_methods_as_clients_have_them(client):
    for path in ("/health", "/health/", "/api/health", "/info", "/v1/models", "/v1/models/", "/api/v1/models", "/"):
        got, head = client.get(path, follow_redirects=False), client.head(path, follow_redirects=False)
        assert got.status_code == head.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == got.headers["content-length"]
    assert client.head("/v2/rerank").status_code == 405
    assert client.get("/api").status_code == client.post("/v3/rerank", json=DOCUMENTS).status_code == 404


def test_bodies_packed_with_gzip_are_read(client):
    import json

    plain = json.dumps(DOCUMENTS).encode()
    half = len(plain) // 2
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    for packed in (gzip.compress(plain), gzip.compress(plain[:half]) + gzip.compress(plain[half:])):
        answer = client.post("/v2/rerank", content=packed, headers=headers)
        assert ranked(answer.json()) == ORDER
    for broken in (gzip.compress(plain)[:-9], plain, b"\x1f\x8b"):
        answer = client.post("/v2/rerank", content=broken, headers=headers)
        assert (answer.status_code, answer.json()["message"]) == (400, "the body is not complete gzip")
    for parts, status in ((100, 200), (101, 400)):  # each costs a copy of what follows
        packed = gzip.compress(plain) + gzip.compress(b"") * (parts - 1)
        answer = client.post("/v2/rerank", content=packed, headers=headers)
        assert answer.status_code == status
    assert answer.json()["message"] == "the body is gzip of more than 100 parts; pack it as one"
    other = client.post("/v2/rerank", content=plain, headers=headers | {"content-encoding": "br"})
    assert (other.status_code, other.headers["accept-encoding"]) == (415, "gzip")


def test_a_bomb_is_refused_before_it_is_unpacked(client):
    import tracemalloc

    bomb = gzip.compress(b" " * 300_000_000, 1)
    tracemalloc.start()
    answer = client.post(
        "/v2/rerank", content=bomb, headers={"content-type": "application/json", "content-encoding": "gzip"}
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == 413
    assert "unpacked, the body exceeds this service's limit of 8,192 kB" in answer.json()["message"]
    assert peak < 60_000_000
