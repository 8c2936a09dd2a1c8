"""Servers that answer with anything: search engines, and endpoints of language models."""

from __future__ import annotations

import json
from contextlib import contextmanager

import httpx2
import pytest
from hypothesis import strategies as st

from rag.readers.prompt.endpoint import Endpoint, EndpointError, retry_after
from rag.readers.prompt.errors import EndpointUnavailableError
from retrievers import EngineError
from retrievers.search_engines.rest import RestEngine

from .harness import fuzz, only
from .hostile import RAW_JSON, damaged, json_like, texts, values

HIT = {"_id": "1", "_score": 1.5, "_source": {"title": "T", "text": "words", "more": {"deep": ["a", "b"]}}}
FOUND = {"timed_out": False, "_shards": {"total": 1, "failed": 0}, "hits": {"hits": [HIT, {**HIT, "_id": "2"}]}}
REFUSED = {"error": {"root_cause": [{"reason": {"caused_by": {"reason": "no"}}}], "reason": "none"}, "status": 400}
REPLY = {"choices": [{"message": {"role": "assistant", "content": "Rome"}, "finish_reason": "stop"}]}


class Scripted(RestEngine):
    """An engine whose server says what it is told to."""

    kind = "scripted"
    said: object = None

    def _connect(self, *_):
        return self

    def _body(self, query, k, window):
        return {"query": self._match(query)}

    def _search(self, body):
        return self.said

    def _scan(self, body):
        return self.said

    def count(self, index):
        return self.said

    @contextmanager
    def _explained(self):
        yield


@pytest.fixture(scope="module")
def engine():
    return Scripted("http://localhost:9200", "docs")


def test_what_is_no_search_result_is_a_clear_error(engine):
    answers = st.one_of(json_like(FOUND, REFUSED).filter(parses).map(json.loads), values)

    @fuzz("engine answers", 4.0, said=answers)
    def check(said):
        engine.said = said
        for ask in (lambda: engine.search("x", 3), lambda: engine.passages, lambda: len(engine)):
            with only(EngineError):
                ask()
        with only(EngineError):
            raise engine._refusal(400, said)

    check()


def parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def endpoint(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Endpoint:
    asked = Endpoint("http://localhost:1/v1", "m", retries=0)
    reply = httpx2.MockTransport(lambda _: httpx2.Response(status, content=content, headers=headers or {}))
    asked._client = httpx2.Client(transport=reply)
    return asked


bodies = st.one_of(
    damaged(json.dumps(REPLY).encode()), json_like(REPLY).map(str.encode), st.sampled_from(RAW_JSON).map(str.encode)
)


@fuzz("endpoint answers", 2.0, content=bodies, status=st.sampled_from([200, 200, 200, 400, 404, 500, 429]))
def test_what_is_no_completion_is_a_clear_error(content, status):
    with only(EndpointError, EndpointUnavailableError):
        (reply,) = endpoint(content, status).complete(["who?"])
        reply.text.encode()


@pytest.mark.parametrize("content", ['"\\ud800"', "[" * 100_000, "9" * 5000])
def test_replies_that_cannot_be_kept(content):
    body = json.dumps(REPLY).replace('"Rome"', content).encode()
    with pytest.raises(EndpointError, match="no chat completion"):
        endpoint(body).complete(["who?"])


dates = st.builds("Mon, 01 Jan {} 00:00:00 {}".format, st.integers(), st.sampled_from(["GMT", "+9999", "-99999", "x"]))


@fuzz("Retry-After", 1.0, header=st.one_of(texts, dates, st.floats().map(str)))
def test_retry_after_is_a_time_or_nothing(header):
    assert retry_after(header) >= 0
