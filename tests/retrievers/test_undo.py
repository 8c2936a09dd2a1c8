"""Failures injected at every step of every change: a retriever is as it was before, or as it was to become.

A step is an entry into the encoder, a call of the operating system that writes, or a report of progress. What a
retriever answers after a failure is held against a copy on which the change was never tried, and, when the change is
tried again, against one on which it went through at once.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrievers import BM25Retriever, DenseRetriever, Hit, HybridRetriever, Passage
from retrievers.bm25 import scorers
from retrievers.corpora.stream import add_stream
from retrievers.dense import retriever as dense_retriever
from retrievers.dense import vectors
from retrievers.dense.vector_index import HNSWIndex, IVFPQIndex
from retrievers.storage import passage_store
from retrievers.storage.passage_store import PassageStore

from .search_engines.engines import WordEncoder

pytestmark = pytest.mark.slow

faiss = pytest.importorskip("faiss", reason="dense retrieval needs faiss-cpu")

WORDS = ["harbour", "glacier", "whale", "ferry", "volcano", "eider", "cod", "moss", "basalt", "geyser"]
PASSAGES = [
    Passage(f"p{n}", f"{WORDS[n % 10]} {WORDS[n // 3 % 10]} {WORDS[n * n % 7]} number{n}", WORDS[n % 4])
    for n in range(60)
]
QUERIES = ["harbour glacier", "whale number4", "ferry cod", "moss basalt geyser", "number33 eider"]
REMOVED = [f"p{n}" for n in range(0, 30)]
Change = Callable[[Any, Path], object]


class BrokenError(Exception):
    """What the encoder and the callback raise."""


class Steps:
    """Counts steps, and lets one of them fail."""

    def __init__(self) -> None:
        self.done, self.failing = 0, 0
        self.error: Exception = BrokenError()

    def step(self) -> None:
        self.done += 1
        if self.done == self.failing:
            raise self.error

    @contextmanager
    def at(self, failing: int) -> Iterator[None]:
        self.done, self.failing = 0, failing
        try:
            yield
        finally:
            self.failing = 0


class SteppedEncoder(WordEncoder):
    """Every text that is encoded is a step."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    def encode_documents(self, texts: list[str], batch_size: int) -> np.ndarray:
        self.steps.step()
        return super().encode_documents(texts, batch_size)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        self.steps.step()
        return super().encode_queries(texts)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Bounds so low that few passages exceed them, and an operating system whose every write is a step."""
    steps = Steps()
    monkeypatch.setattr(passage_store, "_FULL", 500)
    monkeypatch.setattr(scorers, "_FULL", 40)
    monkeypatch.setattr(vectors, "_FULL", 16)
    monkeypatch.setattr(dense_retriever, "_SLAB", 8)

    def stepped(owner: Any, name: str, *, only_writing: bool = False) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            if not only_writing or "w" in str(args[1:2]):
                steps.step()
            return original(*args, **options)

        monkeypatch.setattr(owner, name, call)

    stepped(np, "save")
    for name in ("mkdir", "write_text", "rename"):
        stepped(Path, name)
    for name in ("fsync", "rename", "replace"):
        stepped(os, name)
    stepped(faiss, "write_index")
    for owner, name in ((Path, "open"), (np.lib.format, "open_memmap")):
        stepped(owner, name, only_writing=True)
    return steps


def make(kind: str, steps: Steps, passages: Sequence[Passage]) -> Any:
    if kind in ("bm25s", "rank-bm25"):
        return BM25Retriever(passages, engine=kind)
    if kind == "hybrid":
        return HybridRetriever([make("bm25s", steps, passages), make("flat", steps, passages)])
    return DenseRetriever(passages, encoder=SteppedEncoder(steps), index=kind)


def load(kind: str, steps: Steps, folder: Path) -> Any:
    if kind in ("bm25s", "rank-bm25"):
        return BM25Retriever.load(folder)
    if kind == "hybrid":
        first, second = sorted(path for path in folder.iterdir() if path.is_dir())
        return HybridRetriever([load("bm25s", steps, first), load("flat", steps, second)])
    return DenseRetriever.load(folder, encoder=SteppedEncoder(steps))


def answers(retriever: Any) -> tuple[list[str], list[list[Hit]], Any]:
    found = [retriever.search(query, 100) for query in QUERIES] + retriever.search_many(QUERIES, 7)
    recall = None if getattr(retriever, "recall", None) is None else retriever.recall.recall
    return [p.id for p in retriever.passages], found, recall


def assert_alike(one: Any, other: Any) -> None:
    assert_answers(one, answers(other))


def assert_answers(retriever: Any, wanted_answers: tuple[list[str], list[list[Hit]], Any]) -> None:
    (ids, found, recall), (other_ids, expected, other_recall) = answers(retriever), wanted_answers
    assert (ids, recall) == (other_ids, other_recall)
    for hits, wanted in zip(found, expected, strict=True):
        assert [hit.passage.id for hit in hits] == [hit.passage.id for hit in wanted]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in wanted], abs=1e-6)


def add(retriever: Any, folder: Path) -> None:
    retriever.add(PASSAGES[40:])


def remove(retriever: Any, folder: Path) -> None:
    retriever.remove(REMOVED[:3])


def save(retriever: Any, folder: Path) -> None:
    retriever.save(folder / "index")


def stream(retriever: Any, folder: Path) -> None:
    with retriever.saving(folder / "index"):
        add_stream(retriever, iter(PASSAGES[40:]))


CHANGES: list[Change] = [add, remove, save, stream]
KINDS = ["bm25s", "rank-bm25", "flat", "hnsw", "ivfpq", "hybrid"]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("opened", [False, True], ids=["in memory", "opened"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_change_changes_nothing(kind: str, opened: bool, change: Change, steps: Steps, tmp_path: Path) -> None:
    def before(folder: Path) -> Any:
        """Most of 40 passages were removed, so that a save leaves the removed ones out."""
        retriever = make(kind, steps, PASSAGES[:30])
        if opened:
            retriever.save(folder / "index")
            retriever = load(kind, steps, folder / "index")
        retriever.add(PASSAGES[30:40])
        retriever.remove(REMOVED[3:])
        return retriever

    folders = [tmp_path / name for name in ("changed", "untouched", "after")]
    for folder in folders:
        folder.mkdir()
    retriever, untouched, after = map(before, folders)
    with steps.at(0):
        change(after, folders[2])
        n_steps = steps.done
    on_disk, unchanged = files(folders[0]), answers(untouched)
    for failing in range(1, n_steps + 1):
        steps.error = [BrokenError(), OSError(errno.ENOSPC, "No space left on device")][failing % 2]
        with steps.at(failing), pytest.raises((BrokenError, OSError)):
            change(retriever, folders[0])
        if files(folders[0]) != on_disk:  # only the wait for the disk after the exchange of the folders failed
            assert failing == n_steps
            break
        assert_answers(retriever, unchanged)
    change(retriever, folders[0])
    assert_alike(retriever, after)
    if change in (save, stream):
        assert_alike(load(kind, steps, folders[0] / "index"), after)


@pytest.mark.parametrize("kind", KINDS)
def test_an_addition_that_failed_while_saving_may_be_tried_again(kind: str, steps: Steps, tmp_path: Path) -> None:
    at_once = make(kind, steps, [])
    with at_once.saving(tmp_path / "at once"):
        for start in range(0, 60, 20):
            at_once.add(PASSAGES[start : start + 20])
        with steps.at(0):
            at_once.remove(["p3"])
    retriever = make(kind, steps, [])
    n_failures = 0
    with retriever.saving(tmp_path / "index"):
        for start in range(0, 60, 20):
            for failing in range(1, 100):
                with steps.at(failing):
                    try:
                        retriever.add(PASSAGES[start : start + 20])
                        break
                    except BrokenError:
                        n_failures += 1
                        assert len(retriever) == start
        retriever.remove(["p3"])
    assert n_failures > 0 or kind == "rank-bm25"
    assert_alike(retriever, at_once)
    assert_alike(load(kind, steps, tmp_path / "index"), at_once)
    assert files(tmp_path / "index").keys() == files(tmp_path / "at once").keys()


@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_that_raises_stops_an_addition(kind: str, steps: Steps) -> None:
    retriever, untouched = (make(kind, steps, PASSAGES[:50]) for _ in range(2))

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retriever.add(PASSAGES[50:], progress=stop)
    assert_alike(retriever, untouched)
    retriever.add(PASSAGES[50:])
    assert_alike(retriever, make(kind, steps, PASSAGES))


def test_a_hybrid_whose_members_differ_removes_from_none(steps: Steps) -> None:
    hybrid = HybridRetriever([make("bm25s", steps, PASSAGES[:9]), make("flat", steps, PASSAGES[1:10])])
    with pytest.raises(ValueError, match="no passage with the id 'p0' is there"):
        hybrid.remove(["p5", "p0"])
    with pytest.raises(ValueError, match="id 'p9' is there already"):
        hybrid.add([Passage("new", "moss"), PASSAGES[9]])
    assert [len(retriever) for retriever in hybrid.retrievers] == [9, 9]


def test_a_store_forgets_what_was_undone(tmp_path: Path) -> None:
    store = PassageStore(PASSAGES[:4])
    store.remove(["p1"])
    undo = store.snapshot()
    store.remove(["p2"])
    store.extend(store.check_new([Passage("p1", "again"), Passage("new", "moss")]))
    (tmp_path / "a").mkdir()
    store.write(tmp_path / "a")
    store.extend(store.check_new([Passage("p2", "again")]))
    undo()
    assert [p.id for p in store] == ["p0", "p2", "p3"]
    assert store.find(["p0", "p1", "p2", "new"]) == {"p0": 0, "p2": 2}
    store.extend(store.check_new([Passage("p1", "third")]))
    assert (store.n_positions, store[-1].text) == (5, "third")


@pytest.mark.parametrize("index_class", [HNSWIndex, IVFPQIndex])
def test_an_index_forgets_what_was_undone(
    index_class: type[HNSWIndex | IVFPQIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IVFPQIndex, "_LEAST", 600)
    made = np.random.default_rng(0).standard_normal((700, 16)).astype(np.float32)
    index, untouched = index_class(16), index_class(16)
    for each in (index, untouched):
        each.add(made[:650])
        each.settle()
    undo = index.snapshot()
    index.add(made[650:])
    undo()
    results = []
    for each in (index, untouched):
        assert len(each) == 650
        found = each.search(made, 10)
        each.add(made[690:])
        results.append((*found, *each.search(made, 10)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
