"""Small files that would become large: refused within a bound of memory, each in a process of its own."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

resource = pytest.importorskip("resource", reason="limits of a process are POSIX")

MOST = 900 * 2**20  # bytes beyond what the process held before it read, of a file of 2 GiB
PROGRAM = """
import resource, sys
from pathlib import Path
from rag.questions import load_questions
from rag.offline import ContextsTask
from retrievers import load_corpus
from retrievers.corpora.trec import read_run
path = Path(sys.argv[2])
read = {"corpus": lambda: list(load_corpus(path)), "questions": lambda: load_questions([path]),
        "contexts": lambda: ContextsTask(path, 1), "run": lambda: read_run(path)}[sys.argv[1]]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read()
except ValueError as error:
    print(type(error).__name__, str(error)[:300])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.fixture(scope="module")
def bomb(tmp_path_factory) -> Path:
    """2 GiB without a line end in about 2 MB, after what begins like JSON."""
    path = tmp_path_factory.mktemp("bomb") / "bomb.gz"
    zeros = gzip.compress(b"a" * 2**24)
    with path.open("wb") as file:
        file.write(gzip.compress(b'[{"question": "'))
        for _ in range(128):
            file.write(zeros)
    assert path.stat().st_size < 4 * 10**6
    return path


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("corpus", "c.jsonl.gz"),
        ("corpus", "c.json.gz"),
        ("questions", "q.json.gz"),
        ("contexts", "q.json.gz"),
        ("run", "r.trec.gz"),
    ],
)
def test_gzip_bombs(bomb, what, name):
    path = bomb.with_name(name)
    if not path.exists():
        path.hardlink_to(bomb)
    done = subprocess.run([sys.executable, "-c", PROGRAM, what, str(path)], capture_output=True, text=True, timeout=120)
    said, grown = done.stdout.splitlines()
    assert said.startswith("CorpusError"), done.stderr
    assert "MiB" in said
    assert int(grown) < MOST
