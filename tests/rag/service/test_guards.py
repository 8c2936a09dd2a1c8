"""Who is let in, how much may be asked for, and what becomes of work that no one waits for."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from rag import Pipeline
from rag.service.logs import JsonLines
from rag.service.settings import ServeSettings, ServiceSettings
from rag.settings_base import SettingsError, load_section

from .conftest import FERRY, TOWNS, Live, SlowReader, make_client

TOKEN = "correct-horse-battery"
SENT = {"model": "m", "query": "where?", "documents": [passage.text for passage in TOWNS]}
JSON = {"content-type": "application/json"}


@pytest.fixture
def guarded(monkeypatch, towns):
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    with make_client(retriever=towns, token_env="MY_TOKEN", host="0.0.0.0") as client:
        yield client


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank", "/ask", "/explain", "/answer", "/search"])
@pytest.mark.parametrize(
    "header", [None, "Bearer", f"Bearer {TOKEN}x", f"bearer {TOKEN}x", TOKEN, "Bearer café", "Basic x"]
)
def test_without_the_token_nothing_is_computed(guarded, path, header):
    answer = guarded.post(
        path, json=SENT, headers={} if header is None else {"authorization": header.encode("latin-1")}
    )
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Bearer TOKEN" in answer.json()["message"]


def test_with_the_token_everything_is_there_and_some_things_are_without(guarded):
    authorised = {"authorization": f"Bearer {TOKEN}"}
    assert guarded.post("/v2/rerank", json=SENT, headers=authorised).status_code == 200
    for scheme in ("bearer", "BEARER"):  # RFC 9110: the scheme is read in any case
        assert guarded.get("/info", headers={"authorization": f"{scheme} {TOKEN}"}).status_code == 200
    assert guarded.get("/info/", headers={"authorization": TOKEN}).status_code == 401
    assert guarded.head("/health/").status_code == 200
    for path in ("/metrics", "/info", "/explanations/" + "0" * 24):
        assert guarded.get(path).status_code == 401
        assert guarded.get(path, headers=authorised).status_code != 401
    for path in ("/", "/health", "/openapi.json", "/explorer/explorer.js"):
        assert guarded.get(path).status_code == 200
    assert guarded.get("/health", headers={"host": "search.example.org"}).status_code == 200


def test_without_a_token_only_this_machine_may_be_named(client):
    for host in ("localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]"):
        assert client.get("/health", headers={"host": host}).status_code == 200
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "localhost:8000@evil", ""):
        assert client.get("/health", headers={"host": host}).status_code == 403


def test_a_service_that_others_reach_needs_a_token(monkeypatch):
    for host in ("0.0.0.0", "::", "192.168.0.7", "search.example.org"):
        with pytest.raises(SettingsError, match="a token is needed"):
            load_section(ServeSettings, None, [f"service.host='{host}'"])
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.9"):
        assert load_section(ServeSettings, None, [f"service.host='{host}'"]).service.token() is None
    settings = ServiceSettings(host="0.0.0.0", token_env="MY_TOKEN")
    for value in ("", "short", "with spaces in it all", "ümlauts-are-not-header-safe", "line\nbreak-in-a-token-value"):
        monkeypatch.setenv("MY_TOKEN", value)
        with pytest.raises(SettingsError, match="MY_TOKEN must hold a token"):
            settings.token()


def test_large_bodies_are_refused_announced_or_not(towns):
    with make_client(retriever=towns, max_body_kb=1) as client:
        announced = client.post("/v2/rerank", content=b"x" * 2000, headers=JSON)
        streamed = client.post("/v2/rerank", content=(b"x" * 100 for _ in range(20)), headers=JSON)
        for answer in (announced, streamed):
            assert answer.status_code == 413
            assert "limit of 1 kB" in answer.json()["message"]
            assert answer.headers["connection"] == "close"
        assert client.post("/v2/rerank", json=SENT).status_code == 200


def test_a_body_that_does_not_arrive_is_given_up():
    from starlette.testclient import TestClient

    from rag.service.bodies import Bodies

    async def app(scope, receive, send):
        raise AssertionError("never reached")

    async def never(scope, receive, send):
        async def silence():
            import asyncio

            await asyncio.sleep(60)

        await Bodies(app, 1000, arrival=0.05)(scope, silence, send)

    answer = TestClient(never).post("/", content=b"x")
    assert answer.status_code == 408


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"null", 422),
        (b"[" * 100_000, 400),
        (b'{"a":' * 50_000, 400),
        (b"9" * 5000, 400),
        (b"\xff\xfe\x00", 400),
        (b'{"question": "\\ud800"}', 422),
        (b'{"question": "a", "k": 1e400}', 422),
        (b'{"question": "a", "k": NaN}', 422),
        (b'{"question": "a", "k": true}', 422),
        (b'{"question": "\\u0000\\u202e\\uffff", "k": 1}', 200),
        ('{"question": "\N{PILE OF POO}"}'.encode(), 200),
    ],
)
def test_hostile_bodies_are_refused_without_an_error_of_ours(client, content, status):
    answer = client.post("/ask", content=content, headers=JSON)
    assert answer.status_code == status
    assert status == 200 or answer.json()["message"]


def test_a_page_elsewhere_cannot_have_a_browser_ask(client):
    """Without a preflight, browsers send these types alone, and they are not read as JSON."""
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        sent = client.post("/search", content=b'{"question": "where?"}', headers={"content-type": kind})
        assert sent.status_code == 422
    preflight = client.options(
        "/search", headers={"origin": "https://evil.example", "access-control-request-method": "POST"}
    )
    assert "access-control-allow-origin" not in preflight.headers


def test_pages_of_the_origins_that_are_named_may_ask(monkeypatch, towns):
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    mine = "https://app.example.org"
    with make_client(retriever=towns, token_env="MY_TOKEN", cors_origins=[mine]) as client:
        ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
        preflight = client.options("/v2/rerank", headers={"origin": mine, **ask})
        assert preflight.status_code == 200  # browsers send no token with it
        assert preflight.headers["access-control-allow-origin"] == mine
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"
        sent = client.post("/v2/rerank", json=SENT, headers={"origin": mine, "authorization": f"Bearer {TOKEN}"})
        refused = client.post("/v2/rerank", json=SENT, headers={"origin": mine})
        assert (sent.status_code, refused.status_code) == (200, 401)
        for answer in (sent, refused):
            assert answer.headers["access-control-allow-origin"] == mine
            assert "X-Warning" in answer.headers["access-control-expose-headers"]
        other = client.options("/v2/rerank", headers={"origin": "https://evil.example", **ask})
        assert other.status_code == 400
        assert "access-control-allow-origin" not in other.headers
    for wrong in ("app.example.org", "https://app.example.org/", "null"):
        with pytest.raises(SettingsError, match="is no origin"):
            load_section(ServeSettings, None, [f"service.cors_origins=['{wrong}']"])


@pytest.fixture
def slow():
    reader = SlowReader()
    with Live(Pipeline(None, reader), waiting=1, time_limit=30) as live:
        yield live, reader
        reader.hold.clear()


def wait_until(true, seconds=5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_beyond_the_queue_requests_are_refused_fast_and_none_of_the_others_is_lost(slow):
    live, reader = slow
    reader.hold.set()
    with httpx2.Client(base_url=live.url, timeout=30) as http, ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(httpx2.post, f"{live.url}/v2/rerank", json=SENT, timeout=30) for _ in range(2)]
        wait_until(lambda: live.service.worker.unfinished == 2)
        times = []
        for _ in range(10):
            before = time.perf_counter()
            answer = http.post("/v2/rerank", json=SENT)
            times.append(time.perf_counter() - before)
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["error_type"] == "Overloaded"
        assert min(times) < 0.05  # of the ten, the one that other work on this machine delayed least
        assert http.get("/health").status_code == 200
        reader.hold.clear()
        results = [answer.result().json()["results"] for answer in taken]
    assert results[0] == results[1]
    assert [result["index"] for result in results[0]] == [1, 2, 0, 3]


def test_the_time_limit_ends_the_work_itself():
    reader = SlowReader()
    with Live(Pipeline(None, reader), time_limit=0.3) as live:
        reader.hold.set()
        answer = httpx2.post(f"{live.url}/v2/rerank", json=SENT, timeout=30)
        assert answer.status_code == 504
        assert "longer than 0.3 s" in answer.json()["message"]
        wait_until(lambda: live.service.worker.unfinished == 0)
        steps = reader.steps
        time.sleep(0.05)
        assert reader.steps == steps
        with httpx2.stream(
            "POST", f"{live.url}/explain", json={"question": "a", "passages": [{"text": "b"}], "stream": True}
        ) as s:
            assert s.read().decode().rstrip().splitlines()[-2] == "event: error"
        reader.hold.clear()
        assert httpx2.post(f"{live.url}/v2/rerank", json=SENT, timeout=30).status_code == 200
        assert 'ragshap_stopped_total{why="time limit"} 2.0' in httpx2.get(f"{live.url}/metrics").text


@pytest.mark.parametrize("stream", [False, True])
def test_work_ends_when_the_client_has_gone(slow, stream):
    live, reader = slow
    reader.hold.set()
    body = json.dumps({"question": "where?", "passages": [{"text": "Rome"}], "stream": stream}).encode()
    lines = (
        "POST /explain HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    head = "\r\n".join([*lines, "", ""])
    with socket.create_connection(("127.0.0.1", live.socket.getsockname()[1])) as connection:
        connection.sendall(head.encode() + body)
        assert reader.started.wait(5)
    wait_until(lambda: live.service.worker.unfinished == 0)
    steps = reader.steps
    time.sleep(0.05)
    assert reader.steps == steps


def test_an_ending_service_lets_requests_end_and_then_takes_no_more():
    reader = SlowReader()
    with Live(Pipeline(None, reader)) as live, ThreadPoolExecutor(1) as pool:
        reader.hold.set()
        taken = pool.submit(httpx2.post, f"{live.url}/v2/rerank", json=SENT, timeout=30)
        assert reader.started.wait(5)
        live.server.should_exit = True
        time.sleep(0.3)
        assert live.thread.is_alive()
        reader.hold.clear()
        assert taken.result().status_code == 200
        live.thread.join(10)
        assert not live.thread.is_alive()
        assert not live.service.worker.alive
        with pytest.raises(httpx2.TransportError):
            httpx2.get(f"{live.url}/health")


@pytest.mark.parametrize("log_text", [False, True])
def test_the_log_has_a_line_per_request_without_what_was_asked(towns, caplog, log_text):
    secret = "where does Aunt Agatha hide her will?"
    with caplog.at_level(logging.INFO, "ragshap.service"), make_client(retriever=towns, log_text=log_text) as client:
        client.post("/v2/rerank", json={**SENT, "query": secret})
        answer = client.post("/search", json={"question": secret, "k": 1001})
        client.get("/nosuch", params={"q": secret})
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records if record.getMessage() == "request"]
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/v2/rerank", 200),
        ("/search", 422),
        ("other", 404),
    ]
    assert lines[0]["documents"] == 4
    assert lines[1]["id"] == answer.headers["x-request-id"]
    assert all(line["seconds"] >= 0 and line["time"].endswith("Z") for line in lines)
    assert ("Agatha" in json.dumps(lines)) is log_text


def test_an_error_of_ours_is_500_and_logged_without_its_message(towns, caplog):
    class Broken(SlowReader):
        def generate(self, encoded, coalitions):
            raise RuntimeError(f"cannot read {encoded.question}")

    with make_client(Broken()) as client:
        answer = client.post("/v2/rerank", json={**SENT, "query": "a secret"})
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert client.get("/health").status_code == 200
        assert 'status="500"' in client.get("/metrics").text
    try:
        raise RuntimeError("a secret")
    except RuntimeError as error:
        record = logging.LogRecord(
            "uvicorn.error", logging.ERROR, "", 0, "failed", (), (type(error), error, error.__traceback__)
        )
    line = json.loads(JsonLines().format(record))
    assert (line["exception"], line["level"]) == ("RuntimeError", "error")
    assert "secret" not in json.dumps(line)
    assert "test_guards.py" in line["at"][0]


def test_metrics_count_by_known_routes_alone(client):
    client.post("/v2/rerank", json=SENT)
    for path in ("/nosuch", "/other/" + "x" * 100, "/v2/rerank"):
        client.get(path)
    text = client.get("/metrics").text
    assert 'ragshap_requests_total{route="/v2/rerank",status="200"} 1.0' in text
    assert 'ragshap_requests_total{route="other",status="404"} 2.0' in text
    assert "ragshap_documents_total 4.0" in text
    assert "nosuch" not in text


def test_the_shipped_settings_spell_out_every_default():
    import yaml

    from .conftest import EXAMPLES

    path = EXAMPLES.parents[1] / "configs" / "serve.yaml"
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == {"service": ServiceSettings().model_dump(mode="json")}
    assert load_section(ServeSettings, "serve", ["attribution.budget=7"]).pipeline().attribution.budget == 7


def test_the_openapi_file_has_an_example_of_every_request(client):
    content = client.get("/openapi.json").json()
    for path in ("/ask", "/explain", "/answer", "/search", "/v1/rerank", "/v2/rerank", "/rerank", "/v1/score"):
        operation = content["paths"][path]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        for one in schema.get("oneOf", schema.get("anyOf", [schema])):
            name = one["$ref"].rsplit("/", 1)[1]
            (example, *_) = content["components"]["schemas"][name]["examples"]
            assert client.post(path, json=example).status_code == 200, path
        assert {"401", "413", "422", "429", "504"} <= set(operation["responses"])


def test_requests_at_once_get_the_same_answers_as_alone():
    from .conftest import ScriptedReader

    bodies = [
        {"model": "m", "query": FERRY, "documents": [f"Town{(i + j) % 5} it is." for j in range(6)]} for i in range(5)
    ]
    with Live(Pipeline(None, ScriptedReader()), waiting=40) as live:
        url = f"{live.url}/v2/rerank"
        alone = [httpx2.post(url, json=sent, timeout=30).json()["results"] for sent in bodies]
        barrier = threading.Barrier(8)

        def client(number: int) -> list:
            barrier.wait()
            with httpx2.Client(timeout=30) as http:
                return [http.post(url, json=bodies[(number + i) % 5]).json()["results"] for i in range(5)]

        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(client, range(8)))
    for number, found in enumerate(together):
        assert found == [alone[(number + i) % 5] for i in range(5)]
