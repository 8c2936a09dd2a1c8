"""How a running service bears load: `python -m eval.service_load URL` prints latency, losses, memory and refusals.

The documents are 100-word runs of a corpus's text, 20 a request, those that BM25 finds for each of its questions.
"""

from __future__ import annotations

import argparse
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from rag.questions import load_questions
from retrievers import BM25Retriever, Passage, load_corpus

_WORDS, _DOCUMENTS = 100, 20
_TIMEOUT = 600.0


def requests_of(folder: str | Path, most: int = 20) -> list[dict[str, Any]]:
    """Rerank requests for the questions of a BEIR folder."""
    words = [word for passage in load_corpus(folder) for word in passage.full_text.split()]
    runs = [" ".join(words[i : i + _WORDS]) for i in range(0, len(words) - _WORDS, _WORDS)]
    retriever = BM25Retriever()
    retriever.add(Passage(str(place), text) for place, text in enumerate(runs))
    questions = load_questions([folder]).questions[:most]
    return [
        {
            "model": "ragshap",
            "query": question.text,
            "documents": [hit.passage.text for hit in retriever.search(question.text, _DOCUMENTS)],
        }
        for question in questions
    ]


def one_by_one(url: str, requests: Sequence[dict[str, Any]]) -> tuple[list[float], list[Any]]:
    """Seconds and results of each request alone."""
    times, results = [], []
    with httpx2.Client(timeout=_TIMEOUT) as http:
        for sent in requests:
            started = time.perf_counter()
            answer = http.post(f"{url}/v2/rerank", json=sent)
            times.append(time.perf_counter() - started)
            results.append(answer.raise_for_status().json()["results"])
    return times, results


def together(
    url: str, requests: Sequence[dict[str, Any]], expected: Sequence[Any], count: int, clients: int
) -> Counter[str]:
    """How many of `count` requests from so many clients at once came back right, wrong or not at all."""
    numbers = iter(range(count))
    lock = threading.Lock()

    def client(_: int) -> list[str]:
        found: list[str] = []
        with httpx2.Client(timeout=_TIMEOUT) as http:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return found
                place = number % len(requests)
                answer = http.post(f"{url}/v2/rerank", json=requests[place])
                right = answer.status_code == 200 and answer.json()["results"] == expected[place]
                found.append("right" if right else f"wrong, status {answer.status_code}")

    with ThreadPoolExecutor(clients) as pool:
        return Counter(outcome for outcomes in pool.map(client, range(clients)) for outcome in outcomes)


def refusals(url: str, sent: dict[str, Any], clients: int) -> tuple[list[float], Counter[int]]:
    """Seconds until each 429, and all statuses, when so many clients ask at the same moment."""
    barrier = threading.Barrier(clients)

    def client(_: int) -> tuple[int, float]:
        with httpx2.Client(timeout=_TIMEOUT) as http:
            http.get(f"{url}/health")
            barrier.wait()
            started = time.perf_counter()
            status = http.post(f"{url}/v2/rerank", json=sent).status_code
            return status, time.perf_counter() - started

    with ThreadPoolExecutor(clients) as pool:
        outcomes = list(pool.map(client, range(clients)))
    return [seconds for status, seconds in outcomes if status == 429], Counter(status for status, _ in outcomes)


def memory_mb(url: str) -> float:
    """Resident memory of the service."""
    text = httpx2.get(f"{url}/metrics").text
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.M)
    return float(found[1]) / 2**20 if found else float("nan")


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="eval.service_load", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--corpus", default="examples/islands", help="a BEIR folder with questions")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--flood", type=int, default=0, help="clients at one moment, more than the queue has places")
    given = parser.parse_args(arguments)
    requests = requests_of(given.corpus)
    one_by_one(given.url, requests[:2])
    times, expected = one_by_one(given.url, requests)
    low, middle, high = np.percentile(times, [25, 50, 75])
    _say(f"one at a time: {middle:.2f} s ({low:.2f} to {high:.2f}, quartiles) of {len(requests)}")
    before = memory_mb(given.url)
    started = time.perf_counter()
    outcomes = together(given.url, requests, expected, given.requests, given.clients)
    seconds = time.perf_counter() - started
    _say(f"{given.clients} clients: {dict(outcomes)} of {given.requests} in {seconds:.0f} s")
    _say(f"memory: {before:.0f} MB before, {memory_mb(given.url):.0f} MB after")
    if given.flood:
        refused, statuses = refusals(given.url, requests[0], given.flood)
        median, most = (1000 * np.median(refused), 1000 * max(refused)) if refused else (float("nan"),) * 2
        _say(f"{given.flood} at one moment: {dict(statuses)}; refused in {median:.0f} ms, at most {most:.0f} ms")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
