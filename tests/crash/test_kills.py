"""Kill -9 at random moments while something is written; then all is as before or as after, and work goes on.

A kill falls uniformly into the time in which an unkilled run holds its lock, which is from the first write to the last.
`RAGSHAP_KILLS=100 python -m pytest tests/crash/test_kills.py -s` kills a hundred times in all.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import threading
import time
from pathlib import Path

import httpx2
import pytest

from retrievers import BM25Retriever, load_corpus

from ..rag.checkpoints import make_t5
from ..rag.training.conftest import towers  # noqa: F401
from . import scenarios
from .conftest import ISLANDS, Running, Warm
from .scenarios import Scenario

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("RAGSHAP_KILLS", "0"))
SHARES = {"index": 15, "add": 25, "rerank": 12, "qa": 10, "retrieval": 10, "attribution": 8, "train": 10, "serve": 10}
FEW = {"index": 2, "add": 2, "rerank": 1, "train": 1}
"""What the ordinary run of the tests kills."""
survived: dict[str, int] = {}
while_writing: dict[str, int] = {}


def share(name: str) -> int:
    """How often a scenario is killed."""
    if not KILLS:
        return FEW.get(name, 0)
    names = list(SHARES)
    before = sum(SHARES[other] for other in names[: names.index(name)])
    return round(KILLS * (before + SHARES[name]) / 100) - round(KILLS * before / 100)


@pytest.fixture(scope="module", autouse=True)
def _report():
    yield
    if KILLS:
        print(f"\n{sum(survived.values())} of {KILLS} survived ({survived}; while a lock was held: {while_writing})")  # noqa: T201


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> tuple:
    return scenarios.corpus_files(tmp_path_factory.mktemp("corpora"), ISLANDS)


@pytest.fixture
def scenario(request, corpora, contexts, tmp_path) -> Scenario:
    passages, first, second = corpora
    match request.param:
        case "index":
            for path in (first, second):
                BM25Retriever(load_corpus(path)).save(tmp_path / f"{path.stem}.index")
            return scenarios.replaced_index(tmp_path / "first.index", second, tmp_path / "second.index")
        case "add":
            return scenarios.growing_index(passages[:100])
        case "rerank":
            return scenarios.rerank(contexts)
        case "qa":
            return scenarios.qa(contexts)
        case "retrieval":
            more = ["--retriever", "own", "--rerank", "shapley,relevance", "--depth", "4", "-k", "1"]
            return scenarios.evaluation("retrieval", contexts, *more, "--set", "attribution.budget=10")
        case "attribution":
            more = ["--passages", "own", "--depth", "4", "--budget", "10", "--methods", "shapley,relevance"]
            return scenarios.evaluation("attribution", contexts, *more, "--set", "coalitions=8")
        case _:
            return scenarios.train(request.getfixturevalue("towers"), make_t5(tmp_path / "t5"))


@pytest.mark.parametrize("scenario", [name for name in SHARES if name != "serve"], indirect=True)
def test_killed_at_any_moment(scenario, warm, tmp_path):
    kills = share(scenario.name)
    if not kills:
        pytest.skip("set RAGSHAP_KILLS=100 to kill this too")
    seconds, expected = unkilled(scenario, warm, tmp_path / "whole")
    moments = random.Random(scenario.name)
    done = writing = lives = 0
    while done < kills:
        lives += 1
        assert lives < 20 + 10 * kills, "it ends before it is killed"
        folder = tmp_path / f"life-{lives}"
        scenario.prepare(folder)
        kept = b""
        while done < kills:
            running = warm.start(scenario.order(folder))
            running.wait_for(scenario.lock(folder))
            time.sleep(moments.uniform(0, seconds))
            if not running.kill():
                assert running.wait() == 0, running.said
                break
            done += 1
            writing += scenario.lock(folder).exists()
            scenario.check(folder)
            kept = scenario.kept(folder)
        warm.run(scenario.order(folder))
        assert scenario.result(folder) == expected
        assert scenario.records(folder).startswith(kept), "what was done is not done again"
        assert not list(folder.rglob(".*")), "the next writer clears up"
        shutil.rmtree(folder)
    survived[scenario.name], while_writing[scenario.name] = done, writing


def unkilled(scenario: Scenario, warm: Warm, folder: Path) -> tuple[float, object]:
    """How long a run writes, and what it comes to."""
    scenario.prepare(folder)
    running = warm.start(scenario.order(folder))
    running.wait_for(scenario.lock(folder))
    started = time.monotonic()
    assert running.wait() == 0, running.said
    seconds = time.monotonic() - started
    assert scenario.finished(folder)
    return seconds, scenario.result(folder)


def test_a_killed_service_keeps_whole_explanations(warm, tmp_path):
    kills = share("serve")
    if not kills:
        pytest.skip("set RAGSHAP_KILLS=100 to kill this too")
    moments, writing = random.Random("serve"), 0
    for _ in range(kills):
        running = warm.start({"arguments": serve(tmp_path / "kept")})
        given = ask_on(running)
        running.wait_for(tmp_path / "kept")
        while running.is_running and not given:
            time.sleep(0.001)
        while running.is_running and not list((tmp_path / "kept").glob(".*.lock")):
            time.sleep(0.0002)
        time.sleep(moments.uniform(0, 0.002))
        assert running.kill(), running.said
        left = [path for path in (tmp_path / "kept").iterdir() if path.name.startswith(".")]
        writing += bool(left)
        for path in (tmp_path / "kept").glob("[0-9a-f]*.json"):
            assert json.loads(path.read_text(encoding="utf-8"))["question"]
        for name in given[-3:]:
            assert (tmp_path / "kept" / f"{name}.json").exists(), "what was answered for is kept"
    running = warm.start({"arguments": serve(tmp_path / "kept")})
    assert ask_on(running, most=5)
    names = [path.name for path in (tmp_path / "kept").iterdir()]
    running.kill()
    assert len(names) == 5
    assert not [name for name in names if name.startswith(".")]
    survived["serve"], while_writing["serve"] = kills, writing


def serve(folder: Path) -> list[str]:
    given = [f"service.explanations={folder}", "service.keep=5", "threads=1", "attribution.budget=4"]
    return ["serve", "--port", "0", "--quiet", *(part for setting in given for part in ("-s", setting))]


def ask_on(running: Running, most: int = 0) -> list[str]:
    """Have explanations made until the service is gone, or `most` of them; returns their names as they come."""
    while running.is_running and not (found := re.search(r"http://127\.0\.0\.1:\d+", running.said)):
        time.sleep(0.02)
    assert found, running.said
    given: list[str] = []
    sent = {"question": "How high is it?", "passages": [{"id": str(n), "text": f"It is {n} m high."} for n in (3, 4)]}

    def ask() -> None:
        while not most or len(given) < most:
            try:
                answer = httpx2.post(f"{found[0]}/explain", json=sent, timeout=60)
            except httpx2.TransportError:
                if not running.is_running:
                    return
                time.sleep(0.02)
                continue
            given.append(answer.json()["id"])

    asker = threading.Thread(target=ask)
    asker.start()
    if most:
        asker.join()
    return given
