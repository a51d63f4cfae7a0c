"""How much people are asked is counted, and a rule they always say yes to is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aegis import Action, Runtime
from aegis.runtime.approval import CallbackApprovalHandler, DenyAllApprovalHandler, QueueApprovalHandler
from aegis_core.approval.fatigue import ENOUGH, Asked, fatigue
from aegis_core.approval.store import ApprovalStore
from aegis_core.audit.filters import Filters
from aegis_core.audit.sqlite import AuditLogger
from tests.core.policies import ASK, AUTO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALL = Action("write_file", "filesystem", {"path": "/a"}, session_id="s1")


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[AuditLogger]:
    with AuditLogger(tmp_path / "aegis_audit.db") as logger:
        yield logger


def ran(_: object) -> str:
    return "ran"


def silent(_: object) -> bool:
    raise TimeoutError


def answering(trail: AuditLogger, fn: object) -> Runtime:
    return Runtime(policy=ASK, audit_logger=trail, approval_handler=CallbackApprovalHandler(fn))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (True, f"approved {ENOUGH} of {ENOUGH}: consider auto"),
        (False, f"denied {ENOUGH} of {ENOUGH}: consider block"),
    ],
)
def test_19_a_rule_that_people_always_answer_alike_is_named(trail: AuditLogger, answer: bool, hint: str) -> None:
    runtime = answering(trail, lambda _: answer)
    for _ in range(ENOUGH - 1):
        runtime.run(CALL, ran)
    assert fatigue(trail.reader, Filters()).rules[0].hint is None
    runtime.run(CALL, ran)
    (row,) = fatigue(trail.reader, Filters()).rules
    assert (row.hint, row.approve_rate) == (hint, float(answer))


def test_answers_are_counted_by_rule_and_by_session(trail: AuditLogger) -> None:
    for answer, session in ((True, "s1"), (True, "s2"), (False, "s2"), (True, "s2")):
        answering(trail, lambda _, answer=answer: answer).run(CALL.replace(session_id=session), ran)
    found = fatigue(trail.reader, Filters())
    assert found.sessions == (Asked("s2", 2, 1, 0), Asked("s1", 1, 0, 0))
    (row,) = found.rules
    assert (row.approved, row.denied, row.asked, row.hint) == (3, 1, 4, None)
    assert fatigue(trail.reader, Filters(session_id="s1")).rules[0].asked == 1


def test_silence_is_no_answer_and_calls_that_ask_nobody_do_not_count(trail: AuditLogger) -> None:
    answering(trail, silent).run(CALL, ran)
    Runtime(policy=AUTO, audit_logger=trail, approval_handler=DenyAllApprovalHandler()).run(CALL, ran)
    (row,) = fatigue(trail.reader, Filters()).rules
    assert (row.approved, row.denied, row.unanswered, row.approve_rate) == (0, 0, 1, None)


def test_a_call_that_waits_counts_once_it_is_answered(trail: AuditLogger) -> None:
    runtime = Runtime(policy=ASK, audit_logger=trail, approval_handler=QueueApprovalHandler(trail, wait=False))
    runtime.run(CALL, ran)
    assert fatigue(trail.reader, Filters()).rules == ()
    (ticket,) = ApprovalStore(trail).requests(pending=True)
    ApprovalStore(trail).answer(ticket.id, approved=True, approver="ann", via="test")
    runtime.run(CALL, ran)
    (row,) = fatigue(trail.reader, Filters()).rules
    assert (row.approved, row.asked) == (1, 1)
