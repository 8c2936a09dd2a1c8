"""Who is let in, how much may be asked for, and what becomes of work that no one waits for."""

from __future__ import annotations

import pytest

from rag.service.settings import ServeSettings, ServiceSettings
from rag.settings_base import SettingsError, load_section

from .conftest import TOWNS, make_client

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
    for host in ("localhost", "LocalHost:8000", "127.0.0.1:8000", "127.0.0.2", "[::1]:8000", "[::1]", "[0:0::1]"):
        assert client.get("/health", headers={"host": host}).status_code == 200
    elsewhere = ("evil.example", "evil.example:8000", "localhost.evil.example", "localhost:8000@evil", "")
    for host in (*elsewhere, "127.0.0.1.evil.example", "128.0.0.1", "[::2]", "::1", "[evil]", "localhost:x"):
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
