"""A running service under load: latency, lost requests, memory and refusals.

The documents are 100-word runs of a corpus's text, 20 a request, those that BM25 finds for each of its questions.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from eval.benchmark.timing import machine
from rag.provenance import checksum, versions
from rag.questions import load_questions
from retrievers import BM25Retriever, Passage, load_corpus

_WORDS, _DOCUMENTS = 100, 20
_TIMEOUT = 600.0


@dataclass(frozen=True)
class ServiceLoad:
    """What a service did under load.

    Attributes:
        seconds: of each request alone.
        outcomes: how many of the requests of many clients at once came back "right" (as alone), and wrong, by status.
        clients: how many clients there were.
        together: seconds that these requests took in all.
        memory_mb: resident memory of the service, before and after; NaN if it does not say.
        refused: seconds until each 429 when more clients ask at one moment than may wait; empty if that was not tried.
        statuses: how many of those got which status.
        made_with: versions here, checksum of the corpus, and this machine, which need not be the service's.
    """

    seconds: tuple[float, ...]
    outcomes: dict[str, int]
    clients: int
    together: float
    memory_mb: tuple[float, float]
    refused: tuple[float, ...]
    statuses: dict[int, int]
    made_with: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers; memory that is not known is null."""
        memory = [None if np.isnan(size) else size for size in self.memory_mb]
        return {"format": "ragshap-service-load", "version": 1, **asdict(self), "memory_mb": memory}

    def lines(self) -> list[str]:
        """What is printed."""
        low, middle, high = np.percentile(self.seconds, [25, 50, 75])
        before, after = self.memory_mb
        lines = [
            f"one at a time: {middle:.2f} s ({low:.2f} to {high:.2f}, quartiles) of {len(self.seconds)}",
            f"{self.clients} clients: {self.outcomes} of {sum(self.outcomes.values())} in {self.together:.0f} s",
            f"memory: {before:.0f} MB before, {after:.0f} MB after",
        ]
        if self.statuses:
            refused = f"refused in {1000 * np.median(self.refused):.0f} ms" if self.refused else "none refused"
            most = f", at most {1000 * max(self.refused):.0f} ms" if self.refused else ""
            lines.append(f"{sum(self.statuses.values())} at one moment: {self.statuses}; {refused}{most}")
        return lines


def benchmark_service(
    url: str, corpus: str | Path, *, requests: int = 200, clients: int = 16, flood: int = 0
) -> ServiceLoad:
    """Send rerank requests alone, then many at once, then more than may wait.

    Args:
        url: of a running service that asks for no token.
        corpus: a BEIR folder with questions.
        requests: how many the clients send together.
        clients: how many send at once.
        flood: how many ask at one moment, more than the service's queue has places; 0 leaves that out.

    Raises:
        OSError: the service does not answer, or refuses.
        CorpusError, FileNotFoundError: the corpus cannot be read.
    """
    requested = requests_of(corpus)
    try:
        one_by_one(url, requested[:2])
        times, expected = one_by_one(url, requested)
        before = memory_mb(url)
        started = time.perf_counter()
        outcomes = together(url, requested, expected, requests, clients)
        seconds = time.perf_counter() - started
        after = memory_mb(url)
        refused, statuses = refusals(url, requested[0], flood) if flood else ([], Counter[int]())
    except httpx2.HTTPError as error:
        raise OSError(f"{url}: {error or type(error).__name__}; is `ragshap serve` running there?") from None
    made = {"versions": versions(), "files": {str(corpus): checksum(Path(corpus))}, "machine": machine()}
    memory = (before, after)
    return ServiceLoad(tuple(times), dict(outcomes), clients, seconds, memory, tuple(refused), dict(statuses), made)


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
        for request in requests:
            started = time.perf_counter()
            answer = http.post(f"{url}/v2/rerank", json=request)
            times.append(time.perf_counter() - started)
            results.append(answer.raise_for_status().json()["results"])
    return times, results


def together(
    url: str, requests: Sequence[dict[str, Any]], expected: Sequence[Any], count: int, clients: int
) -> Counter[str]:
    """How many of `count` requests from this many clients at once came back right, wrong or not at all."""
    limits = httpx2.Limits(max_connections=clients, max_keepalive_connections=clients)
    with httpx2.Client(timeout=_TIMEOUT, limits=limits) as http, ThreadPoolExecutor(clients) as pool:

        def send(number: int) -> str:
            place = number % len(requests)
            answer = http.post(f"{url}/v2/rerank", json=requests[place])
            right = answer.status_code == 200 and answer.json()["results"] == expected[place]
            return "right" if right else f"wrong, status {answer.status_code}"

        return Counter(pool.map(send, range(count)))


def refusals(url: str, request: dict[str, Any], clients: int) -> tuple[list[float], Counter[int]]:
    """Seconds until each 429, and all statuses, when this many clients ask at the same moment."""
    barrier = threading.Barrier(clients)

    def client(_: int) -> tuple[int, float]:
        with httpx2.Client(timeout=_TIMEOUT) as http:
            http.get(f"{url}/health")
            barrier.wait()
            started = time.perf_counter()
            status = http.post(f"{url}/v2/rerank", json=request).status_code
            return status, time.perf_counter() - started

    with ThreadPoolExecutor(clients) as pool:
        outcomes = list(pool.map(client, range(clients)))
    return [seconds for status, seconds in outcomes if status == 429], Counter(status for status, _ in outcomes)


def memory_mb(url: str) -> float:
    """Resident memory of the service."""
    text = httpx2.get(f"{url}/metrics").text
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.M)
    return float(found[1]) / 2**20 if found else float("nan")
