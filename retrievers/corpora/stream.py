"""Add a corpus of any size without holding it in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from retrievers.base import Progress, Retriever
from retrievers.passage import Passage

_PASSAGES, _CHARACTERS = 2**15, 2**25  # at most in a slab
SLAB_BYTES = 2**29
"""Bound of the memory that a slab and the work on it take, beside what a retriever keeps of it."""


def add_stream(retriever: Retriever, passages: Iterable[Passage], progress: Progress | None = None) -> int:
    """Add passages slab by slab, and say how many; within ``retriever.saving``, memory is bounded.

    Raises:
        ValueError: An id is there already or occurs twice; slabs before are added then.
    """
    n_added = 0

    def report(done: int) -> None:
        if progress:
            progress(n_added + done)

    for slab in _slabs(passages):
        retriever.add(slab, progress=report)
        n_added += len(slab)
    return n_added


def _slabs(passages: Iterable[Passage]) -> Iterator[list[Passage]]:
    slab: list[Passage] = []
    n_characters = 0
    for passage in passages:
        slab.append(passage)
        n_characters += len(passage.text)
        if len(slab) >= _PASSAGES or n_characters >= _CHARACTERS:
            yield slab
            slab, n_characters = [], 0
    if slab:
        yield slab
