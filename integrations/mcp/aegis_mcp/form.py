"""The form that an MCP client shows its user to ask for approval, and what came back. Knows no SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_core.approval.terminal import describe_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_core.request import ApprovalRequest

__all__ = ["can_show", "form", "said"]

_SCHEMA = {
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


def form(request: ApprovalRequest) -> dict[str, Any]:
    """What to show: the ``message`` and the ``requestedSchema`` of an elicitation in form mode."""
    return {"message": describe_request(request).strip(), "requestedSchema": _SCHEMA}


def said(result: Any, client: str | None) -> tuple[bool, str, str | None]:
    """What the person said: yes or no, who, why. Only the form's own ``approve``, sent off by the person, is a yes.

    Args:
        result: An ``ElicitResult`` as on the wire, or whatever came in its place.
        client: What the client calls itself.
    """
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


def can_show(capabilities: Mapping[str, Any] | None) -> bool:
    """Whether a client with these capabilities shows forms; before there were other modes, none was named."""
    elicitation = (capabilities or {}).get("elicitation")
    return isinstance(elicitation, dict) and ("form" in elicitation or "url" not in elicitation)
