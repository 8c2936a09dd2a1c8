"""Add a corpus of any size without holding it in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

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

    for slab in slabs(passages):
        retriever.add(slab, progress=report)
        n_added += len(slab)
    return n_added


def slabs(passages: Iterable[Passage], whole: Callable[[Passage], str] | None = None) -> Iterator[list[Passage]]:
    """Passages in lists of bounded size; neighbours to which ``whole`` gives one name stay in one list."""
    slab: list[Passage] = []
    n_characters = 0
    for passage in passages:
        full = len(slab) >= _PASSAGES or n_characters >= _CHARACTERS
        if full and (whole is None or whole(slab[-1]) != whole(passage)):
            yield slab
            slab, n_characters = [], 0
        slab.append(passage)
        n_characters += len(passage.text)
    if slab:
        yield slab
