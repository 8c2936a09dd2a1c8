"""Two writers at once, a full disk, and readers of what is replaced."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.cli import run
from rag.service.saved import SavedExplanations
from retrievers import BM25Retriever, DenseRetriever, Passage, load_index
from retrievers.errors import BusyError, DiskFullError
from retrievers.storage.atomic import find_folder, new_folder, replace_file
from retrievers.storage.locks import writing

from ..rag.checkpoints import make_t5
from ..rag.training.conftest import towers  # noqa: F401
from .conftest import ISLANDS
from .scenarios import files

pytestmark = pytest.mark.slow

HOLD = "import time\nfrom retrievers.storage.locks import writing\nfrom pathlib import Path\n"


def commands(folder: Path, contexts: Path) -> dict[str, tuple[list[str], Path]]:
    """Commands that write into a folder, and what each holds."""
    few = ["--set", "attribution.budget=10", "--quiet"]
    own = ["evaluate", "qa", str(contexts), "--passages", "own", "--quiet"]
    out = folder / "out"
    return {
        "index": (["index", str(ISLANDS), "--out", str(out), "--quiet"], out),
        "rerank": (["rerank", str(contexts), "--depth", "4", *few, "--out", str(folder / "out.json")],
                   folder / "out.json"),
        "qa": ([*own, "-k", "1", "--out", str(folder / "out.json")], folder / "out.partial.jsonl"),
        "retrieval": (["evaluate", "retrieval", str(contexts), "--retriever", "own", "-k", "1", "--quiet", "--out",
                       str(out)], out / "questions.jsonl"),
        "attribution": (["evaluate", "attribution", str(contexts), "--passages", "own", "--depth", "4", "--budget",
                         "10", "--methods", "shapley", "--quiet", "--out", str(out)], out / "questions.jsonl"),
        "ask": (["ask", "When did Hekla last erupt?", "--corpus", str(ISLANDS), "-k", "3", "--budget", "10", "--quiet",
                 "--html", str(folder / "out.html")], folder / "out.html"),
    }  # fmt: skip


def train_command(folder: Path, data: Path) -> list[str]:
    settings = [
        "stages=[{steps: 4, questions: 2, negatives: 2, coalitions: 2}]", "warmup=2", "save_every=1",
        "bfloat16=false", "evaluation={every: 4, questions: 0, negatives: 1}", "max_block_tokens=64",
    ]  # fmt: skip
    given = [part for setting in settings for part in ("--set", setting)]
    return ["train", str(data), "--out", str(folder / "out"), "--start", str(make_t5(folder / "t5")), "--quiet", *given]


KINDS = ["index", "rerank", "qa", "retrieval", "attribution", "ask"]


@pytest.fixture(scope="module")
def three(contexts, tmp_path_factory) -> Path:
    """The first three of the questions."""
    path = tmp_path_factory.mktemp("three") / "questions.json"
    path.write_text(json.dumps(json.loads(contexts.read_text(encoding="utf-8"))[:3]), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", [*KINDS, "train"])
def test_the_second_writer_is_refused_and_a_killed_one_forgotten(kind, warm, three, towers, tmp_path, capfd):  # noqa: F811
    if kind == "train":
        command, held = train_command(tmp_path, towers), tmp_path / "out" / "checkpoint.safetensors"
    else:
        command, held = commands(tmp_path, three)[kind]
    held.parent.mkdir(exist_ok=True)
    lock = held.with_name(f".{held.name}.lock")
    first = warm.start({"code": f"{HOLD}with writing(Path({str(held)!r})):\n    time.sleep(600)"})
    first.wait_for(lock)
    while not lock.read_bytes():
        time.sleep(0.001)
    assert run(command) == 1
    said = capfd.readouterr().err
    assert f"{held} is being written by process {first.pid} on " in said
    assert "; wait for it or stop it" in said
    assert "Traceback" not in said
    assert not held.exists()
    assert first.kill()
    assert lock.exists(), "left by the kill"
    with writing(held):
        pass
    assert not lock.exists()


def test_a_lock_is_of_a_thread_and_does_not_outlive_it_in_children(tmp_path):
    target = tmp_path / "target"
    with writing(target):
        with writing(target):
            pass
        child = subprocess.Popen(["sleep", "60"])
        if not (forked := os.fork()):
            time.sleep(60)
            os._exit(0)
        try:
            met: list[BaseException] = []

            def second() -> None:
                try:
                    with writing(target):
                        pass
                except BusyError as error:
                    met.append(error)

            thread = threading.Thread(target=second)
            thread.start()
            thread.join()
            assert f"process {os.getpid()} on" in str(met[0])
        finally:
            time.sleep(0.05)  # the fork has closed its copy
    try:
        with writing(target):
            pass
    finally:
        child.kill()
        child.wait()
        os.kill(forked, 9)
        os.waitpid(forked, 0)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here; the limit on file sizes is tested instead")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, leave: int) -> None:
    state = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(max(0, state.f_bavail * state.f_bsize - leave)))


LEFT = {"index": 60_000, "rerank": 8192, "qa": 8192, "retrieval": 8192, "attribution": 8192, "ask": 8192,
        "train": 120_000}  # fmt: skip


@pytest.mark.parametrize("kind", [*KINDS, "train"])
def test_a_full_disk_is_one_line_and_leaves_the_old_state(kind, warm, three, towers, small_disk):  # noqa: F811
    command = train_command(small_disk, towers) if kind == "train" else commands(small_disk, three)[kind][0]
    if kind == "index":
        BM25Retriever([Passage("a", "old")]).save(small_disk / "out")
    if kind == "ask":
        (small_disk / "out.html").write_text("old")
    if kind == "train":
        (small_disk / "out").mkdir()
    fill(small_disk, LEFT[kind])
    before = files(small_disk)
    failed = warm.start({"arguments": command})
    assert failed.wait() == 1, failed.said
    assert "Traceback" not in failed.said
    line = failed.said.strip().splitlines()[-1]
    if kind == "index":  # foreseen: refused before anything is written
        assert line.startswith(f"ragshap: {small_disk / 'out'}: about 208 passages")
        assert "of disk space is free" in line
    else:
        assert line.startswith(f"ragshap: cannot write {small_disk}")
        assert "the disk is full" in line
        assert f"MiB free in {small_disk}" in line
    assert not list(small_disk.rglob(".*")), "nothing temporary is left"
    if kind in ("index", "ask"):
        assert files(small_disk) == before
    (small_disk / "filler").unlink()
    warm.run({"arguments": command})


def test_a_full_disk_leaves_an_index_that_is_added_to(small_disk):
    target = small_disk / "index"
    BM25Retriever([Passage("a", "old")]).save(target)
    fill(small_disk, 40_000)
    before = files(target)
    retriever = load_index(target)
    retriever.add([Passage(f"new-{n}", f"word{n} " * 40) for n in range(300)])
    with pytest.raises(DiskFullError, match="what was there before is as it was; make room"):
        retriever.save(target)
    assert files(target) == before
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "index"]


@pytest.mark.parametrize(("kind", "limit"), [("rerank", 2000), ("ask", 2000)])
def test_a_limit_on_file_sizes_is_the_same(kind, limit, warm, three, tmp_path):
    failed = warm.start({"arguments": commands(tmp_path, three)[kind][0], "file_bytes": limit})
    assert failed.wait() == 1
    said = failed.log.read_text(encoding="utf-8").strip().splitlines()[-1]
    assert said.startswith(f"ragshap: cannot write {tmp_path}")
    assert "or a quota or limit is reached" in said
    assert not list(tmp_path.rglob(".*"))


def test_libraries_that_hide_the_reason_are_understood(small_disk):
    import faiss
    from safetensors.numpy import save_file

    fill(small_disk, 50_000)
    large = np.zeros((1000, 100), dtype=np.float32)
    flat = faiss.IndexFlatIP(100)
    flat.add(large)
    for write in (
        lambda path: save_file({"a": large}, path),
        lambda path: np.save(path, large),
        lambda path: faiss.write_index(flat, str(path)),
        lambda path: path.write_bytes(large.tobytes()),
    ):
        with (
            pytest.raises(DiskFullError, match=r"cannot write .*target\.npy: the disk is full"),
            replace_file(small_disk / "target.npy") as temporary,
        ):
            write(temporary)
        assert [path.name for path in small_disk.iterdir()] == ["filler"]


@pytest.mark.parametrize("kind", ["bm25", "dense"])
@pytest.mark.parametrize("exchanged", [True, False])
def test_a_reader_goes_on_with_the_index_that_it_opened(kind, exchanged, tmp_path, monkeypatch):
    if not exchanged:
        monkeypatch.setattr("retrievers.storage.atomic.exchange", lambda one, other: False)
    words = ["harbour", "glacier", "whale", "ferry"]
    passages = [Passage(f"p{n}", f"{words[n % 4]} number {n}") for n in range(12)]

    def save(some: list[Passage]) -> None:
        retriever = BM25Retriever() if kind == "bm25" else DenseRetriever()
        retriever.add(some)
        retriever.save(tmp_path / "index")

    save(passages[:8])
    opened = load_index(tmp_path / "index")
    before = opened.search("whale number 2", 8)
    save(passages[8:])
    assert opened.search("whale number 2", 8) == before
    assert [passage.id for passage in opened.passages] == [passage.id for passage in passages[:8]]
    assert {hit.passage.id for hit in load_index(tmp_path / "index").search("whale number 2", 8)} <= {
        passage.id for passage in passages[8:]
    }
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_an_index_replaced_while_it_is_opened_is_opened_again(tmp_path, monkeypatch):
    old, new = [Passage("old", "text")], [Passage(f"new{n}", "other text") for n in range(3)]
    BM25Retriever(old).save(tmp_path / "index")
    original, again = BM25Retriever.load.__func__, []

    def load(cls, folder, **options):
        found = original(cls, folder, **options)
        if not again:
            again.append(1)
            BM25Retriever(new).save(folder)
        return found

    monkeypatch.setattr(BM25Retriever, "load", classmethod(load))
    assert [passage.id for passage in load_index(tmp_path / "index").passages] == ["new0", "new1", "new2"]


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_kill_before_any_step_leaves_one_of_the_two(exchanged, warm, tmp_path):
    """Killed before its first, second, … call of the file system, as Python's audit events tell them."""
    target = tmp_path / "place" / "target"
    code = f"""
import ctypes, os, sys
from pathlib import Path
import retrievers.storage.atomic as folders
if not {exchanged}:
    folders.exchange = lambda one, other: False
left = [LIMIT]
def count(event, given):
    if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree") and any(
        "/place/" in str(one) for one in given if isinstance(one, (str, bytes, os.PathLike))):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), 9)
sys.addaudithook(count)
with folders.new_folder(Path({str(target)!r})) as building:
    for name in "ab":
        (building / name).write_text("new")
"""
    met = set()
    for step in range(1, 100):
        target.parent.mkdir()
        with new_folder(target) as building:
            (building / "a").write_text("old")
        running = warm.start({"code": code.replace("LIMIT", str(step))})
        status = running.wait()
        assert find_folder(target)
        found = files(target)
        assert found in ({"a": b"old"}, {"a": b"new", "b": b"new"})
        met.add(len(found))
        with new_folder(target) as building:
            (building / "c").write_text("next")
        assert [path.name for path in target.parent.iterdir()] == ["target"]
        (target / "c").unlink()
        target.rmdir()
        target.parent.rmdir()
        if status == 0:
            break
        assert status == -9, running.said
    assert step > 8
    assert met == {1, 2}


def test_left_overs_of_killed_services_go_but_not_those_of_living_ones(tmp_path):
    dead, living = "0" * 24, "1" * 24
    for name in (dead, living):
        (tmp_path / f".{name}.tmp.json").write_text("half")
    (tmp_path / f".{dead}.json.lock").write_text(json.dumps({}))
    (tmp_path / ".gitignore").write_text("*")

    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with writing(tmp_path / f"{living}.json"):
            held.set()
            go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    SavedExplanations(tmp_path, 5)
    names = {path.name for path in tmp_path.iterdir()}
    go.set()
    thread.join()
    assert names == {".gitignore", f".{living}.tmp.json", f".{living}.json.lock"}
