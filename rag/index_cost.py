"""Estimate what indexing a corpus will cost, from its beginning, before the work starts."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.retrieval import new_retriever
from rag.settings import RetrieverSettings, Settings
from retrievers import Passage
from retrievers.corpora.size_estimate import sample_corpus
from retrievers.corpora.stream import SLAB_BYTES

_TRIED = {"bm25": 4000, "dense": 64}  # passages of a trial
_HEAPS = 0.6  # distinct words grow with about this power of the number of words (Heaps 1978: 0.4 to 0.6)
_SLAB_FACTOR = 16  # bytes of memory for a byte of passages that is worked on, at most (measured: 14)
_SEEN_BYTES = 300  # of memory for the ids of a passage and its document, which must be distinct


@dataclass(frozen=True)
class IndexCost:
    """An estimate; None where the number of passages is unknown.

    Attributes:
        passages: how many there are.
        seconds: on this machine.
        memory_bytes: a bound of the resident memory, mapped parts of the index included.
        disk_bytes: size of the index.
        peak_disk_bytes: the same with what is written and removed while it is made.
    """

    passages: int | None
    seconds: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    peak_disk_bytes: int | None = None

    def __str__(self) -> str:
        """In one line."""
        if self.passages is None or self.seconds is None:
            return "the size of this corpus is unknown until it has been read"
        return (
            f"about {self.passages:,} passages: at most {_size(self.memory_bytes)} of memory, {_size(self.disk_bytes)} "
            f"of disk ({_size(self.peak_disk_bytes)} while it is made), about {_duration(self.seconds)}"
        )


def estimate(corpus: str, settings: Settings) -> IndexCost:
    """Read the beginning of a corpus, index it in a temporary folder, and multiply.

    Raises:
        As `retrievers.load_corpus`, for what is read, and as the retriever for its settings.
    """
    started = time.perf_counter()
    sample = sample_corpus(corpus, _TRIED["bm25"], **settings.reading)
    reading = (time.perf_counter() - started) / max(1, len(sample.passages))
    if not sample.passages or sample.total is None:
        return IndexCost(sample.total)
    kinds = ["bm25", "dense"] if settings.retriever.kind == "hybrid" else [settings.retriever.kind]
    trials = [_try(sample.passages[: _TRIED[kind]], settings.retriever, kind, sample.total) for kind in kinds]
    disk = round(trials[0].passage_bytes + sum(trial.index_bytes for trial in trials))
    return IndexCost(
        passages=sample.total,
        seconds=reading * sample.total + sum(trial.seconds for trial in trials),
        memory_bytes=peak_memory()
        + min(SLAB_BYTES, round(_SLAB_FACTOR * trials[0].passage_bytes))
        + _SEEN_BYTES * sample.total
        + disk,
        disk_bytes=disk,
        # parts of the BM25 index are there until they are merged, and passages are written once for each retriever
        peak_disk_bytes=round(sum(trial.passage_bytes + 2 * trial.index_bytes for trial in trials)),
    )


def check_room(cost: IndexCost, folder: Path) -> None:
    """Raise `ValueError` if memory or disk cannot hold what an index will take at its peak."""
    if cost.memory_bytes is None or cost.peak_disk_bytes is None:
        return
    there = next(path for path in [folder.resolve(), *folder.resolve().parents] if path.is_dir())
    free = shutil.disk_usage(there).free
    if free < cost.peak_disk_bytes:
        raise ValueError(
            f"{folder}: {cost}; only {_size(free)} of disk space is free. Free some, choose another disk, or keep the "
            "passages in a search engine (--kind milvus)"
        )
    available = available_memory()
    if available is not None and available < cost.memory_bytes - peak_memory():
        raise ValueError(
            f"{folder}: {cost}; only {_size(available)} of memory is available. End other programs, or keep the "
            "passages in a search engine (--kind milvus)"
        )


def available_memory() -> int | None:
    """Bytes that this process can still get; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        found += [int(limit) - int(used)] if limit != "max" else []
    except OSError:
        pass
    return min(found, default=None)


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes; 0 on Windows, which has no `resource`."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held when it started this process
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if found:
            return int(found[1]) * 1024
    try:
        import resource
    except ImportError:
        return 0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def folder_bytes(folder: Path) -> int:
    """Size of the files in a folder, each counted once however often it is linked."""
    found = {(stat.st_dev, stat.st_ino): stat.st_size for path in folder.rglob("*") if (stat := path.stat())}
    return sum(found.values())


@dataclass(frozen=True)
class _Trial:
    seconds: float
    passage_bytes: float
    index_bytes: float


def _try(passages: Sequence[Passage], settings: RetrieverSettings, kind: str, total: int) -> _Trial:
    """Cost of the whole corpus in one kind of index, from that of its first passages."""
    retriever = new_retriever(settings.model_copy(update={"kind": kind}))
    with tempfile.TemporaryDirectory() as folder:
        with retriever.saving(Path(folder) / "index"):
            half = len(passages) // 2
            retriever.add(passages[:half])  # words and models are new only once
            started = time.perf_counter()
            retriever.add(passages[half:])
            added = time.perf_counter()
        saved = time.perf_counter()
        sizes = {path: path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()}
    factor = total / len(passages)
    of_passages = sum(size for path, size in sizes.items() if path.parent.name.startswith("passages-"))
    of_words = sum(size for path, size in sizes.items() if path.name.startswith("vocab."))
    of_rest = sum(sizes.values()) - of_passages - of_words
    seconds = (added - started) * total / (len(passages) - half) + (saved - added) * factor
    return _Trial(seconds, of_passages * factor, of_rest * factor + of_words * factor**_HEAPS)


def _size(n_bytes: int | None) -> str:
    size = float(n_bytes or 0)
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{max(1, round(seconds))} s"
