"""Asking a handler, synchronously or not, within the time a call is willing to wait."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from aegis_core.errors import ApprovalError
from aegis_core.threads import call_in_thread, in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aegis_core.request import ApprovalAnswer, ApprovalRequest

__all__ = ["ApprovalHandler", "aask", "ask"]

_log = logging.getLogger("aegis")
_FREEZES = "a sync call on a running event loop cannot wait for {} without freezing the loop; use arun"
_TOLERANCE = 0.05
"""Seconds by which clocks may differ."""


@runtime_checkable
class ApprovalHandler(Protocol):
    """Puts requests to people.

    ``ask`` may be sync (it runs in a thread of its own) or async. Return ``request.approve(...)`` or
    ``request.deny(...)``; anything else, an exception, or no answer within ``request.timeout`` seconds means no.

    A handler may also have ``withdraw(request)``: called when the call no longer waits (timeout, cancellation), from
    whatever thread or event loop that is, so it must be quick. And it may set ``interactive = True`` if it talks to the
    user of this very process; then it is not asked from sync code on a running event loop. One that files requests has
    the trail it files them on as ``store``, and is only accepted by a runtime whose trail that is.
    """

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer | Awaitable[ApprovalAnswer]:
        """Put the request to a person and return the answer."""
        ...


def ask(handler: ApprovalHandler, request: ApprovalRequest) -> Any:
    """Ask from sync code.

    Raises:
        TimeoutError: Nobody answered in time.
        ApprovalError: The handler cannot be asked from here.
    """
    on_loop = _on_running_loop()
    if on_loop and getattr(handler, "interactive", False):
        raise ApprovalError(_FREEZES.format("a person"))
    if on_loop and inspect.iscoroutinefunction(handler.ask):
        raise ApprovalError(_FREEZES.format("an async approval handler"))
    hang_up: list[Callable[[], object]] = []
    started = time.monotonic()
    answer = call_in_thread(lambda: _answer(handler, request, hang_up, on_loop=on_loop), name="aegis-approval")
    try:
        return answer.result(request.timeout)
    except BaseException as error:
        answer.cancel()
        for cancel in hang_up:
            with contextlib.suppress(RuntimeError):  # its loop is gone: it has ended by itself
                cancel()
        _withdraw(handler, request)
        _refuse_own_timeout(error, request, started)
        raise


async def aask(handler: ApprovalHandler, request: ApprovalRequest) -> Any:
    """Ask from a coroutine, without blocking its event loop. Raises like `ask`."""
    started = time.monotonic()
    try:
        await asyncio.sleep(0)  # who runs this call on the spot makes it a task now, and a timeout takes one of its own
        async with asyncio.timeout(request.timeout):
            if inspect.iscoroutinefunction(handler.ask):
                return await handler.ask(request)
            reply = await in_thread(lambda: handler.ask(request), name="aegis-approval", drop=_close)
            return await reply if inspect.isawaitable(reply) else reply
    except BaseException as error:
        _withdraw(handler, request)
        _refuse_own_timeout(error, request, started)
        raise


def _answer(
    handler: ApprovalHandler, request: ApprovalRequest, hang_up: list[Callable[[], object]], *, on_loop: bool
) -> Any:
    """In a thread: what the handler answers, an async one on an event loop of its own."""
    reply: Any = handler.ask(request)
    if not inspect.isawaitable(reply):
        return reply
    if on_loop:
        _close(reply)
        raise ApprovalError(_FREEZES.format("an async approval handler"))

    async def conversation() -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        hang_up.append(lambda: loop.call_soon_threadsafe(task.cancel))
        return await reply

    return asyncio.run(conversation())


def _close(reply: object) -> None:
    """A coroutine that nobody will wait for."""
    if inspect.iscoroutine(reply):
        reply.close()


def _withdraw(handler: ApprovalHandler, request: ApprovalRequest) -> None:
    withdraw = getattr(handler, "withdraw", None)
    if withdraw is None:
        return
    try:
        withdraw(request)
    except Exception:  # noqa: BLE001 - the call has ended; how is not the handler's to change any more
        _log.warning("an approval handler (%s) could not withdraw a request", type(handler).__name__, exc_info=True)


def _refuse_own_timeout(error: BaseException, request: ApprovalRequest, started: float) -> None:
    """A handler whose network timed out has not waited for anybody: that is its failure, not silence."""
    if isinstance(error, TimeoutError):
        elapsed = time.monotonic() - started
        if request.timeout is None or elapsed + _TOLERANCE < request.timeout:
            raise ApprovalError(f"the approval handler raised {type(error).__name__} ({error})") from error


def _on_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
