"""Elasticsearch and OpenSearch through their clients, against a server that checks requests and answers as documented.

No real server can run here; the forms are those of the two references.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from retrievers import Passage, load_index
from retrievers.dense.encoder import Encoder
from retrievers.errors import EngineError, EngineUnavailableError

from .engines import HOSTILE, Answer, Asked, Server, serve

HITS = [
    {"_index": "docs", "_id": "7", "_score": 3.5, "_source": {"title": "Puffin", "text": "Puffins nest in burrows."}},
    {"_index": "docs", "_id": "2", "_score": 1.25, "_source": {"text": ["Seals", "sleep."], "meta": {"nr": 9}}},
]


def found(hits: list[dict[str, Any]] = HITS, **more: Any) -> dict[str, Any]:
    shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
    total = {"value": len(hits), "relation": "eq"}
    return {
        "took": 2,
        "timed_out": False,
        "_shards": shards,
        "hits": {"total": total, "max_score": 3.5, "hits": hits},
    } | more


def failure(status: int, kind: str, reason: str) -> Answer:
    cause = {"type": kind, "reason": reason}
    return Answer({"error": {"root_cause": [cause], **cause}, "status": status}, status)


class FixedEncoder(Encoder):
    """A vector that can be looked up in the request."""

    def __init__(self) -> None:
        self.name, self.dimension, self.fingerprint = "default", 3, "f" * 64

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[0.5, -0.25, 0.0]] * len(texts), dtype=np.float32)


Open = Callable[..., Any]
VECTOR = [0.5, -0.25, 0.0]


@pytest.fixture(params=["elasticsearch", "opensearch"])
def kind(request) -> str:
    package = {"elasticsearch": "elasticsearch", "opensearch": "opensearchpy"}[request.param]
    pytest.importorskip(package, reason=f"needs pip install 'ragshap[{request.param}]'")
    return request.param


@pytest.fixture
def engine(kind) -> Iterator[Open]:
    """Opens a retriever on a server with the given answer; its requests are in `.server.asked`."""
    from retrievers.loading import retriever_class

    with ExitStack() as stack:

        def open_on(answer: Any = None, product: bool = True, **settings: Any) -> Any:
            headers = {"Content-Type": "application/json"}
            if product and kind == "elasticsearch":
                headers["X-Elastic-Product"] = "Elasticsearch"
            said = answer if callable(answer) else lambda _: answer or Answer(found())
            server: Server = stack.enter_context(serve(said, headers))
            retriever = retriever_class(kind)(server.url, "docs", encoder=FixedEncoder(), **settings)
            retriever.server = server
            return retriever

        yield open_on


def only(retriever: Any) -> Asked:
    (asked,) = [a for a in retriever.server.asked if a.path != "/"]
    return asked


def test_bm25_is_one_match_over_title_and_text(engine):
    retriever = engine()
    hits = retriever.search("Where do puffins nest?", 5)
    assert [(h.passage, h.score) for h in hits] == [
        (Passage("7", "Puffins nest in burrows.", "Puffin"), 3.5),
        (Passage("2", "Seals sleep."), 1.25),
    ]
    asked = only(retriever)
    assert (asked.method, asked.path.partition("?")[0]) == ("POST", "/docs/_search")
    assert asked.body == {
        "query": {"multi_match": {"query": "Where do puffins nest?", "fields": ["title", "text"]}},
        "size": 5,
        "_source": ["title", "text"],
    }


def test_dense_sends_the_vector_in_the_documented_form(engine, kind):
    retriever = engine(mode="dense", vector="embedding")
    retriever.search("puffins", 4)
    body = only(retriever).body
    assert (body.pop("size"), body.pop("_source")) == (4, ["title", "text"])
    if kind == "elasticsearch":
        assert body == {"knn": {"field": "embedding", "query_vector": VECTOR, "k": 4, "num_candidates": 108}}
    else:
        assert body == {"query": {"knn": {"embedding": {"vector": VECTOR, "k": 4}}}}


def test_hybrid_fuses_in_the_server_in_the_documented_form(engine, kind):
    retriever = engine(mode="hybrid", title=None)
    retriever.search("puffins", 4)
    body = only(retriever).body
    assert (body.pop("size"), body.pop("_source")) == (4, ["text"])
    match = {"multi_match": {"query": "puffins", "fields": ["text"]}}
    if kind == "elasticsearch":
        knn = {"field": "vector", "query_vector": VECTOR, "k": 100, "num_candidates": 300}
        assert body == {
            "retriever": {
                "rrf": {
                    "retrievers": [{"standard": {"query": match}}, {"knn": knn}],
                    "rank_window_size": 100,
                    "rank_constant": 60,
                }
            }
        }
    else:
        processor = {"score-ranker-processor": {"combination": {"technique": "rrf", "rank_constant": 60}}}
        assert body == {
            "query": {"hybrid": {"queries": [match, {"knn": {"vector": {"vector": VECTOR, "k": 100}}}]}},
            "search_pipeline": {"phase_results_processors": [processor]},
        }


@pytest.mark.parametrize("query", HOSTILE)
def test_a_query_is_only_ever_the_value_of_the_match(engine, query):
    retriever = engine()
    retriever.search(query, 2)
    body = only(retriever).body
    sent = body["query"]["multi_match"].pop("query")
    assert sent == query.replace("\ud800", "?")
    assert body == {"query": {"multi_match": {"fields": ["title", "text"]}}, "size": 2, "_source": ["title", "text"]}


def test_fields_may_lie_inside_objects(engine):
    row = {"_id": "x", "_score": 1.0, "_source": {"meta": {"nr": 9, "name": "N"}, "body": {"en": "T"}}}
    retriever = engine(Answer(found([row])), id="meta.nr", title="meta.name", text="body.en")
    assert retriever.search("q")[0].passage == Passage("9", "T", "N")
    assert only(retriever).body["_source"] == ["meta.nr", "meta.name", "body.en"]


def test_a_user_and_an_api_key_come_from_the_environment(engine, kind, monkeypatch, tmp_path):
    monkeypatch.setenv("ENGINE_SECRET", "s3cret")
    retriever = engine(user="ada", token_env="ENGINE_SECRET")
    retriever.search("q")
    sent = {name.lower(): value for name, value in only(retriever).headers.items()}
    assert sent["authorization"] == "Basic " + base64.b64encode(b"ada:s3cret").decode()
    if kind == "elasticsearch":
        retriever = engine(token_env="ENGINE_SECRET")
        retriever.search("q")
        assert {k.lower(): v for k, v in only(retriever).headers.items()}["authorization"] == "ApiKey s3cret"
    else:
        with pytest.raises(EngineError, match=r"retriever\.opensearch\.user"):
            engine(token_env="ENGINE_SECRET")
    with pytest.raises(EngineError, match="without token_env"):
        engine(user="ada")
    monkeypatch.delenv("ENGINE_SECRET")
    with pytest.raises(EngineError, match="ENGINE_SECRET is not set"):
        engine(user="ada", token_env="ENGINE_SECRET")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            failure(404, "index_not_found_exception", "no such index [docs]"),
            r"'docs' at .* is not there: no such index",
        ),
        (failure(401, "security_exception", "missing authentication"), "asks who you are .*set user and token_env"),
        (failure(403, "security_exception", "unauthorized for user [ada]"), "may not do that: unauthorized"),
        (
            failure(403, "security_exception", "current license is non-compliant for [Reciprocal Rank Fusion (RRF)]"),
            "mode=bm25 and mode=dense work without that licence",
        ),
        (
            failure(400, "query_shard_exception", "failed to create query: field [vectr] does not exist"),
            r"status 400\): failed to create query: field \[vectr\] does not exist",
        ),
        (Answer(found(timed_out=True)), "in part only: it timed out"),
        (Answer(found(_shards={"total": 3, "successful": 2, "failed": 1})), "in part only: 1 of 3 shards failed"),
        (
            Answer(found([{"_id": "5", "_score": 1.0, "_source": {"title": "T"}}])),
            r"document '5' .* nothing in the field 'text'; name the right field with text \(retriever\.",
        ),
    ],
)
def test_what_goes_wrong_is_one_clear_line(engine, answer, message):
    with pytest.raises(EngineError, match=message) as error:
        engine(answer).search("puffins")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "unavailable"), [(429, True), (503, True), (400, False), (500, False), (401, False)]
)
def test_a_busy_server_is_told_from_one_that_refuses(engine, status, unavailable):
    with pytest.raises(EngineError) as error:
        engine(failure(status, "some_exception", "a reason")).search("puffins")
    assert isinstance(error.value, EngineUnavailableError) is unavailable


def test_a_server_that_is_down_or_another_product(engine, kind):
    from retrievers.loading import retriever_class

    with pytest.raises(EngineUnavailableError, match=r"127\.0\.0\.1:9 does not answer"):
        retriever_class(kind)("http://127.0.0.1:9", "docs", timeout=1.0).search("q")
    for wrong in ("localhost:9200", "ftp://x", "http://a:b@localhost:9200"):
        with pytest.raises(EngineError, match="address"):
            retriever_class(kind)(wrong, "docs")
    if kind == "elasticsearch":
        with pytest.raises(EngineError, match=r"is not Elasticsearch; .*retriever\.kind=opensearch"):
            engine(product=False).search("q")


def test_all_passages_are_read_page_by_page_and_counted(engine):
    pages = iter([HITS[:1], HITS[1:], []])

    def answer(asked: Asked) -> Answer:
        if asked.path.startswith("/docs/_count"):
            return Answer({"count": 2, "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0}})
        if asked.method == "DELETE":
            return Answer({"succeeded": True, "num_freed": 1})
        return Answer(found(next(pages), _scroll_id="more"))

    retriever = engine(answer)
    assert [passage.id for passage in retriever.passages] == ["7", "2"]
    assert len(retriever) == 2


def test_saved_it_leads_back_to_the_index_without_the_secret(engine, kind, tmp_path, monkeypatch):
    monkeypatch.setenv("ENGINE_SECRET", "s3cret")

    def answer(asked: Asked) -> Answer:
        return Answer({"count": 2}) if "/_count" in asked.path else Answer(found())

    retriever = engine(answer, user="ada", token_env="ENGINE_SECRET", text="text")
    retriever.save(tmp_path / "saved")
    assert "s3cret" not in "".join(path.read_text() for path in (tmp_path / "saved").iterdir())
    again = load_index(tmp_path / "saved")
    assert again.kind == kind
    assert again.search("q") == retriever.search("q")
    with pytest.raises(EngineError, match="only read"):
        again.add([Passage("a", "b")])
    assert json.loads((tmp_path / "saved" / "manifest.json").read_text())["passages"] == 2
