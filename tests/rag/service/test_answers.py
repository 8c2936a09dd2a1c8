"""Our own routes: what comes back, as JSON and as events."""

from __future__ import annotations

import json

import pytest

from rag import Answer, Pipeline, load_settings

from ..conftest import ScriptedReader, WordReader
from .conftest import TOWNS, make_client

SENT = [{"id": p.id, "title": p.title, "text": p.text} for p in TOWNS]


def events(text: str) -> list[tuple[str, dict]]:
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def timeless(answer: dict) -> dict:
    return {key: value for key, value in answer.items() if key not in ("seconds", "id")}


def test_ask_is_what_the_pipeline_answers(client, towns):
    answer = client.post("/ask", json={"question": "the guide names what is said of it?"})
    assert answer.status_code == 200
    direct = Pipeline(towns, ScriptedReader()).ask("the guide names what is said of it?")
    assert timeless(answer.json()) == timeless(json.loads(direct.to_json()))
    assert Answer.from_json(answer.text).text == direct.text
    assert len(answer.json()["evidence"]) > 1
    fewer = client.post("/ask", json={"question": "the guide names what is said of it?", "k": 1}).json()
    assert len(fewer["evidence"]) == 1


def test_explain_is_what_the_pipeline_explains(client):
    answer = client.post("/explain", json={"question": "where?", "passages": SENT, "budget": 12}).json()
    settings = load_settings(overrides=["attribution.budget=12"])
    direct = Pipeline(None, ScriptedReader(), settings).explain("where?", TOWNS)
    assert timeless(answer) == timeless(json.loads(direct.to_json()))
    unnamed = client.post("/explain", json={"question": "where?", "passages": [{"text": "Rome"}, {"text": "b"}]})
    assert [e["id"] for e in unnamed.json()["evidence"]] == ["1", "2"]


def test_a_given_answer_is_explained_sentence_by_sentence():
    body = {"question": "where?", "passages": SENT, "answer": "it is Rome. Bern is far."}
    with make_client(WordReader()) as client:
        answer = client.post("/explain", json=body).json()
        blank = client.post("/explain", json={**body, "answer": " "})
        long = client.post("/explain", json={**body, "answer": "x" * 10**6})
        spans = client.post("/explain", json={**body, "spans": ["Rome", [12, 16]]}).json()
        wrong = [
            client.post("/explain", json={**body, "spans": bad}) for bad in (["Paris"], [[3]], [], [[9, 900]], "it")
        ]
    direct = Pipeline(None, WordReader()).explain("where?", TOWNS, answer=body["answer"])
    assert timeless(answer) == timeless(json.loads(direct.to_json()))
    assert len(answer["citations"]["sentences"]) == 2
    assert (blank.status_code, long.status_code) == (422, 413)
    assert [one["text"] for one in spans["citations"]["sentences"]] == ["Rome", "Bern"]
    assert [one.status_code for one in wrong] == [422] * 5
    assert "does not hold the words 'Paris'" in wrong[0].json()["message"]
    assert "the answer to explain is empty" in blank.json()["message"]


@pytest.mark.parametrize("path", ["/explain", "/answer"])
def test_plain_strings_are_passages_named_by_their_place(client, path):
    texts = [passage.text for passage in TOWNS]
    strings = client.post(path, json={"question": "where?", "passages": texts}).json()
    objects = client.post(path, json={"question": "where?", "passages": [{"text": text} for text in texts]}).json()
    mixed = client.post(path, json={"question": "where?", "passages": [texts[0], *({"text": t} for t in texts[1:])]})
    assert timeless(strings) == timeless(objects) == timeless(mixed.json())
    if path == "/explain":
        assert {e["id"] for e in strings["evidence"]} == {"1", "2", "3", "4"}
    clash = client.post("/explain", json={"question": "where?", "passages": [{"text": "a", "id": "2"}, "b"]})
    assert "two passages have the id '2'" in clash.json()["message"]
    wrong = client.post(path, json={"question": "where?", "passages": ["a", 3]})
    assert (wrong.status_code, wrong.json()["message"]) == (422, "passages[1] is 3; expected text or an object")


def test_what_a_request_leaves_out_is_what_the_settings_say(towns):
    overrides = ["retriever.passages=2", "attribution.budget=12", "attribution.minimal_sets=0"]
    with make_client(retriever=towns, overrides=overrides) as client:
        answer = client.post("/ask", json={"question": "the guide names what is said of it?"})
        assert len(answer.json()["evidence"]) == 2
        given = client.post("/explain", json={"question": "where?", "passages": SENT}).json()
        assert given["settings"]["attribution"]["budget"] == given["attribution"]["budget"] == 12
        assert len(client.post("/search", json={"question": "guide names what is said"}).json()["passages"]) == 2


