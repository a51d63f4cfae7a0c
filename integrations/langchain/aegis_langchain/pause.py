"""Approval through a graph's own pause: ``interrupt()`` now, ``Command(resume=...)`` later, perhaps in another process.

The request is a durable record beside the trail, like every other; the interrupt shows it and the resume answers it. On
resume LangGraph runs the task again from its start and hands every `interrupt` of it, in order, what it was answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.types import interrupt

from aegis_core.approval.store import ApprovalStore
from aegis_core.errors import ApprovalError
from aegis_core.request import ApprovalAnswer

if TYPE_CHECKING:
    from aegis_core.approval.store import Ticket
    from aegis_core.request import ApprovalRequest
    from aegis_core.runtime import Runtime

__all__ = ["GraphPause"]

_NO_ANSWER = "the graph was resumed with something that is no answer to this request"


class GraphPause:
    """Asks about one execution of a tool by pausing its graph.

    The interrupt's value is ``{"type": "aegis_approval", "id", "digest", "expires_at", "call": {...}}``. Resume it with
    ``{"id": ..., "digest": ..., "decision": "approve", "approver": "alice"}``, id and digest being the request's own; a
    ``reason`` and ``edits`` (changed arguments, by name) may be added. Every other value is a no.

    Attributes:
        error: What pauses the graph, once `ask` has found that nobody has answered.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.error: BaseException | None = None
        trail: Any = runtime.audit_logger
        self._trail = trail
        self._approvals = ApprovalStore(trail)

    @classmethod
    def here(cls, runtime: Runtime) -> GraphPause | None:
        """The way to pause, or None where the graph or the trail would not remember what was asked."""
        if get_config().get("configurable", {}).get("__pregel_checkpointer") is None:
            return None
        return cls(runtime) if hasattr(runtime.audit_logger, "transact") else None

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """What was answered, or that nobody has yet."""
        if request.opaque:
            names = ", ".join(request.opaque)
            return request.deny(reason=f"a stored approval cannot cover arguments passed by reference ({names})")
        ticket = self._approvals.put(request)
        while True:
            # Also where it is answered already: what comes next in the task must find its own answer in its own place.
            try:
                said = interrupt(_shown(ticket))
            except GraphInterrupt as error:
                self.error = error
                reason = f"approval required by rule {request.decision.matched_rule!r} is pending, id {ticket.id}"
                return ApprovalAnswer(request.id, request.digest, approved=None, reason=reason)
            named = self._named(request, said)
            if named is not None and named.id != ticket.id:
                if not self._paused(request, named):
                    continue  # It answered an execution that has ended; this one, a retry, has a request of its own.
                reason = f"goes on with call {named.consumed_by}, which paused"
                self._approvals.leave(ticket.id, request.call_id, reason)
                return request.approve(approver=named.approver, reason=reason)
            if ticket.state == "pending":
                if named is None:
                    self._approvals.leave(ticket.id, request.call_id, _NO_ANSWER)
                    return request.deny(reason=_NO_ANSWER)
                ticket = self._answered(ticket, said)
            return self._settled(request, ticket)

    def _answered(self, ticket: Ticket, said: dict[str, Any]) -> Ticket:
        approver, reason, edits = said.get("approver"), said.get("reason"), said.get("edits")
        try:
            return self._approvals.answer(
                ticket.id,
                approved=said.get("decision") == "approve",
                approver=approver if isinstance(approver, str) and approver else "langgraph",
                via="langgraph",
                reason=reason if isinstance(reason, str) else None,
                edits=edits if isinstance(edits, dict) else None,
            )
        except ApprovalError:  # somebody was first, or it is too late: the record says which
            return self._approvals.get(ticket.id)

    def _named(self, request: ApprovalRequest, said: object) -> Ticket | None:
        """The request that was answered, if it is one for this very call."""
        if not isinstance(said, dict) or not isinstance(said.get("id"), str) or said.get("digest") != request.digest:
            return None
        found = self._approvals.many([said["id"]])
        return found[0] if found and found[0].digest == request.digest else None

    def _paused(self, request: ApprovalRequest, earlier: Ticket) -> bool:
        """Whether that was for an execution of this tool call which stopped at an ``interrupt()`` of the tool's own."""
        action = request.action
        for entry in self._trail.get_log(session_id=action.session_id, type=action.type, status="failed"):
            if entry["call_id"] == earlier.consumed_by and entry["error"].startswith(GraphInterrupt.__name__):
                return bool(entry["labels"].get("tool_call_id") == action.labels.get("tool_call_id"))
        return False

    def _settled(self, request: ApprovalRequest, ticket: Ticket) -> ApprovalAnswer:
        if ticket.state not in (
            "approved",
            "used",
        ):  # used by an equal call: the store will say so, and this one asks anew
            self._approvals.deliver(ticket.id, request.call_id)
            why = ticket.reason if ticket.state == "denied" else f"the approval request {ticket.id} was {ticket.state}"
            return request.deny(approver=ticket.approver, reason=why)
        return ApprovalAnswer(
            request.id,
            request.digest,
            approved=True,
            approver=ticket.approver,
            reason=ticket.reason,
            grant=ticket.id,
            edits=ticket.edits or {},
        )


def _shown(ticket: Ticket) -> dict[str, Any]:
    return {
        "type": "aegis_approval",
        "id": ticket.id,
        "digest": ticket.digest,
        "expires_at": ticket.expires_at,
        "call": dict(ticket.request),
    }
