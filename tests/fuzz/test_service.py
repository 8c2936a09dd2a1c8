"""Raw bodies, paths and headers at the service: an answer, never an error of ours; and what it keeps, read back."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("fastapi", reason="the service needs pip install 'ragshap[serve]'")
from hypothesis import strategies as st

from ..rag.service.conftest import TOWNS, make_client
from .harness import fuzz
from .hostile import RAW_JSON, TEXTS, damaged, json_like, texts

PASSAGES = [{"text": passage.text, "title": passage.title} for passage in TOWNS[:2]]
DOCUMENTS = [passage.text for passage in TOWNS[:2]]
BODIES = {
    "/ask": {"question": "where?", "k": 2, "budget": 4, "level": "passage", "stream": False},
    "/explain": {"question": "where?", "passages": PASSAGES, "budget": 4, "stream": True},
    "/answer": {"question": "where?", "passages": PASSAGES},
    "/search": {"question": "paris", "k": 2},
    "/v1/rerank": {"query": "where?", "documents": [*DOCUMENTS, {"text": "x", "y": 1.5}], "rank_fields": ["text"]},
    "/v2/rerank": {"model": "m", "query": "where?", "documents": DOCUMENTS, "top_n": 1},
    "/rerank": {"query": "where?", "texts": DOCUMENTS, "raw_scores": True, "return_text": True},
    "/v1/score": {"text_1": "where?", "text_2": DOCUMENTS, "model": "m"},
}


@pytest.fixture(scope="module")
def client():
    from retrievers import BM25Retriever

    with make_client(retriever=BM25Retriever(TOWNS), max_budget=20, rerank_budget=8, max_body_kb=1024) as client:
        yield client


def answered(client, path: str, body: bytes, kind: str = "application/json") -> int:
    answer = client.post(path, content=body, headers={"content-type": kind})
    assert answer.status_code < 500, answer.text
    assert len(answer.content) < 200_000
    if answer.status_code != 200:
        assert set(answer.json()) == {"message", "detail", "error", "error_type"}
    return answer.status_code


@pytest.mark.parametrize("path", BODIES)
def test_bodies(client, path):
    raw = json.dumps(BODIES[path]).encode()
    kinds = st.sampled_from(["text/plain", "application/x-www-form-urlencoded", "a/b; charset=\x7f"])
    bodies = st.one_of(damaged(raw), json_like(BODIES[path]).map(str.encode))

    @fuzz(f"POST {path}", 1.5, body=bodies, kind=st.one_of(st.just("application/json"), kinds))
    def check(body, kind):
        answered(client, path, body, kind)

    assert answered(client, path, raw) == 200
    check()


@pytest.mark.parametrize("path", BODIES)
def test_bodies_beyond_reason(client, path):
    raw = json.dumps(BODIES[path])
    unknown = '{"\\ud800": 1, "' + "k" * 100_000 + '": 2, ' + raw[1:]
    for text in (*RAW_JSON, "[" * 500_000, "1" * 500_000, unknown, raw.replace('"where?"', '"\\ud800"')):
        answered(client, path, text.encode())
    for field in BODIES[path]:
        for value in ("NaN", "-Infinity", "1e999", "9" * 4000, "[" * 900 + "]" * 900, '"\\udfff"', '["\\ud800"]'):
            changed = json.dumps({**BODIES[path], field: "MARK"}).replace('"MARK"', value)
            answered(client, path, changed.encode())
    assert answered(client, path, b" " * 1_100_000) == 413


@fuzz("GET paths", 1.0, name=texts, tail=st.sampled_from(["", "/page", "/report", "/../x"]))
def test_names_of_explanations_are_never_paths(name, tail):
    import tempfile
    from pathlib import Path
    from urllib.parse import quote

    from rag.service.saved import SavedExplanations

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "saved"
        saved = SavedExplanations(folder, 3)
        (Path(place) / "x.json").write_text("{}")
        for asked in (name, f"../{name}", "../x", quote(name, safe="", errors="replace") + tail):
            with pytest.raises(KeyError):
                saved.get(asked)


@pytest.mark.parametrize("name", ["../x", "..%2fx", "%2e%2e/x", "%00", "a" * 5000, "0" * 25, "\u0660" * 24, "%ff%fe"])
def test_unknown_explanations_are_404(client, name):
    for tail in ("", "/page", "/report"):
        assert client.get(f"/explanations/{name}{tail}").status_code in (404, 405)


@pytest.mark.parametrize("path", ["../app.py", "..%2fapp.py", "%2e%2e%2fapp.py", "/etc/passwd", "..\\app.py", "%00"])
def test_the_explorers_files_are_its_own(client, path):
    assert client.get(f"/explorer/{path}").status_code == 404


def test_a_damaged_explanation_is_said_to_be_one(client):
    name = client.post("/ask", json=BODIES["/ask"]).json()["id"]
    path = client.app.state.service.saved.folder / f"{name}.json"
    whole = json.loads(path.read_text())
    for text in ("", "{", "[" * 100_000, "{}", json.dumps({**whole, "evidence": [1]}), '{"format": "ragshap-answer"}'):
        path.write_text(text)
        for tail in ("", "/page", "/report"):
            answer = client.get(f"/explanations/{name}{tail}")
            assert answer.status_code == 404
            assert "cannot be read any more" in answer.json()["message"]


@pytest.mark.parametrize(
    "text", [text for text in TEXTS if text.strip() and "\ud800" not in text and "\udcff" not in text]
)
def test_hostile_questions_and_passages_are_answered(client, text):
    body = {
        "question": text,
        "passages": [{"text": text, "title": text, "id": text}, {"text": "It is Rome."}],
        "budget": 4,
    }
    answer = client.post("/explain", json=body)
    assert answer.status_code == 200, answer.text
    page = client.get(f"/explanations/{answer.json()['id']}/page").text
    assert "<script" not in page
    assert "\x1b" not in page