def test_streamed_progress_comes_before_the_same_answer(client):
    sent = {"question": "where?", "passages": SENT}
    answer = client.post("/explain", json=sent | {"stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = events(answer.text)
    assert [name for name, _ in found] == ["progress"] * (len(found) - 1) + ["answer"]
    stages = [(data["stage"], data["done"], data["total"]) for name, data in found if name == "progress"]
    assert stages[0][0] == "waiting"
    assert stages[-1] == ("attribute", 16, 16)
    assert timeless(found[-1][1]) == timeless(client.post("/explain", json=sent).json())


def test_what_fails_in_a_stream_is_an_event(client):
    answer = client.post("/explain", json={"question": "where?", "passages": SENT, "budget": 3, "stream": True})
    name, data = events(answer.text)[-1]
    assert (name, data["status"]) == ("error", 422)
    assert "budget" in data["message"]


def test_answer_reads_the_passages_and_no_more(client):
    answer = client.post("/answer", json={"question": "where?", "passages": SENT}).json()
    assert answer == {"question": "where?", "answer": "Paris", "reader": "scripted"}
    without = [sent for sent in SENT if "paris" not in sent["id"]]
    assert client.post("/answer", json={"question": "where?", "passages": without}).json()["answer"] == "Rome"
    assert client.post("/answer", json={"question": "where?", "passages": []}).json()["answer"] == ""


def test_another_reader_gives_final_answers_and_is_named(towns):
    class First(ScriptedReader):
        name = "first"

        def generate(self, encoded, coalitions):
            return [encoded.passages[0].title for _ in coalitions]

    with make_client(retriever=towns, answerer=First()) as client:
        found = client.post("/explain", json={"question": "where?", "passages": SENT, "budget": 20}).json()
        best = found["evidence"][0]["title"]
        assert (found["answer"], found["full_answer"]) == (best, "Paris")
        assert found["readers"] == {"answering": "first", "attributed": "scripted", "explanation": None}
        page = client.get(f"/explanations/{found['id']}/report").text
        assert "The values speak for the reader scripted" in page
        read = client.post("/answer", json={"question": "where?", "passages": SENT}).json()
        assert (read["answer"], read["reader"]) == ("Paris", "scripted")
        health = client.get("/health").json()
        assert (health["reader"], health["answer_reader"]) == ("scripted", "first")


def test_search_is_what_the_retriever_finds(client, towns):
    found = client.post("/search", json={"question": "guide names", "k": 3}).json()
    hits = towns.search("guide names", 3)
    assert [(p["rank"], p["id"], p["score"]) for p in found["passages"]] == [
        (rank, hit.passage.id, pytest.approx(hit.score)) for rank, hit in enumerate(hits, 1)
    ]
    assert found["passages"][0]["text"] == "the guide names Paris too."


def test_a_given_explanation_is_found_by_its_id_as_json_and_as_page(client):
    given = client.post("/explain", json={"question": "where is <b>it</b>?", "passages": SENT}).json()
    saved = client.get(f"/explanations/{given['id']}")
    assert saved.json() == given
    page = client.get(f"/explanations/{given['id']}/page").text
    report = client.get(f"/explanations/{given['id']}/report").text
    assert page == Answer.from_dict(given).to_html()
    assert report.strip() in page
    assert "<b>it</b>" not in report
    for path in ("/explanations/" + "0" * 24, "/explanations/..%2f..%2fetc%2fpasswd", "/explanations/x/page"):
        assert client.get(path).status_code == 404


def test_only_the_newest_explanations_are_kept_and_a_folder_outlives_the_service(tmp_path):
    sent = {"question": "where?", "passages": SENT[:2]}
    with make_client(explanations=str(tmp_path / "kept"), keep=2) as client:
        ids = [client.post("/explain", json=sent).json()["id"] for _ in range(4)]
    with make_client(explanations=str(tmp_path / "kept"), keep=2) as client:
        assert [client.get(f"/explanations/{name}").status_code for name in ids] == [404, 404, 200, 200]
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_without_an_index_it_says_so():
    with make_client() as client:
        for path in ("/ask", "/search"):
            answer = client.post(path, json={"question": "where?"})
            assert answer.status_code == 404
            assert "--index" in answer.json()["message"]
        assert client.get("/health").json()["passages"] is None
        assert client.post("/explain", json={"question": "where?", "passages": SENT}).status_code == 200


@pytest.mark.parametrize(
    ("path", "sent", "status", "message"),
    [
        ("/ask", {"question": ""}, 422, "empty"),
        ("/ask", {"question": "a", "kk": 3}, 422, "kk"),
        ("/ask", {"question": "a", "k": 0}, 422, "k"),
        ("/ask", {"question": "a", "k": 101}, 422, "k: 101 is more than this service's 100"),
        ("/ask", {"question": "a", "budget": 4001}, 422, "budget: 4,001 is more"),
        ("/ask", {"question": "a", "level": "letter"}, 422, "level"),
        ("/ask", {"question": "a" * 20_001}, 413, "20,000"),
        ("/explain", {"question": "a", "passages": [SENT[0], SENT[0]]}, 422, "two passages have the id 'rome'"),
        ("/explain", {"question": "a", "passages": [{"text": "a"}] * 101}, 413, "101 is more than this service's 100"),
        ("/explain", {"question": "a", "passages": SENT, "level": "word"}, 422, "cannot hide parts"),
        ("/answer", {"question": "a", "passages": [{"text": "a", "title": "b" * 20_001}]}, 413, "20,000"),
        ("/search", {"question": "a", "k": 1001}, 422, "k"),
    ],
)
def test_wrong_requests_are_refused_with_a_reason(client, path, sent, status, message):
    answer = client.post(path, json=sent)
    assert answer.status_code == status
    assert message in answer.json()["message"]
