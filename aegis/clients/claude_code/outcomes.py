"""Puts on record how a call ended of which a hook event says that it has. Loads no policy: none is asked.

The call's other process wrote down that it was to be made; what joins the two is the call's id.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis.clients.claude_code.event import readings
from aegis_core.action import Action
from aegis_core.audit.schema import NotATrail
from aegis_core.audit.sqlite import AuditLogger
from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.record import Event as TrailEvent
from aegis_core.record import Outcome, now_us
from aegis_core.result import ResultStatus
from aegis_core.snapshot import excerpt

if TYPE_CHECKING:
    from aegis.clients.claude_code.event import Event
    from aegis.clients.claude_code.hook import Options

__all__ = ["tell"]


def tell(options: Options, event: Event) -> None:
    """Put on record how a call ended; that it did is an event of its own where nobody wrote that it began.

    Raises:
        AuditError: The trail cannot be read or written.
    """
    with AuditLogger(options.db) as trail:
        call_id = event.call_id(trail.digest)
        entry = _entry(trail, call_id)
        kind, target = readings(event.tool)[0]
        if entry is None:
            facts = {"call_id": call_id, "type": kind, "target": target, "session_id": event.session, **event.facts}
            trail.write(TrailEvent("outcome_without_intent", data=facts))
            return
        if entry["result_status"] not in ("running", "unknown"):
            return  # told before: the hook stands in more than one of the client's settings
        status, error = _ended(event)
        at = now_us()
        decision = Decision(Approval(entry["approval"]), RiskLevel[entry["risk_level"]], entry["matched_rule"], "")
        action = Action(kind, target, event.arguments, session_id=event.session)
        data = excerpt(event.response) if status is ResultStatus.SUCCESS else None
        trail.write(Outcome(call_id, at, status, at - _began(entry), action, decision, data, error, "claude-code"))


def _entry(trail: AuditLogger, call_id: str) -> dict[str, Any] | None:
    try:
        return trail.reader.entry(call_id)
    except NotATrail:
        if "://" in str(trail.path) or Path(trail.path).exists():
            raise
        return None


def _ended(event: Event) -> tuple[ResultStatus, str | None]:
    if event.interrupted:
        return ResultStatus.CANCELLED, event.error or "interrupted by the user"
    if event.name == "PostToolUseFailure":
        return ResultStatus.FAILED, event.error or "the tool failed"
    return ResultStatus.SUCCESS, None


def _began(entry: dict[str, Any]) -> int:
    return int(datetime.fromisoformat(entry["timestamp"]).timestamp() * 1e6)
