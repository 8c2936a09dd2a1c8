"""Whether an event loop goes on while something is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


async def beats_during(work: Awaitable[Any]) -> tuple[Any, int]:
    """The result of the work, and how often the loop came round meanwhile, at most every 5 ms."""
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    beating = asyncio.create_task(beat())
    result = await work
    beating.cancel()
    return result, beats
