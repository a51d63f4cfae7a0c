"""Work in threads: with the caller's context, and honest about what a cancellation could not stop."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from aegis_core.threads import call_in_thread, in_thread

NAME = contextvars.ContextVar("NAME", default="nobody")


async def test_the_callers_context_variables_are_there():
    NAME.set("somebody")
    assert call_in_thread(NAME.get).result(10) == "somebody"
    assert await in_thread(NAME.get) == "somebody"


async def test_exceptions_come_back_and_a_stop_iteration_does_not_hang():
    def fail() -> None:
        raise KeyError("x")

    def stop() -> None:
        raise StopIteration

    with pytest.raises(KeyError):
        await in_thread(fail)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(in_thread(stop), 10)


async def test_work_that_a_cancellation_could_not_stop_is_said_to_go_on():
    going, may_end = threading.Event(), threading.Event()

    def work() -> str:
        going.set()
        may_end.wait(10)
        return "done"

    dropped: list[str] = []
    task = asyncio.ensure_future(in_thread(work, drop=dropped.append))
    await asyncio.to_thread(going.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.aegis_still_running is True  # type: ignore[attr-defined]
    may_end.set()
    for _ in range(100):
        if dropped:
            break
        await asyncio.sleep(0.01)
    assert dropped == ["done"]


def test_the_thread_does_not_hold_up_the_programs_end():
    assert call_in_thread(threading.current_thread).result(10).daemon
