"""Indexes of vectors: how long they take to build and to search, how large they are, and what they miss."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from eval.benchmark.result import Section
from eval.tables import Table
from rag.progress import StageProgress
from retrievers.dense.recall import broaden
from retrievers.dense.vector_index import INDEXES, VectorIndex
from retrievers.dense.vectors import exact_search

_SLAB = 2**14
_NEIGHBOURS = 32
_NOISE = 0.6
_COLUMNS = ("index", "build, s", "MB on disk", "median, ms", "95%, ms", "recall@10", "breadth")


def mixture(seeds: NDArray[np.float32], count: int, seed: int = 0) -> Iterator[NDArray[np.float32]]:
    """Unit vectors that lie as those of a larger corpus of the same kind would, 16,384 at a time.

    Each is a mixture, with weights uniform on the simplex, of one of the seeds and two of its 32 nearest neighbours, of
    length 1, plus Gaussian noise with 0.6 of the standard deviations and the correlations of the seeds. With encoded
    Wikipedia passages as seeds, as many mixtures have nearest neighbours as near as theirs (median cosine 0.63 and
    0.61) and the same local intrinsic dimension (22 and 23, by Levina and Bickel 2004).

    Args:
        seeds: Unit vectors of real passages, ``(n_seeds, dimension)``, at least three.
        count: Number of vectors.
        seed: Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    n_neighbours = min(_NEIGHBOURS, len(seeds) - 1)
    if n_neighbours < 2:
        raise ValueError(f"at least three vectors are needed to mix others from, got {len(seeds)}")
    neighbours = exact_search(seeds, [(0, seeds)], n_neighbours + 1)[1]
    spread = np.cov(seeds.T) + 1e-9 * np.eye(seeds.shape[1])
    noise = _NOISE * np.linalg.cholesky(spread).astype(np.float32).T
    for start in range(0, count, _SLAB):
        n = min(_SLAB, count - start)
        first = rng.integers(len(seeds), size=n)
        others = neighbours[first[:, None], rng.integers(1, n_neighbours + 1, size=(n, 2))]
        weights = rng.dirichlet((1, 1, 1), size=n).astype(np.float32)
        mixed = weights[:, :1] * seeds[first]
        mixed += weights[:, 1:2] * seeds[others[:, 0]] + weights[:, 2:] * seeds[others[:, 1]]
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        mixed += rng.standard_normal(mixed.shape, dtype=np.float32) @ noise
        yield mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def measure_indexes(
    slabs: Callable[[], Iterator[NDArray[np.float32]]],
    queries: NDArray[np.float32],
    kinds: Sequence[str] = tuple(INDEXES),
    *,
    target: float = 0.95,
    how: str = "",
    folder: Path | None = None,
    progress: StageProgress | None = None,
) -> Section:
    """Build, save, open and search an index of each kind.

    Args:
        slabs: Gives the vectors from the start, ``(n, dimension)`` at a time.
        queries: ``(n_queries, dimension)``, at least four. The breadth is chosen on some, recall and times are those of
            the others, one after another, after as many that warm up.
        kinds: Names out of `INDEXES`.
        target: Recall that the breadth is chosen for.
        how: What the vectors are, for the table.
        folder: Where the indexes are built, and left; None is a temporary folder.
        progress: Called as progress(kind, done, total) with counts of vectors.

    Raises:
        ValueError: A kind is unknown, or there are too few queries.
    """
    unknown = [kind for kind in kinds if kind not in INDEXES]
    if unknown or not kinds:
        raise ValueError(f"unknown index {', '.join(unknown) or '(none)'}; known are {', '.join(INDEXES)}")
    if len(queries) < 4:
        raise ValueError(f"at least four queries are needed, got {len(queries)}")
    total = sum(len(slab) for slab in slabs())
    numbers = {}
    with TemporaryDirectory() as temporary:
        for kind in kinds:
            place = (folder or Path(temporary)) / kind
            place.mkdir(parents=True)
            report = None if progress is None else lambda done, kind=kind: progress(kind, done, total)
            numbers[kind] = _measure(INDEXES[kind], slabs, queries, target, place, report)
    rows = [
        (
            kind,
            f"{measured['build_seconds']:.0f}",
            f"{measured['bytes'] / 1e6:.0f}",
            f"{measured['median_ms']:.2f}",
            f"{measured['p95_ms']:.2f}",
            f"{measured['recall']:.3f} ±{measured['recall_error']:.3f}",
            f"{measured['breadth']:.0f}" if measured["breadth"] else "all",
        )
        for kind, measured in numbers.items()
    ]
    n_measured = len(queries) // 2
    table = Table(
        _COLUMNS,
        rows,
        f"Search among {total:,} vectors of {queries.shape[1]} dimensions",
        f"{how} Ten nearest of {n_measured:,} queries, one at a time, in indexes opened from disk; breadth (lists "
        f"looked into, or length of the list of candidates) chosen on others for a recall of {target:g}.".strip(),
    )
    return Section("vectors", [table], {"vectors": total, "target": target, "indexes": numbers})


def _measure(
    index_class: type[VectorIndex],
    slabs: Callable[[], Iterator[NDArray[np.float32]]],
    queries: NDArray[np.float32],
    target: float,
    folder: Path,
    report: Callable[[int], None] | None,
) -> dict[str, float]:
    index = index_class(queries.shape[1])
    seconds, started = 0.0, time.perf_counter()
    with index.writing(folder):
        for slab in slabs():
            before = time.perf_counter()
            index.add(slab)
            seconds += time.perf_counter() - before  # without the making of the vectors
            if report is not None:
                report(len(index))
        started = time.perf_counter()
        index.settle()
    seconds += time.perf_counter() - started
    opened = index_class.open(folder, queries.shape[1])
    opened.breadth = index.breadth
    recall = broaden(opened, queries, target)
    times = []
    for query in queries:
        before = time.perf_counter()
        opened.search(query[None], 10)
        times.append(time.perf_counter() - before)
    milliseconds = 1000 * np.array(times[1::2])
    return {
        "build_seconds": seconds,
        "bytes": float(sum(path.stat().st_size for path in folder.iterdir())),
        "median_ms": float(np.median(milliseconds)),
        "p95_ms": float(np.quantile(milliseconds, 0.95)),
        "recall": recall.recall,
        "recall_error": recall.error,
        "breadth": float(opened.breadth),
    }
