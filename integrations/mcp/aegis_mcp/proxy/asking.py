"""Asking for approval through the client, which is where the person sits, or else through the durable queue.

A client that can elicit shows a form. One of the stateless era gets the form as the answer to its call, and calls again
with what the person said. For all others the request is filed beside the trail (``aegis approvals``, the console); the
call is held for a while, as long as clients are patient, and then ends as pending: made again with the same arguments,
it runs once it was approved.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from aegis_core.approval.queue import QueueApprovalHandler
from aegis_core.approval.store import ApprovalStore
from aegis_core.approval.terminal import describe_request
from aegis_core.errors import ApprovalError
from aegis_mcp.proxy.relay import CALL

if TYPE_CHECKING:
    from aegis_core.request import ApprovalAnswer, ApprovalRequest
    from aegis_mcp.proxy.relay import Judged

__all__ = ["ClientApprovalHandler"]

_FORM = {
    "type": "object",
    "properties": {
        "decision": {
            "type": "string",
            "title": "May this call run?",
            "enum": ["deny", "approve"],
            "description": "approve: it runs once, exactly as shown. deny: it does not run.",
        },
        "reason": {"type": "string", "title": "Why (optional)"},
    },
    "required": ["decision"],
}


class ClientApprovalHandler:
    """Asks the client's user if the client can show a form, else files the request.

    Args:
        store: The trail.
        hold: Seconds a call is held for an answer from the queue.
    """

    def __init__(self, store: Any, *, hold: float = 45.0) -> None:
        self._queue = QueueApprovalHandler(store, wait=hold)
        self._approvals = ApprovalStore(store)

    async def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Ask, without holding up the calls behind this one."""
        call = CALL.get()
        if call is not None:
            call.place.step_out()  # the calls behind this one may overtake it
            if call.relay.shows_forms:
                if call.relay.modern:
                    return await asyncio.to_thread(self._by_rounds, request, call)
                if call.way.ask is not None:
                    reply = await call.relay.ask_client(call.way.ask, "elicitation/create", _form(request))
                    approved, approver, reason = _read(reply.get("result"), call.relay.client_name)
                    said = request.approve if approved else request.deny
                    return said(approver=approver, reason=reason)
        answer = await asyncio.to_thread(self._queue.ask, request)
        return answer if not hasattr(answer, "__await__") else await answer

    def _by_rounds(self, request: ApprovalRequest, call: Judged) -> ApprovalAnswer:
        """Take what the call brings along as the answer to its request; have the client asked if there is nothing."""
        ticket = self._approvals.put(request)
        said = call.approval
        if ticket.state == "pending" and said is not None and said.request_id == ticket.id:
            approved, approver, reason = _read(said.reply, call.relay.client_name)
            with contextlib.suppress(ApprovalError):  # somebody else was faster, or it has expired: as it stands now
                self._approvals.answer(
                    ticket.id, approved=approved, approver=approver, via="elicitation", reason=reason
                )
            ticket = self._approvals.get(ticket.id)
        if ticket.state == "pending":
            call.ask(ticket.id, _form(request))
        return self._queue.settle(request, ticket)

    def withdraw(self, request: ApprovalRequest) -> None:
        """The call no longer waits."""
        self._queue.withdraw(request)


def _form(request: ApprovalRequest) -> dict[str, Any]:
    return {"message": describe_request(request).strip(), "requestedSchema": _FORM}


def _read(result: Any, client: str | None) -> tuple[bool, str, str | None]:
    """What the person said: yes or no, who, why. Only the form's own ``approve``, sent off by the person, is a yes."""
    approver = f"elicitation:{client or 'client'}"
    if not isinstance(result, dict):
        return False, approver, "the client could not ask"
    action, content = result.get("action"), result.get("content")
    content = content if isinstance(content, dict) else {}
    reason = content.get("reason")
    reason = reason if isinstance(reason, str) and reason else None
    approved = action == "accept" and content.get("decision") == "approve"
    if not approved and reason is None and action == "cancel":
        reason = "the form was closed unanswered"
    return approved, approver, reason
