"""Asking for approval through the client, which is where the person sits, or else through the durable queue.

A client that can elicit shows a form. One of the stateless era gets the form as the answer to its call, and calls again
with what the person said. For all others the request is filed beside the trail (``aegis approvals``, the console); the
call is held for a while, as long as clients are patient, and then ends as pending: made again with the same arguments,
it runs once it was approved.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aegis_core.approval.queue import QueueApprovalHandler
from aegis_core.approval.terminal import describe_request
from aegis_mcp.proxy.relay import PLACE

if TYPE_CHECKING:
    from aegis_core.request import ApprovalAnswer, ApprovalRequest
    from aegis_mcp.proxy.relay import Relay

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
        self._relay: Relay | None = None

    def attach(self, relay: Relay) -> None:
        """From now on there is a client to ask."""
        self._relay = relay

    async def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Ask, without holding up the calls behind this one."""
        self._step_out()
        relay = self._relay
        if relay is not None and not relay.modern and "elicitation" in relay.client_capabilities:
            reply = await relay.ask_client(
                "elicitation/create", {"message": describe_request(request).strip(), "requestedSchema": _FORM}
            )
            return _read(request, reply, relay.client_name)
        answer = await asyncio.to_thread(self._queue.ask, request)
        return answer if not hasattr(answer, "__await__") else await answer

    @staticmethod
    def _step_out() -> None:
        """Let the calls behind this one overtake it."""
        place = PLACE.get()
        if place is not None:
            place.step_out()

    def withdraw(self, request: ApprovalRequest) -> None:
        """The call no longer waits."""
        self._queue.withdraw(request)


def _read(request: ApprovalRequest, reply: dict[str, Any], client: str | None) -> ApprovalAnswer:
    """What the person said. Only the form's own ``approve``, sent off by the person, is a yes."""
    result = reply.get("result")
    approver = f"elicitation:{client or 'client'}"
    if not isinstance(result, dict):
        return request.deny(approver=approver, reason="the client could not ask")
    action, content = result.get("action"), result.get("content")
    content = content if isinstance(content, dict) else {}
    reason = content.get("reason")
    reason = reason if isinstance(reason, str) and reason else None
    if action == "accept" and content.get("decision") == "approve":
        return request.approve(approver=approver, reason=reason)
    return request.deny(
        approver=approver, reason=reason or {"cancel": "the form was closed unanswered"}.get(str(action))
    )
