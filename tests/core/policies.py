"""Small policies that tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from aegis_core.policy.policy import Policy
from aegis_core.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterable

AUTO = Policy.from_dict({"version": "1", "defaults": {"risk_level": "low", "approval": "auto"}})
BLOCK = Policy.from_dict({"version": "1", "rules": [{"name": "stop", "approval": "block"}]})
ASK = Policy.from_dict({"version": "1", "rules": [{"name": "ask", "approval": "approve"}]})
ASK_ELSEWHERE = Policy.from_dict({"version": "1", "rules": [{"name": "ask_anew", "approval": "approve"}]})


def runtime(policy: Policy = AUTO, answers: Iterable[Any] = (), **options: Any) -> Runtime:
    """A runtime with a trail in memory and a scripted approver."""
    options.setdefault("audit_logger", MemoryAuditLogger())
    options.setdefault("approval_handler", ScriptedApprovalHandler(answers))
    return Runtime(policy=policy, **options)


def records(governed: Runtime) -> list[Any]:
    """What is on the runtime's trail."""
    return governed.audit_logger.records  # type: ignore[attr-defined]


def kinds(governed: Runtime) -> list[str]:
    """The records as words: ``Intent``, ``Outcome success``, ``Refusal denied``, ..."""
    return [
        f"{type(record).__name__} {record.status}" if hasattr(record, "status") else type(record).__name__
        for record in records(governed)
    ]


def asked(governed: Runtime) -> int:
    """How often a person was asked."""
    return len(governed.approval_handler.requests)  # type: ignore[attr-defined]
