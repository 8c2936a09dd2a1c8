"""Stopping a reader's work from outside, between two steps of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_check: ContextVar[Callable[[], None] | None] = ContextVar("interruption", default=None)


@contextmanager
def interruptible(check: Callable[[], None]) -> Iterator[None]:
    """Call `check` at every `checkpoint` in the block; an exception that it raises ends the work and leaves the block.

    Readers pass a checkpoint before they encode a batch of blocks, and before they decode one more token for a batch of
    coalitions. Nothing is half-recorded at a checkpoint, so the same work can be started again.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def checkpoint() -> None:
    """Raise if the work is to stop; does nothing outside `interruptible`."""
    check = _check.get()
    if check is not None:
        check()
