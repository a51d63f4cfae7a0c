"""One daemon thread for one piece of blocking work, with the caller's context variables.

Not a thread pool: a pool's threads are joined at interpreter exit, and an approval prompt nobody answers must not hold
that up.
"""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call_in_thread"]

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
