"""Stopping a reader's work from outside, between two steps of it, however deep it is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_check: ContextVar[Callable[[], None] | None] = ContextVar("interruption", default=None)


@contextmanager
def interruptible(check: Callable[[], None]) -> Iterator[None]:
    """Call `check` at every `checkpoint` within; what it raises ends the work and comes out of it.

    Readers pass a checkpoint before each batch of blocks that they encode and before each token that they decode for a
    batch of coalitions, and nothing is half-recorded there: the same work can be asked for again.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def checkpoint() -> None:
    """Ask whether to go on; does nothing outside `interruptible`."""
    check = _check.get()
    if check is not None:
        check()
