"""Picking a call up from its approval request: in another process, after a restart, by the call's id.

The request holds the call (`filed`). It is rebuilt only if it is exact, and must come to the digest that the approval
binds to: what runs is what was approved, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aegis_core.approval.filed import action_of
from aegis_core.approval.queue import QueueApprovalHandler
from aegis_core.approval.store import ApprovalStore
from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.errors import ApprovalError
from aegis_core.request import ApprovalRequest
from aegis_core.result import ResultStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_core.action import Action
    from aegis_core.approval.store import Ticket
    from aegis_core.request import ApprovalAnswer
    from aegis_core.result import Result

__all__ = ["let_go", "pick_up"]

_LAST = "SELECT kind, result_status FROM records WHERE call_id = ? AND kind <> 'outcome' ORDER BY seq DESC LIMIT 1"


def pick_up(
    trail: Any, call_id: str, bind: Callable[[Action, Decision], str]
) -> tuple[ApprovalRequest, ApprovalAnswer]:
    """What a call was asked about last, and what has been answered.

    Args:
        trail: The authority.
        call_id: The call.
        bind: What an approval of an action, asked for by some rules, binds to.

    Raises:
        ApprovalError: There is no such call, it has ended, or it cannot be rebuilt exactly.
        AuditError: The trail cannot be read.
    """
    if not callable(getattr(trail, "transact", None)):
        raise ApprovalError(f"{type(trail).__name__} stores no approvals, so no call can be resumed from it")
    ticket = ApprovalStore(trail).of_call(call_id)
    if ticket is None:
        raise ApprovalError(f"no call {call_id!r} was ever filed for approval on this trail")
    last = _last(trail, call_id)
    if last is not None and last[1] != ResultStatus.PENDING_APPROVAL:
        how = "has run, or is running" if last[0] == "intent" else f"has ended: {last[1]}"
        raise ApprovalError(f"call {call_id} {how}; it is not resumed")
    request = _rebuilt(ticket, call_id, bind)
    return request, QueueApprovalHandler(trail, wait=False).settle(request, ticket)


def let_go(trail: Any, request: ApprovalRequest, result: Result) -> None:
    """A resumed call that was refused waits for nobody any more."""
    if result.refused and result.status is not ResultStatus.PENDING_APPROVAL:
        ApprovalStore(trail).leave(request.id, request.call_id, f"the call was resumed and ended: {result.status}")


def _last(trail: Any, call_id: str) -> tuple[str, str | None] | None:
    """What is on the trail about a call: the kind of its last record but for its outcome, and the status that says."""

    def work(db: Any) -> Any:
        return db.execute(_LAST, (call_id,)).fetchone()

    return trail.read(work)  # type: ignore[no-any-return]


def _rebuilt(ticket: Ticket, call_id: str, bind: Callable[[Action, Decision], str]) -> ApprovalRequest:
    filed = ticket.request
    if filed.get("exact") is not True:
        raise ApprovalError(
            f"call {call_id} cannot be resumed: its arguments hold a secret, or a value that JSON does not keep, and so"
            " are not on record as they were; make the call again with the same arguments, its approval covers that"
        )
    decision = Decision(
        Approval.APPROVE,
        RiskLevel[filed["risk"]],
        filed["rule"],
        filed["reason"],
        deciders=(_Rules(filed["rules_digest"]),),
    )
    action = action_of(filed)
    if bind(action, decision) != ticket.digest:
        raise ApprovalError(
            f"call {call_id} cannot be resumed: its record is not what was asked about; it was changed, or the key of"
            " the trail is another one"
        )
    return ApprovalRequest(
        id=ticket.id,
        call_id=call_id,
        action=action,
        decision=decision,
        digest=ticket.digest,
        policy_digest=filed["policy_digest"],
        created_at=ticket.created_at,
        expires_at=ticket.expires_at,
    )


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules that asked, of which the record keeps what they amount to."""

    digest: str
