"""The approval handlers that need nothing but a function: a callback, and the one that always says no."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aegis_core.request import ApprovalAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aegis_core.request import ApprovalRequest

__all__ = ["CallbackApprovalHandler", "DenyAllApprovalHandler"]


class CallbackApprovalHandler:
    """Asks a function.

    Args:
        fn: Takes the `ApprovalRequest`; returns True for yes, False for no, or an answer made by ``request.approve()``
            or ``deny()``. Anything else, ``"yes"`` and ``1`` included, is a no. May be async.
        approver: Who is recorded as having answered; default ``callback:<the function's name>``.

    Raises:
        TypeError: If ``fn`` cannot be called.
    """

    def __init__(self, fn: Callable[[ApprovalRequest], Any], *, approver: str | None = None) -> None:
        if not callable(fn):
            raise TypeError(f"CallbackApprovalHandler takes a function of the request, got {fn!r}")
        self._fn = fn
        self._approver = approver or f"callback:{getattr(fn, '__name__', type(fn).__name__)}"

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer | Awaitable[ApprovalAnswer]:
        """Ask the function."""
        if inspect.iscoroutinefunction(self._fn):
            return self._aask(request)
        reply = self._fn(request)
        return self._later(request, reply) if inspect.isawaitable(reply) else self._read(request, reply)

    async def _aask(self, request: ApprovalRequest) -> ApprovalAnswer:
        return self._read(request, await self._fn(request))

    async def _later(self, request: ApprovalRequest, reply: Awaitable[Any]) -> ApprovalAnswer:
        return self._read(request, await reply)

    def _read(self, request: ApprovalRequest, reply: object) -> ApprovalAnswer:
        if isinstance(reply, ApprovalAnswer):
            answered = reply.approved is not None
            return replace(reply, approver=self._approver) if answered and reply.approver is None else reply
        if reply is True:
            return request.approve(approver=self._approver)
        reason = None if reply is False else f"the callback returned {type(reply).__name__}, and only True is a yes"
        return request.deny(approver=self._approver, reason=reason)


class DenyAllApprovalHandler:
    """Denies every request: for programs nobody watches."""

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Say no."""
        return request.deny(reason="approvals are switched off here (DenyAllApprovalHandler)")
