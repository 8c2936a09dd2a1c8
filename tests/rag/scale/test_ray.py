"""Work on a Ray cluster of several nodes: as here, whatever dies, and errors in one line."""

from __future__ import annotations

import json
import operator
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from rag.cli import run
from rag.offline import ContextsTask, rerank_file
from rag.scale import RayExecutor
from rag.settings_base import SettingsError

from .job import by_length

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
ISLANDS = ROOT / "examples" / "islands"
JOB = Path(__file__).with_name("job.py")


def on(cluster: Any, workers: int) -> list[str]:
    return ["--engine", "ray", "--address", cluster.address, "--workers", str(workers)]


def test_results_come_in_order_and_each_once(cluster):
    found = RayExecutor(cluster.address).map(partial(operator.methodcaller, "upper"), map("a{}".format, range(30)))
    assert list(found) == [f"A{n}" for n in range(30)]


@pytest.mark.parametrize(
    ("worker", "error", "message"),
    [
        (partial(partial, open), FileNotFoundError, "nowhere"),
        (partial(open, "nothing-to-load"), FileNotFoundError, "nothing-to-load"),
        (partial(partial, os._exit), ChildProcessError, "lost 3 times in a row"),
    ],
)
def test_an_error_of_a_worker_is_raised_here_as_it_was(cluster, capfd, worker, error, message):
    item = 9 if error is ChildProcessError else "nowhere"
    with pytest.raises(error, match=message):
        list(RayExecutor(cluster.address, 1).map(worker, [item]))
    assert "Traceback" not in capfd.readouterr().err


def test_what_the_cluster_cannot_give_is_said(cluster):
    with pytest.raises(SettingsError, match=r"--workers 3: the cluster has 2 CPUs"):
        list(RayExecutor(cluster.address, 3).map(partial(operator.methodcaller, "upper"), ["a"]))
    with pytest.raises(SettingsError, match="needs GPUs"):
        list(RayExecutor(cluster.address, 1, gpu=True).map(partial(operator.methodcaller, "upper"), ["a"]))
    with pytest.raises(ConnectionError, match=r"no Ray cluster lets us in at 127\.0\.0\.1:9 "):
        list(RayExecutor("127.0.0.1:9").map(partial(operator.methodcaller, "upper"), ["a"]))


def test_reranking_by_two_workers_is_that_of_one_process(cluster, tmp_path, capfd):
    queries = (ISLANDS / "queries.jsonl").read_text(encoding="utf-8").splitlines()[:6]
    (tmp_path / "queries.jsonl").write_text("\n".join(queries), encoding="utf-8")
    # Log-probabilities would show a difference in the last digits.
    command = ["rerank", "--queries", str(tmp_path / "queries.jsonl"), "--corpus", str(ISLANDS), "--depth", "4",
               "--set", "attribution.utility=likelihood", "--quiet", "--out"]  # fmt: skip
    assert run([*command, str(tmp_path / "local.trec")]) == 0
    assert run([*command, str(tmp_path / "ray.trec"), *on(cluster, 2)]) == 0, capfd.readouterr().err
    assert (tmp_path / "ray.trec").read_bytes() == (tmp_path / "local.trec").read_bytes()
    assert len((tmp_path / "ray.trec").read_text().splitlines()) == 6 * 4


def test_a_dense_index_encoded_elsewhere_is_that_of_one_process(cluster, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("retrievers.dense.retriever._SLAB", 16)
    lines = (ISLANDS / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    command = ["index", str(tmp_path / "corpus.jsonl"), "--kind", "dense", "--quiet", "--out"]
    assert run([*command, str(tmp_path / "local")]) == 0
    assert run([*command, str(tmp_path / "ray"), *on(cluster, 1)]) == 0, capfd.readouterr().err
    assert files(tmp_path / "local") == files(tmp_path / "ray")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def state(out: Path) -> int:
    """Questions written so far."""
    path = out.with_name(f"{out.name}.progress.json")
    return json.loads(path.read_text())["questions"] if path.exists() else 0


def wait_for(out: Path, process: subprocess.Popen, questions: int) -> None:
    end = time.monotonic() + 180
    while state(out) < questions:
        assert process.poll() is None, "the job ended"
        assert time.monotonic() < end, f"{state(out)} of {questions} questions"
        time.sleep(0.02)


def test_nothing_is_lost_or_done_twice_whatever_dies(cluster, tmp_path):
    """A worker process, a node, and then the command itself are killed; the command is given again."""
    contexts = [{"id": str(n), "text": "x" * (1 + 7 * n % 5)} for n in range(5)]
    entries = [{"question": f"question {n}", "answers": [], "ctxs": contexts[n % 3 :]} for n in range(120)]
    (tmp_path / "in.json").write_text(json.dumps(entries))
    told = rerank_file(ContextsTask(tmp_path / "in.json", 5), lambda: by_length(0), tmp_path / "local.json", {})
    out = tmp_path / "ray.json"

    def start() -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, str(JOB), cluster.address, str(tmp_path / "in.json"), str(out)], cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=(tmp_path / "told.txt").open("w"),
            stderr=(tmp_path / "said.txt").open("w"))  # fmt: skip

    process = start()
    wait_for(out, process, 3)
    first, second = sorted(cluster.worker_nodes, key=lambda node: node.node_id)
    (worker,) = workers_of(first)
    worker.kill()
    wait_for(out, process, state(out) + 5)
    assert len(workers_of(second)) == 1
    cluster.remove_node(second, allow_graceful=False)
    wait_for(out, process, state(out) + 5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < state(out) < len(entries), "killed midway"
    assert not out.exists()
    assert start().wait(180) == 0, (tmp_path / "said.txt").read_text()
    assert out.read_bytes() == (tmp_path / "local.json").read_bytes()
    assert (tmp_path / "told.txt").read_text().splitlines()[-1] == str(told)
    assert [entry["question"] for entry in json.loads(out.read_text())] == [entry["question"] for entry in entries]


def workers_of(node: Any) -> list[psutil.Process]:
    """The processes in which a node's actors work."""
    (raylet,) = node.all_processes["raylet"]
    return [one for one in psutil.Process(raylet.process.pid).children() if "MapWorker" in " ".join(one.cmdline())]
