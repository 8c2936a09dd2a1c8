"""How often cases are tried, and what a case may do: give a result or a clear error, soon.

`RAGSHAP_FUZZ=100000` in the environment sets how many cases all properties try together; the default is small.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("hypothesis", reason="pip install hypothesis")
from hypothesis import HealthCheck, Phase, given, settings

CASES = int(os.environ.get("RAGSHAP_FUZZ", "1000"))
SHARES = 120  # what the properties' shares add up to
SECONDS = 20.0  # that a case may take
LONGEST_ERROR = 20_000  # characters; the command cuts at 2,000

tried: Counter[str] = Counter()
slowest: dict[str, float] = {}


class Hang(BaseException):
    """A case ran beyond its time."""


def fuzz(name: str, share: float, /, **strategies: Any) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Try a property of the strategies' values; `share` of 120 is its part of all cases."""

    def decorate(check: Callable[..., None]) -> Callable[[], None]:
        @given(**strategies)
        @settings(
            max_examples=max(1, round(CASES * share / SHARES)),
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        def attempt(**values: Any) -> None:
            tried[name] += 1
            started = time.perf_counter()
            with time_limit(SECONDS):
                check(**values)
            slowest[name] = max(slowest.get(name, 0.0), time.perf_counter() - started)

        attempt.__name__ = attempt.__qualname__ = check.__name__
        attempt.__module__ = check.__module__
        return attempt

    return decorate


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `Hang` where something takes longer."""

    def ring(*_: object) -> None:
        raise Hang(f"still at it after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def only(*kinds: type[Exception]) -> Iterator[None]:
    """A result, or an error of exactly one of these kinds whose message says something and is not endless."""
    try:
        yield
    except kinds as error:
        if type(error) not in kinds or not 0 < len(str(error).strip()) < LONGEST_ERROR:
            raise AssertionError(f"{type(error).__name__} is no clear error: {str(error)[:500]!r}") from error
