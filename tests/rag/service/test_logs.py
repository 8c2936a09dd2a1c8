"""What the log and the metrics say, and what they keep to themselves."""

from __future__ import annotations

import json
import logging

import pytest

from rag.service.logs import JsonLines

from .conftest import TOWNS, SlowReader, make_client

SENT = {"model": "m", "query": "where?", "documents": [passage.text for passage in TOWNS]}


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

    mine, caplog.handler.formatter = "https://app.example.org", JsonLines()
    with make_client(Broken(), cors_origins=[mine]) as client, caplog.at_level(logging.INFO, "ragshap.service"):
        answer = client.post("/v2/rerank", json={**SENT, "query": "a secret"}, headers={"origin": mine})
        assert answer.status_code == 500
        assert answer.headers["access-control-allow-origin"] == mine
        failed, request = [json.loads(line) for line in caplog.text.splitlines()][-2:]
        assert (failed["event"], failed["exception"]) == ("failed", "RuntimeError")
        assert (request["id"], request["status"]) == (answer.headers["x-request-id"], 500)
        assert request["exception"] == "RuntimeError"
        assert "secret" not in caplog.text
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
    assert "test_logs.py" in line["at"][0]


def test_metrics_count_by_known_routes_alone(client):
    client.post("/v2/rerank", json=SENT)
    for path in ("/nosuch", "/other/" + "x" * 100, "/v2/rerank"):
        client.get(path)
    text = client.get("/metrics").text
    assert 'ragshap_requests_total{route="/v2/rerank",status="200"} 1.0' in text
    assert 'ragshap_requests_total{route="other",status="404"} 2.0' in text
    assert "ragshap_documents_total 4.0" in text
    assert "nosuch" not in text
