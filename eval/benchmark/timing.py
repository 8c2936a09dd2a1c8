"""Repeated timing, and the machine it was done on."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

import torch

Prepared = TypeVar("Prepared")


class Seconds(NamedTuple):
    """Median, least and most of some repetitions."""

    median: float
    least: float
    most: float

    def times(self, factor: float) -> Seconds:
        """All of them multiplied."""
        return Seconds(*(factor * part for part in self))

    def plus(self, other: Seconds) -> Seconds:
        """The sums of medians, of leasts and of mosts."""
        return Seconds(*(one + two for one, two in zip(self, other, strict=True)))

    def __str__(self) -> str:
        """As "1.23 (1.20–1.30)"."""
        return f"{self.median:.3g} ({self.least:.3g}–{self.most:.3g})"


def seconds(function: Callable[[], Any], repeats: int) -> Seconds:
    """Time a function `repeats` times, after one call that warms up."""
    return seconds_after(lambda: None, lambda _: function(), repeats)


def seconds_after(prepare: Callable[[], Prepared], function: Callable[[Prepared], Any], repeats: int) -> Seconds:
    """Time a function of something that is prepared anew, untimed, before each call."""
    function(prepare())
    taken = []
    for _ in range(repeats):
        prepared = prepare()
        started = time.perf_counter()
        function(prepared)
        taken.append(time.perf_counter() - started)
    return Seconds(median(taken), min(taken), max(taken))


def machine() -> dict[str, Any]:
    """Processor, threads and Python."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(.+)", information.read_text()) if information.exists() else None
    return named[1].strip() if named else platform.processor() or platform.machine()
