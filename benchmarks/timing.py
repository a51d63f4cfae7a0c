"""What one call takes, sync and async, and beside the bare one."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["atime_of", "ratio_row", "time_of"]


def time_of(call: Callable[[], Any], *, number: int = 500) -> float:
    """Seconds for one call, the best of several rounds."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(number):
            call()
        best = min(best, time.perf_counter() - start)
    return best / number


def atime_of(call: Callable[[], Awaitable[Any]], *, number: int = 500) -> float:
    """The same for a call that is awaited."""

    async def rounds() -> float:
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(number):
                await call()
            best = min(best, time.perf_counter() - start)
        return best / number

    return asyncio.run(rounds())


def ratio_row(name: str, seconds: float, bare: float) -> None:
    """One line: microseconds, and the ratio to the bare call."""
    print(f"| {name} | {seconds * 1e6:,.0f} | {seconds / bare:.2f} |")
