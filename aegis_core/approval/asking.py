"""Asking a handler, synchronously or not, within the time a call is willing to wait."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from aegis_core.errors import ApprovalError
from aegis_core.threads import call_in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aegis_core.request import ApprovalAnswer, ApprovalRequest

__all__ = ["ApprovalHandler", "aask", "ask"]


@runtime_checkable
class ApprovalHandler(Protocol):
    """Puts requests to people.

    ``ask`` may be sync (it runs in a thread of its own) or async. Return ``request.approve(...)`` or
    ``request.deny(...)``; anything else, an exception, or no answer within ``request.timeout`` seconds means no.

    A handler may also have ``withdraw(request)``: called when the call no longer waits (timeout, cancellation). And it
    may set ``interactive = True`` if it talks to the user of this very process; then it is not asked from sync code on
    a running event loop.
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
        raise ApprovalError(
            "a sync call on a running event loop cannot wait for a person without freezing the loop; use arun"
        )

    def work() -> Any:
        reply = handler.ask(request)
        if not inspect.isawaitable(reply):
            return reply
        if on_loop:
            if inspect.iscoroutine(reply):
                reply.close()
            raise ApprovalError(
                "a sync call on a running event loop cannot wait for an async approval handler without freezing the "
                "loop; use arun"
            )
        return asyncio.run(_awaited(reply))

    try:
        return call_in_thread(work, name="aegis-approval").result(request.timeout)
    except BaseException:
        _withdraw(handler, request)
        raise


async def aask(handler: ApprovalHandler, request: ApprovalRequest) -> Any:
    """Ask from a coroutine, without blocking its event loop. Raises like `ask`."""
    try:
        async with asyncio.timeout(request.timeout):
            if inspect.iscoroutinefunction(handler.ask):
                return await handler.ask(request)
            reply = await asyncio.wrap_future(call_in_thread(lambda: handler.ask(request), name="aegis-approval"))
            return await reply if inspect.isawaitable(reply) else reply
    except BaseException:
        _withdraw(handler, request)
        raise


def _withdraw(handler: ApprovalHandler, request: ApprovalRequest) -> None:
    withdraw = getattr(handler, "withdraw", None)
    if withdraw is not None:
        withdraw(request)


async def _awaited(reply: Awaitable[Any]) -> Any:
    return await reply


def _on_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
