"""What spreads work, and the plain way: one item after another, here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Worker = Callable[[], Callable[[Item], Result]]
"""Loads what the work needs and returns what handles one item; called once by every process that works. To reach other
processes it is a function of a module, or a `functools.partial` of one over settings and other plain data."""


class Executor(Protocol):
    """Applies a worker to items.

    Attributes:
        remote: whether the items leave this process, so that they, their results and the worker must be plain data.
    """

    remote: bool

    def map(self, worker: Worker[Item, Result], items: Iterable[Item]) -> Iterator[Result]:
        """The results in the order of the items, each as soon as it and all before it are there.

        Args:
            worker: what is done with an item. The results must not depend on which process it is done in.
            items: what it is done with, taken as needed.
        """
        ...


class LocalExecutor:
    """One item after another in this process."""

    remote = False

    def map(self, worker: Worker[Item, Result], items: Iterable[Item]) -> Iterator[Result]:
        """See `Executor`; an item is taken when the result before it was asked for."""
        handle = worker()
        for item in items:
            yield handle(item)
