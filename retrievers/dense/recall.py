"""The recall of approximate indexes against exact search, and the breadth of search that a recall needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.dense.vector_index import VectorIndex
from retrievers.dense.vectors import exact_search


@dataclass(frozen=True, slots=True)
class Recall:
    """Measured recall: the fraction of the ``k`` passages ranked first by exact search that an index finds.

    Attributes:
        recall: Mean over the queries, 0 to 1.
        error: Standard error of the mean.
        k: Passages asked for.
        queries: Number of queries.
        passages: Number of passages that could be found.
        breadth: Breadth of the search, see :class:`retrievers.dense.vector_index.VectorIndex`.
    """

    recall: float
    error: float
    k: int
    queries: int
    passages: int
    breadth: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recall:
        """The inverse; ``TypeError`` if the names are others."""
        return cls(**values)

    def __str__(self) -> str:
        """As "recall@10 0.981 ±0.004 against exact search (128 queries)"."""
        return f"recall@{self.k} {self.recall:.3f} ±{self.error:.3f} against exact search ({self.queries} queries)"


def measure_recall(
    index: VectorIndex, queries: NDArray[np.float32], k: int = 10, alive: NDArray[np.bool_] | None = None
) -> Recall:
    """Measure an index at its present breadth.

    Args:
        index: An index with at least one vector that may be found.
        queries: ``(n_queries, dimension)``.
        k: Passages asked for.
        alive: Which vectors may be found, ``(n_vectors,)``; None is all.
    """
    return _compare(index, queries, _exact(index, queries, k, alive), alive)


def broaden(
    index: VectorIndex,
    queries: NDArray[np.float32],
    target: float,
    k: int = 10,
    alive: NDArray[np.bool_] | None = None,
) -> Recall:
    """Double the breadth until recall less two standard errors reaches the target, or the breadth cannot grow.

    Every second query serves for this, the others for the recall that is returned.

    Args:
        index: Its breadth is changed, never made smaller.
        queries: ``(n_queries, dimension)``, at least two.
        target: 0 to 1.
        k: Passages asked for.
        alive: Which vectors may be found, ``(n_vectors,)``; None is all.
    """
    exact = _exact(index, queries, k, alive)
    while True:
        found = _compare(index, queries[::2], exact[::2], alive)
        if found.recall - 2 * found.error >= target or index.breadth >= index.widest:
            return _compare(index, queries[1::2], exact[1::2], alive)
        index.breadth = min(2 * index.breadth, index.widest)


def _exact(
    index: VectorIndex, queries: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    return exact_search(queries, index.slabs(), k, alive)[1]


def _compare(
    index: VectorIndex, queries: NDArray[np.float32], exact: NDArray[np.int64], alive: NDArray[np.bool_] | None
) -> Recall:
    n_alive, k = len(index) if alive is None else int(alive.sum()), exact.shape[1]
    found = index.search(queries, k, alive)[1]
    shares = np.array([np.isin(row[row >= 0], here).mean() for row, here in zip(exact, found, strict=True)])
    error = float(shares.std(ddof=1) / len(shares) ** 0.5) if len(shares) > 1 else 0.0
    return Recall(float(shares.mean()), error, k, len(queries), n_alive, index.breadth)
