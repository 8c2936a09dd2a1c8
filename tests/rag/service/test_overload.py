"""More requests than can be served: the queue, the time limit, clients that go, a service that ends."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from rag import Pipeline

from .conftest import FERRY, TOWNS, Live, SlowReader

SENT = {"model": "m", "query": "where?", "documents": [passage.text for passage in TOWNS]}


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
