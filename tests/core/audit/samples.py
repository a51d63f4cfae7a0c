"""Records to write in tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aegis_core.action import Action
from aegis_core.decision import Approval, Decision, Reservation, RiskLevel
from aegis_core.record import Intent, Outcome, Refusal, new_id, now_us
from aegis_core.result import ResultStatus

if TYPE_CHECKING:
    from aegis_core.request import ApprovalAnswer


@dataclass
class Rule:
    digest: str = "a" * 64


def decision(approval: Approval = Approval.AUTO, risk: RiskLevel = RiskLevel.LOW, **fields: Any) -> Decision:
    return Decision(approval, risk, "allow_reads", "allowed by rule 'allow_reads'", deciders=(Rule(),), **fields)


def action(params: dict[str, Any] | None = None, **fields: Any) -> Action:
    return Action(
        fields.pop("type", "read_file"), fields.pop("target", "filesystem"), params or {"path": "/data/x"}, **fields
    )


def intent(
    params: dict[str, Any] | None = None,
    *,
    answer: ApprovalAnswer | None = None,
    reserves: tuple[Reservation, ...] = (),
    risk: RiskLevel = RiskLevel.LOW,
    call_id: str | None = None,
    **fields: Any,
) -> Intent:
    judged = decision(risk=risk, reserves=reserves)
    return Intent(call_id or new_id(), now_us(), action(params, **fields), judged, "p" * 64, answer=answer)


def outcome(of: Intent, data: Any = "fine", status: ResultStatus = ResultStatus.SUCCESS, **fields: Any) -> Outcome:
    return Outcome(of.call_id, now_us(), status, 1234, of.action, of.decision, data=data, **fields)


def refusal(status: ResultStatus = ResultStatus.BLOCKED, *, call_id: str | None = None, **fields: Any) -> Refusal:
    answer = fields.pop("answer", None)
    return Refusal(
        call_id or new_id(),
        now_us(),
        action(**fields),
        decision(Approval.BLOCK, RiskLevel.CRITICAL),
        "p" * 64,
        status,
        "blocked by rule 'x'",
        answer,
    )


def call(store: Any, params: dict[str, Any] | None = None, **fields: Any) -> Intent:
    """Write a whole call."""
    begun = intent(params, **fields)
    store.write(begun)
    store.write(outcome(begun))
    return begun
