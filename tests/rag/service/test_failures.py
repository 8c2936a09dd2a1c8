"""What another machine does wrong is told with 502 or 503 and a reason, in every protocol; so are faults of ours."""

from __future__ import annotations

import json
from contextlib import ExitStack

import numpy as np
import pytest

from rag import load_settings
from rag.readers.loading import load_reader
from rag.readers.prompt import endpoint
from rag.service.errors import failure_of
from rag.service.worker import Worker
from retrievers import IndexFormatError
from retrievers.errors import BusyError, DiskFullError, EngineError, EngineUnavailableError

from ..conftest import ScriptedReader
from ..readers.prompt.conftest import Server
from .conftest import make_client
from .test_answers import events

TOKEN = "secret-token"
TEXTS = ["Rome it is.", "Paris it is."]
ASKED = {"question": "where?", "passages": [{"text": text} for text in TEXTS]}
REQUESTS = {
    "/v2/rerank": {"model": "m", "query": "where?", "documents": TEXTS},
    "/v1/rerank": {"query": "where?", "documents": TEXTS},
    "/rerank": {"query": "where?", "texts": TEXTS},
    "/explain": ASKED,
    "/answer": ASKED,
}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(endpoint, "_FIRST_WAIT", 0.01)
    running = Server()
    yield running
    running.close()


@pytest.fixture
def over_endpoint(server, monkeypatch):
    """Opens a client of a service whose reader is an endpoint with the given faults."""
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    with ExitStack() as stack:

        def open_on(*faults, url=server.url, timeout=5.0):
            options = f"{{cache: null, retries: 0, concurrency: 1, timeout: {timeout}, token_env: MY_TOKEN}}"
            overrides = [f"reader.checkpoint={url}#tiny", f"reader.endpoint={options}"]
            server.faults.extend(faults)
            return stack.enter_context(make_client(load_reader(load_settings(overrides=overrides).reader)))

        yield open_on


FAULTS = {
    "refused": (401, {}, b"wrong key secret-token"),
    "broken": (500, {}, b"worker crashed"),
    "no JSON": (200, {}, b"<html>"),
    "busy": (429, {"Retry-After": "7"}, b"slow down"),
    "overloaded": (503, {}, b"loading"),
    "silent": 0.5,
}
EXPECTED = {
    "refused": (502, "answered 401", None),
    "broken": (502, "answered 500", None),
    "no JSON": (502, "answered with no chat completion", None),
    "busy": (503, "answered 429", "7"),
    "overloaded": (503, "answered 503", None),
    "silent": (503, "did not answer within 0.2 s", None),
    "not there": (503, "cannot be reached", None),
}


@pytest.mark.parametrize("fault", EXPECTED)
@pytest.mark.parametrize("path", ["/v2/rerank", "/explain"])
def test_what_an_endpoint_does_wrong_is_told(over_endpoint, fault, path):
    status, message, wait = EXPECTED[fault]
    client = over_endpoint(
        *([FAULTS[fault]] if fault in FAULTS else []),
        timeout=0.2 if fault == "silent" else 5.0,
        **({"url": "http://127.0.0.1:9/v1"} if fault == "not there" else {}),
    )
    answer = client.post(path, json=REQUESTS[path])
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, wait)
    content = answer.json()
    assert message in content["message"]
    assert content["message"] == content["detail"] == content["error"]
    assert TOKEN not in answer.text
    assert client.post("/explain", json=ASKED).status_code == (503 if fault == "not there" else 200)


@pytest.mark.parametrize("path", REQUESTS)
def test_every_protocol_tells_it(over_endpoint, path):
    assert over_endpoint(FAULTS["refused"]).post(path, json=REQUESTS[path]).status_code == 502


@pytest.mark.parametrize("fault", ["refused", "busy"])
def test_a_stream_ends_with_the_error_that_it_promises(over_endpoint, fault):
    answer = over_endpoint(FAULTS[fault]).post("/explain", json=ASKED | {"stream": True})
    name, data = events(answer.text)[-1]
    status, message, wait = EXPECTED[fault]
    assert (name, data["status"]) == ("error", status)
    assert message in data["message"]
    assert data.get("retry_after") == (None if wait is None else int(wait))


class Raising(ScriptedReader):
    def __init__(self, error):
        self.error = error

    def generate(self, encoded, coalitions):
        raise self.error


