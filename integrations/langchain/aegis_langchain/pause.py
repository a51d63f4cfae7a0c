"""Asking for approval through a graph's own pause: ``interrupt()``, and ``Command(resume=...)`` later, perhaps in another process.

Stateless: on resume LangGraph runs the tool call again from the start, and what the person answered has to fit the call as it is then.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import ensure_config
from langgraph.errors import GraphInterrupt
from langgraph.types import interrupt

from aegis_core.record import now_us
from aegis_core.redact import Redactor
from aegis_core.request import ApprovalAnswer
from aegis_core.snapshot import canonical

if TYPE_CHECKING:
    from aegis_core.action import Action
    from aegis_core.request import ApprovalRequest
    from aegis_core.runtime import Runtime

__all__ = ["GraphPause"]


class GraphPause:
    """Asks about one tool call by pausing its graph.

    The interrupt's value is the request: ``{"type": "aegis_approval", "id", "digest", "expires_at", "call": {...}}``. It is approved by resuming with
    ``{"decision": "approve", "id": ..., "digest": ..., "approver": "alice"}``, the id and digest being the request's own. Every other value is a no.

    The id is good for this call only: it says when the request expires, under a keyed digest over thread, task, tool call and what the approval
    binds to (principal, tool, arguments, rules). So nothing needs to be remembered between the pause and the answer but the trail's key.

    Attributes:
        error: What pauses the graph, once `ask` has found no answer.
    """

    def __init__(self, runtime: Runtime, place: tuple[str, ...]) -> None:
        self.error: BaseException | None = None
        self._runtime = runtime
        self._place = place

    @classmethod
    def here(cls, runtime: Runtime, action: Action) -> GraphPause | None:
        """The pause for a tool call of the current task, or None where the graph cannot come back to it."""
        config = ensure_config()["configurable"]
        tool_call_id = action.labels.get("tool_call_id")
        if tool_call_id is None or config.get("__pregel_checkpointer") is None:
            return None
        return cls(runtime, (str(config.get("thread_id")), str(config.get("checkpoint_ns")), tool_call_id))

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """The person's answer if the graph was resumed with one; else find out how to pause, and answer "not yet"."""
        try:
            answer = interrupt(self._shown(request))
        except GraphInterrupt as error:
            self.error = error
            reason = f"approval required by rule {request.decision.matched_rule!r}: the graph waits for an answer"
            return ApprovalAnswer(request.id, request.digest, approved=None, reason=reason)
        return self._read(request, answer)

    def _shown(self, request: ApprovalRequest) -> dict[str, Any]:
        action, decision = request.action, request.decision
        return {
            "type": "aegis_approval",
            "id": self._id(request, request.expires_at),
            "digest": request.digest,
            "expires_at": request.expires_at,
            "call": {
                "type": action.type,
                "target": action.target,
                "params": Redactor().params(action.params),
                "agent": action.agent,
                "user": action.user,
                "rule": decision.matched_rule,
                "risk": decision.risk_level.name,
                "reason": decision.reason,
                "not_bound": list(request.opaque),
            },
        }

    def _read(self, request: ApprovalRequest, answer: Any) -> ApprovalAnswer:
        said = answer if isinstance(answer, dict) else {}
        approver = said["approver"] if isinstance(said.get("approver"), str) else "langgraph"
        reason = said["reason"] if isinstance(said.get("reason"), str) else None
        if said.get("digest") != request.digest or not self._issued(request, said.get("id")):
            return request.deny(approver=approver, reason="the graph was resumed with something that is no answer to this request")
        if self._expiry(said["id"]) <= now_us():
            return request.deny(approver=approver, reason="the answer came after the request had expired")
        if said.get("decision") != "approve":
            return request.deny(approver=approver, reason=reason)
        edits = said.get("edits") or {}
        return ApprovalAnswer(request.id, request.digest, approved=True, approver=approver, reason=reason, edits=edits)

    def _id(self, request: ApprovalRequest, expires_at: int) -> str:
        proof = self._runtime.audit_logger.digest(canonical((*self._place, request.digest, expires_at)))
        return f"{expires_at:x}.{proof}"

    def _issued(self, request: ApprovalRequest, id: object) -> bool:  # noqa: A002 - the field's name
        if not isinstance(id, str) or not id.isascii():
            return False
        try:
            return hmac.compare_digest(id, self._id(request, self._expiry(id)))
        except ValueError:
            return False

    @staticmethod
    def _expiry(id: str) -> int:  # noqa: A002 - the field's name
        return int(id.partition(".")[0], 16)
