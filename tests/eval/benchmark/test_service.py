"""The load that a service is put under, and what is said of it."""

from __future__ import annotations

import json
import threading
import time

from eval.benchmark.service import benchmark_service, requests_of
from rag.cli import run

from ...retrievers.search_engines.engines import ISLANDS, Answer, serve

RIGHT = {"results": [{"index": 0, "relevance_score": 1.0}]}
METRICS = "process_resident_memory_bytes 1.048576e+08"


def test_requests_are_of_twenty_documents_of_a_hundred_words():
    requests = requests_of(ISLANDS, 3)
    assert len(requests) == 3
    for sent in requests:
        assert len(sent["documents"]) == 20
        assert {len(document.split()) for document in sent["documents"]} == {100}


def test_a_service_that_answers_right_wrong_and_refuses(capfd, tmp_path):
    lock, seen = threading.Lock(), []

    def answer(asked):
        if asked.path != "/v2/rerank":
            return Answer(METRICS)
        with lock:
            seen.append(asked.body["query"])
            number = len(seen)
        if number > 22 + 30:  # the flood: two to warm up, twenty alone, thirty together
            return Answer({}, 429)
        time.sleep(0.001)
        return Answer({"results": []} if number == 22 + 7 else RIGHT)

    out = tmp_path / "load.json"
    with serve(answer, {}) as server:
        arguments = [server.url + "/", "--corpus", str(ISLANDS), "--requests", "30", "--clients", "4", "--flood", "6"]
        assert run(["benchmark", "service", *arguments, "--out", str(out)]) == 0
    said = capfd.readouterr().out.splitlines()
    content = json.loads(out.read_text(encoding="utf-8"))
    assert content["outcomes"] == {"right": 29, "wrong, status 200": 1}
    assert content["statuses"] == {"429": 6}
    assert len(content["refused"]) == 6
    assert len(content["seconds"]) == 20
    assert min(content["seconds"]) >= 0.001
    assert content["made_with"]["versions"]["ragshap"]
    assert said[0].startswith("one at a time: 0.0")
    assert said[3].startswith("6 at one moment: {429: 6}; refused in ")


def test_a_service_that_is_not_there(capfd):
    with serve(lambda asked: Answer({}), {}) as server:
        url = server.url
    assert run(["benchmark", "service", url, "--corpus", str(ISLANDS)]) == 1
    err = capfd.readouterr().err
    assert err.startswith(f"ragshap: {url}: ")
    assert "is `ragshap serve` running there?" in err


def test_memory_is_told_only_if_the_service_does():
    def answer(asked):
        return Answer(RIGHT if asked.path == "/v2/rerank" else "nothing")

    with serve(answer, {}) as server:
        load = benchmark_service(server.url, ISLANDS, requests=2, clients=1)
    assert load.to_dict()["memory_mb"] == [None, None]
    assert load.statuses == {}
    assert len(load.lines()) == 3
