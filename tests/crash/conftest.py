"""A warm process whose forks run commands, to be killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ISLANDS = ROOT / "examples" / "islands"


class Running:
    """A fork at work."""

    def __init__(self, process: subprocess.Popen, order: dict):
        self._process, self.log = process, Path(order["log"])
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        self.pid = int(process.stdout.readline())
        self._status: list[int] = []
        self._waiter = threading.Thread(target=lambda: self._status.append(int(process.stdout.readline())))
        self._waiter.start()

    @property
    def is_running(self) -> bool:
        return self._waiter.is_alive()

    def kill(self) -> bool:
        """Kill -9; whether it was still running."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return self.wait() == -signal.SIGKILL

    def wait(self) -> int:
        """Exit code, or the negative number of the signal."""
        self._waiter.join()
        return os.waitstatus_to_exitcode(self._status[0])

    def wait_for(self, path: Path) -> None:
        """Until the file is there, or the process has ended."""
        while self.is_running and not path.exists():
            time.sleep(0.001)

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


class Warm:
    """Starts forks, one after another."""

    def __init__(self, folder: Path):
        self._log, self._numbers = folder, iter(range(10**9))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "COLUMNS": "500"}
        command = [sys.executable, str(Path(__file__).with_name("warm.py"))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                                        env=environment)  # fmt: skip
        assert self.process.stdout.readline() == "ready\n"

    def start(self, order: dict) -> Running:
        return Running(self.process, {"log": str(self._log / f"{next(self._numbers)}.log"), **order})

    def run(self, order: dict) -> Running:
        """Start and wait; it must end well."""
        running = self.start(order)
        assert running.wait() == 0, running.said
        return running


@pytest.fixture(scope="session")
def warm(tmp_path_factory) -> Iterator[Warm]:
    started = Warm(tmp_path_factory.mktemp("logs"))
    yield started
    started.process.stdin.close()
    started.process.wait()


@pytest.fixture(scope="session")
def contexts(tmp_path_factory) -> Path:
    """Twelve of the example questions with four passages each, as DPR/FiD JSON."""
    corpus = [json.loads(line) for line in (ISLANDS / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    queries = [json.loads(line) for line in (ISLANDS / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    entries = []
    for place, query in enumerate(queries[:12]):
        answers = query["metadata"]["answers"]
        gold = [one for one in corpus if any(answer in one["text"] for answer in answers)][:1]
        passages = [*corpus[3 * place : 3 * place + 3], *gold]
        entries.append({
            "question": query["text"], "answers": answers,
            "ctxs": [{"id": f"{place}-{n}", "title": one["title"], "text": one["text"][:300], "score": -n,
                      "has_answer": one in gold} for n, one in enumerate(passages)],
        })  # fmt: skip
    path = tmp_path_factory.mktemp("contexts") / "questions.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path