def broken_model(*_):
    return json.loads("{")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (MemoryError(), 503, "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), 503, "memory"),
        (DiskFullError("the disk is full"), 503, "the disk is full"),
        (BusyError("another process writes there"), 503, "another process"),
        (ConnectionResetError(104, "reset"), 503, "cannot be reached"),
        (IndexFormatError("segment 3 is damaged; build the index again"), 500, "segment 3 is damaged"),
        (PermissionError(13, "no", "/secret/path"), 500, "something went wrong"),
        (ValueError("operands could not be broadcast"), 500, "something went wrong"),
        (RuntimeError("a secret"), 500, "something went wrong"),
        (StopIteration(), 500, "something went wrong"),
        (SystemExit(3), 500, "something went wrong"),
    ],
)
def test_what_goes_wrong_here_is_told_without_a_secret_as_answer_and_as_event(error, status, message):
    with make_client(Raising(error)) as client:
        answer = client.post("/v2/rerank", json=REQUESTS["/v2/rerank"])
        assert (answer.status_code, message in answer.json()["message"]) == (status, True)
        name, data = events(client.post("/explain", json=ASKED | {"stream": True}).text)[-1]
        assert (name, data["status"], message in data["message"]) == ("error", status, True)
        assert "secret" not in answer.text + data["message"]
        assert client.get("/health").status_code == 200


class Engine:
    """A search engine's place in a pipeline."""

    def __init__(self, error):
        self.error = error

    def search(self, query, k=10):
        raise self.error

    def __len__(self):
        raise self.error

    search_many = add = remove = save = saving = load = passages = search


@pytest.mark.parametrize(("kind", "status"), [(EngineError, 502), (EngineUnavailableError, 503)])
def test_what_a_search_engine_does_wrong_is_told(kind, status):
    error = kind("http://ada:pass@engine:9200/docs?api_key=pass does not answer; is it started?")
    with make_client(retriever=Engine(error)) as client:
        message = "http://engine:9200/docs does not answer; is it started?"
        for answer in (
            client.post("/search", json={"question": "where?"}),
            client.post("/ask", json={"question": "where?"}),
            client.get("/health"),
        ):
            assert (answer.status_code, answer.json()["message"]) == (status, message)
        name, data = events(client.post("/ask", json={"question": "where?", "stream": True}).text)[-1]
        assert (name, data["status"], data["message"]) == ("error", status, message)


def test_a_real_engines_client_that_reaches_nothing():
    pytest.importorskip("elasticsearch", reason="needs pip install 'ragshap[elasticsearch]'")
    from retrievers.loading import retriever_class

    with make_client(retriever=retriever_class("elasticsearch")("http://127.0.0.1:9", "docs", timeout=1.0)) as client:
        answer = client.post("/search", json={"question": "where?"})
        assert answer.status_code == 503
        assert "does not answer" in answer.json()["message"]


def test_only_errors_of_our_own_are_laid_to_the_request():
    def met(work):
        try:
            work()
        except Exception as error:
            return failure_of(error)

    assert met(lambda: load_settings(overrides=["attribution.budget=1"])).status == 422
    assert met(lambda: ScriptedReader().encode(" ", [])).status == 422
    assert met(lambda: json.loads("{")) is None
    assert met(lambda: np.linalg.inv(np.zeros((2, 2)))) is None
    assert met(lambda: b"\xff".decode()) is None


def test_the_kind_of_error_is_logged_with_the_request(caplog):
    import logging

    with caplog.at_level(logging.INFO, "ragshap.service"), make_client(Raising(DiskFullError("full"))) as client:
        client.post("/v2/rerank", json=REQUESTS["/v2/rerank"])
        client.post("/explain", json=ASKED | {"stream": True})
    fields = [record.fields for record in caplog.records if record.getMessage() == "request"]
    assert [line["exception"] for line in fields] == ["DiskFullError", "DiskFullError"]


def test_a_service_closes_its_reader_when_it_ends(over_endpoint):
    client = over_endpoint()
    reader = client.app.state.service.engine.pipeline.reader
    assert client.post("/answer", json=ASKED).status_code == 200
    client.__exit__(None, None, None)
    with pytest.raises(OSError, match="closed"):
        reader.generate(reader.encode("where?", []), np.ones((1, 0), bool))


def test_a_job_that_ends_the_interpreter_ends_itself_alone():
    worker = Worker(1)

    def leave():
        raise SystemExit(3)

    error = worker.submit(leave, 5).future.exception(5)
    assert isinstance(error, RuntimeError)
    assert isinstance(error.__cause__, SystemExit)
    assert worker.submit(lambda: 1, 5).future.result(5) == 1
    worker.stop()
