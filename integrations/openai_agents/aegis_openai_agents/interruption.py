"""Asking by interrupting the run: `RunState.approve` and `reject`, perhaps later and in another process.

The SDK binds an answer to the tool call, its tool and its exact arguments. Where the trail can hold approvals (a file),
the request is filed there when the run is interrupted, and the answer is an answer to that: it then also binds to the
principal and the rules that asked, expires, and is used up with the intent; what somebody answered there before counts.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aegis_core.approval.queue import QueueApprovalHandler
from aegis_core.approval.store import ApprovalStore
from aegis_core.errors import ApprovalError
from aegis_core.request import ApprovalAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aegis_core.approval.store import Ticket
    from aegis_core.request import ApprovalRequest
    from aegis_core.runtime import Runtime

__all__ = ["APPROVER", "Asking", "Interruption"]

APPROVER = "RunState"
"""Who is recorded as having answered: the SDK does not say who called `RunState.approve`."""


class Interruption:
    """Asks about a call that is yet to be made: the request is filed, and the run is interrupted.

    Attributes:
        answered: Whether somebody has answered the very same request before, so that nobody need be asked.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.answered = False
        self._trail: Any = runtime.audit_logger

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """File the request."""
        if _can_file(self._trail, request):
            self.answered = ApprovalStore(self._trail).put(request).state != "pending"
        return _pending(request, "the run is interrupted until somebody answers")


class Asking:
    """Asks about a call that is being made: what has the run's state said about it?

    Args:
        runtime: Its trail holds the request, if it can.
        says: Whether the run's state approves exactly this call, or rejects it; None if it says nothing about it.
    """

    def __init__(self, runtime: Runtime, *, says: bool | None) -> None:
        self._says = says
        self._trail: Any = runtime.audit_logger

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer | Awaitable[ApprovalAnswer]:
        """The answer, if there is one; nobody else is asked."""
        if not _can_file(self._trail, request):
            if self._says is None:
                return _pending(request, "the run's state does not approve exactly this call")
            return request.approve(approver=APPROVER) if self._says else request.deny(approver=APPROVER)
        filed = self._filed(request)
        if filed is not None and self._says is not None:
            self._answer(filed, approved=self._says)
        elif self._says is False:
            return request.deny(approver=APPROVER)
        return QueueApprovalHandler(self._trail, wait=False).ask(request)

    def _filed(self, request: ApprovalRequest) -> Ticket | None:
        """The very request that was filed when the run was interrupted. A later policy's would be another."""
        waiting = ApprovalStore(self._trail).requests(pending=True)
        return next((ticket for ticket in waiting if ticket.digest == request.digest), None)

    def _answer(self, filed: Ticket, *, approved: bool) -> None:
        with suppress(ApprovalError):  # Somebody was faster; the record tells what they said.
            ApprovalStore(self._trail).answer(filed.id, approved=approved, approver=APPROVER, via="openai-agents")


def _can_file(trail: Any, request: ApprovalRequest) -> bool:
    """Whether the trail can hold the request. It holds none about arguments that it cannot bind."""
    return hasattr(trail, "transact") and not request.opaque


def _pending(request: ApprovalRequest, why: str) -> ApprovalAnswer:
    reason = f"approval required by rule {request.decision.matched_rule!r}: {why}"
    return ApprovalAnswer(request.id, request.digest, approved=None, reason=reason)
