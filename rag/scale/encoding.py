"""Vectors of a corpus, encoded by several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rag.scale.executor import Executor
from retrievers.dense.encoder import Encoder


class SpreadEncoder(Encoder):
    """An encoder whose copies in an executor's processes encode the passages; questions are encoded here.

    Args:
        name: as `Encoder` takes it; a folder must be there on every node.
        executor: spreads the slabs.
    """

    def __init__(self, name: str, executor: Executor):
        super().__init__(name)
        self._executor = executor

    def encode_slabs(self, slabs: Iterable[list[str]], batch_size: int) -> Iterator[NDArray[np.float32]]:
        """Unit vectors of each slab; raises `ValueError` where a node holds another encoder under the same name."""
        return self._executor.map(partial(_worker, self.name, self.fingerprint, batch_size), slabs)


def _worker(name: str, fingerprint: str, batch_size: int) -> Callable[[list[str]], NDArray[np.float32]]:
    encoder = Encoder(name)
    if encoder.fingerprint != fingerprint:
        raise ValueError(f"the encoder {name!r} is another one on a node; put the same one on every node")
    return lambda texts: encoder.encode_documents(texts, batch_size)
