"""One daemon thread for one piece of blocking work, with the caller's context variables.

Not a thread pool: a pool's threads are joined at interpreter exit, and an approval prompt nobody answers must not hold
that up.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call_in_thread", "in_thread"]

T = TypeVar("T")


def call_in_thread(work: Callable[[], T], *, name: str = "aegis") -> Future[T]:
    """Start ``work`` in a daemon thread and return its future."""
    future: Future[T] = Future()
    context = contextvars.copy_context()

    def body() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - the future carries it to whoever waits
            future.set_exception(error)

    threading.Thread(target=body, name=name, daemon=True).start()
    return future


async def in_thread(work: Callable[[], T], *, name: str = "aegis", drop: Callable[[T], object] | None = None) -> T:
    """Run blocking work in a thread, from a coroutine; for a sync tool that must not block the event loop.

    A thread cannot be stopped. If the coroutine is cancelled after the work has begun, the work goes on, or has even
    ended, and nobody sees how: the ``CancelledError`` then says ``aegis_still_running``, and a governed call that ends
    with it reads ``unknown`` on the trail instead of ``cancelled``.

    Args:
        work: The work.
        name: The thread's name.
        drop: Called with what the work returned if nobody waits for it any more.
    """
    future = call_in_thread(lambda: _without_stop_iteration(work), name=name)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError as error:
        if not future.cancel():
            error.aegis_still_running = True  # type: ignore[attr-defined]
            if drop is not None:
                future.add_done_callback(lambda done: None if done.exception() else drop(done.result()))
        raise


def _without_stop_iteration(work: Callable[[], T]) -> T:
    """A future can carry everything but this; a coroutine could not raise it either."""
    try:
        return work()
    except StopIteration as error:
        raise RuntimeError("the work raised StopIteration") from error
