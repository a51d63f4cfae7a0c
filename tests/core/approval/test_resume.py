"""A call is picked up by its id, in another life of the program, and runs what was approved, once."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from aegis import Action, Result, ResultStatus, Runtime
from aegis.adapters.base import BaseExecutor
from aegis.errors import ApprovalError
from aegis.runtime.approval import DenyAllApprovalHandler, QueueApprovalHandler
from aegis.testing import MemoryAuditLogger
from aegis_core.approval.store import ApprovalStore
from aegis_core.audit.sqlite import AuditLogger
from tests.core.policies import ASK, ASK_ELSEWHERE, AUTO, BLOCK

if TYPE_CHECKING:
    from aegis_core.approval.store import Ticket

PARAMS = {"path": "/data/a", "options": {"mode": 420, "tags": ["x", "ü\u200b"]}}
CALL = Action("write_file", "filesystem", PARAMS, agent="bot", user="ann", labels={"run": "7"}, description="nightly")


def asking(trail: AuditLogger, **options: Any) -> Runtime:
    options.setdefault("approval_handler", QueueApprovalHandler(trail, wait=False))
    return Runtime(policy=options.pop("policy", ASK), audit_logger=trail, **options)


def pending(trail: AuditLogger, action: Action = CALL) -> str:
    """A call that waits, made by a runtime that is gone; its id."""
    result = asking(trail).run(action, lambda _: pytest.fail("it ran"))
    assert result.status is ResultStatus.PENDING_APPROVAL, result.error
    return result.call_id or ""


def answer(trail: AuditLogger, **said: Any) -> Ticket:
    (ticket,) = ApprovalStore(trail).requests(pending=True)
    return ApprovalStore(trail).answer(ticket.id, **{"approved": True, "approver": "bob", "via": "test", **said})


def never(_: dict[str, Any]) -> Any:
    pytest.fail("it ran")


def test_an_approved_call_runs_exactly_as_it_was_approved_and_once(either: AuditLogger) -> None:
    call_id = pending(either)
    answer(either)
    result = asking(either).resume(call_id, lambda arguments: arguments)
    assert (result.data, result.call_id) == (PARAMS, call_id)
    assert (result.action.agent, result.action.user, result.action.labels) == ("bot", "ann", {"run": "7"})
    (entry,) = either.get_log()
    assert (entry["call_id"], entry["result_status"], entry["approver"]) == (call_id, "success", "bob")
    assert (entry["description"], entry["action_params"]) == ("nightly", PARAMS)
    with pytest.raises(ApprovalError, match="has run, or is running"):
        asking(either).resume(call_id, never)
    assert ApprovalStore(either).requests()[0].state == "used"


async def test_the_same_from_a_coroutine_with_an_async_tool(either: AuditLogger) -> None:
    call_id = pending(either)
    answer(either)

    async def tool(arguments: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return arguments

    assert (await asking(either).aresume(call_id, tool)).data == PARAMS
    with pytest.raises(ApprovalError, match="has run"):
        await asking(either).aresume(call_id, tool)


def test_the_executor_runs_it_where_no_tool_is_given(either: AuditLogger) -> None:
    class Executor(BaseExecutor):
        async def execute(self, action: Action) -> Result:
            return Result(action, ResultStatus.SUCCESS, action.params)

    call_id = pending(either)
    answer(either)
    assert asking(either, executor=Executor()).resume(call_id).data == PARAMS


def test_while_nobody_has_answered_it_stays_pending_and_is_one_entry(either: AuditLogger) -> None:
    call_id = pending(either)
    for _ in range(2):
        result = asking(either).resume(call_id, never)
        assert (result.status, result.call_id) == (ResultStatus.PENDING_APPROVAL, call_id)
    assert [entry["call_id"] for entry in either.get_log()] == [call_id]
    answer(either)
    assert asking(either).resume(call_id, lambda _: "ran").data == "ran"


def test_a_no_is_heard_and_ends_it(either: AuditLogger) -> None:
    call_id = pending(either)
    answer(either, approved=False, reason="not on a Friday")
    result = asking(either, policy=AUTO).resume(call_id, never)
    assert (result.status, "not on a Friday" in (result.error or "")) == (ResultStatus.DENIED, True)
    with pytest.raises(ApprovalError, match="has ended: denied"):
        asking(either).resume(call_id, never)


def test_a_yes_that_lapsed_or_was_withdrawn_runs_nothing(either: AuditLogger) -> None:
    late = pending(either)
    answer(either)
    either.transact(lambda transaction: transaction.execute("UPDATE approvals SET expires_at = created_at + 1"))
    assert asking(either).resume(late, never).status is ResultStatus.DENIED
    gone = pending(either)
    (ticket,) = ApprovalStore(either).requests(pending=True)
    ApprovalStore(either).leave(ticket.id, gone, "called off")
    assert "was withdrawn before anybody answered" in (asking(either).resume(gone, never).error or "")


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (ASK, ResultStatus.SUCCESS),
        (AUTO, ResultStatus.SUCCESS),
        (BLOCK, ResultStatus.BLOCKED),
        (ASK_ELSEWHERE, ResultStatus.PENDING_APPROVAL),
    ],
)
def test_it_is_judged_again_by_the_policy_in_force(either: AuditLogger, policy: Any, status: ResultStatus) -> None:
    call_id = pending(either)
    answer(either)
    assert asking(either, policy=policy).resume(call_id, lambda _: "ran").status is status
    if policy is AUTO:
        assert ApprovalStore(either).requests()[0].state == "used", "the yes is used up all the same"
        assert asking(either, policy=AUTO).run(CALL, lambda _: "ran").ok
    if policy is ASK_ELSEWHERE:  # asked anew, by the rules that ask now, as the same call
        answer(either)
        assert asking(either, policy=policy).resume(call_id, lambda _: "ran").data == "ran"
        with pytest.raises(ApprovalError, match="has run"):
            asking(either).resume(call_id, never)


def test_a_pending_call_that_is_blocked_now_has_ended_and_its_request_is_withdrawn(either: AuditLogger) -> None:
    call_id = pending(either)
    assert asking(either, policy=BLOCK).resume(call_id, never).status is ResultStatus.BLOCKED
    assert ApprovalStore(either).requests()[0].state == "withdrawn"


def test_a_pending_call_needs_its_yes_also_where_the_policy_has_come_to_ask_nobody(either: AuditLogger) -> None:
    assert asking(either, policy=AUTO).resume(pending(either), never).status is ResultStatus.PENDING_APPROVAL


def test_an_edited_call_is_judged_and_asked_about_and_then_resumed_as_it_was_edited(either: AuditLogger) -> None:
    call_id = pending(either)
    answer(either, edits={"path": "/data/b"})
    assert asking(either).resume(call_id, never).status is ResultStatus.PENDING_APPROVAL
    answer(either)
    assert asking(either).resume(call_id, lambda arguments: arguments["path"]).data == "/data/b"
    assert {ticket.state for ticket in ApprovalStore(either).requests()} == {"used"}


def test_a_call_with_a_secret_is_not_resumed_and_says_what_to_do(either: AuditLogger) -> None:
    action = CALL.replace(params={"password": "hunter2"})
    call_id = pending(either, action)
    answer(either)
    with pytest.raises(ApprovalError, match=r"hold a secret.*make the call again with the same arguments"):
        asking(either).resume(call_id, never)
    assert asking(either).run(action, lambda arguments: arguments).data == {"password": "hunter2"}


def test_17_a_record_that_was_changed_runs_nothing(either: AuditLogger) -> None:
    call_id = pending(either)
    answer(either)
    (request,) = either.read(lambda db: db.execute("SELECT request FROM approvals").fetchone())
    forged = request.replace("/data/a", "/etc/passwd")
    either.transact(lambda transaction: transaction.execute("UPDATE approvals SET request = ?", (forged,)))
    with pytest.raises(ApprovalError, match="is not what was asked about"):
        asking(either).resume(call_id, never)


def test_another_key_resumes_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "aegis_audit.db"
    with AuditLogger(path) as trail:
        call_id = pending(trail)
        answer(trail)
    monkeypatch.setenv("AEGIS_KEY_FILE", str(tmp_path / "another"))
    with AuditLogger(path) as trail, pytest.raises(ApprovalError, match="the key of the trail is another one"):
        asking(trail).resume(call_id, never)


def test_an_unknown_call_is_said_to_be_one(either: AuditLogger) -> None:
    asking(either).run(CALL, never)
    with pytest.raises(ApprovalError, match="no call 'nothing' was ever filed"):
        asking(either).resume("nothing", never)
    memory = Runtime(policy=ASK, audit_logger=MemoryAuditLogger(), approval_handler=DenyAllApprovalHandler())
    with pytest.raises(ApprovalError, match="MemoryAuditLogger stores no approvals"):
        memory.resume("nothing", never)


def test_of_calls_that_share_a_request_one_runs_and_the_other_is_told(either: AuditLogger) -> None:
    first, second = pending(either), pending(either)
    answer(either)
    assert asking(either).resume(second, lambda _: "ran").ok
    result = asking(either, policy=AUTO).resume(first, never)
    assert (result.status, "used up" in (result.error or "")) == (ResultStatus.DENIED, True)


def test_a_waiting_call_that_was_resumed_elsewhere_does_not_run_again(either: AuditLogger) -> None:
    """The yes wakes the call that waits, and somebody resumes it in the same moment: one of the two runs."""
    runtime = asking(either, approval_handler=QueueApprovalHandler(either), approval_timeout=10)
    ran: list[str] = []
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(runtime.run(CALL, lambda _: ran.append("waited"))))
    thread.start()
    store, deadline = ApprovalStore(either), time.monotonic() + 10
    tickets: list[Ticket] = []
    while not tickets and time.monotonic() < deadline:
        try:
            tickets = store.requests(pending=True)
        except Exception:  # noqa: BLE001 - there is no trail yet
            time.sleep(0.01)
    answer(either)
    with contextlib.suppress(ApprovalError):
        asking(either).resume(tickets[0].call_id, lambda _: ran.append("resumed"))
    thread.join()
    assert len(ran) == 1


def _resume(path: str, call_id: str, barrier: Any, ran: Any) -> None:
    with AuditLogger(path) as trail:
        runtime = Runtime(policy=AUTO, audit_logger=trail, approval_handler=DenyAllApprovalHandler())
        barrier.wait()
        try:
            result = runtime.resume(call_id, lambda _: "ran")
        except ApprovalError:
            ran.put(False)
        else:
            ran.put(result.ok)


def test_of_many_processes_that_resume_a_call_one_runs_it(stored: str) -> None:
    with AuditLogger(stored) as trail:
        call_id = pending(trail)
        answer(trail)
    context = multiprocessing.get_context("spawn")
    barrier, ran = context.Barrier(3), context.Queue()
    processes = [context.Process(target=_resume, args=(stored, call_id, barrier, ran)) for _ in range(3)]
    for process in processes:
        process.start()
    assert sorted(ran.get(timeout=60) for _ in processes) == [False, False, True]
    for process in processes:
        process.join()


WAITING = """
    import sys
    from aegis import Action, Runtime
    from aegis.runtime.approval import QueueApprovalHandler
    from aegis_core.audit.sqlite import AuditLogger
    from tests.core.policies import ASK

    trail = AuditLogger(sys.argv[1])
    runtime = Runtime(policy=ASK, audit_logger=trail, approval_handler=QueueApprovalHandler(trail))
    runtime.run(Action("write_file", "filesystem", {"path": "/data/a"}, agent="bot"), lambda _: print("ran"))
"""


def test_a_call_whose_process_was_killed_while_it_waited_is_resumed_after_the_restart(stored: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(WAITING), stored], stdout=subprocess.PIPE)
    try:
        with AuditLogger(stored) as trail:
            tickets: list[Ticket] = []
            deadline = time.monotonic() + 60
            while not tickets and time.monotonic() < deadline:
                try:
                    tickets = ApprovalStore(trail).requests(pending=True)
                except Exception:  # noqa: BLE001 - there is no trail yet
                    time.sleep(0.02)
            process.kill()
            assert process.communicate()[0] == b""
            assert ApprovalStore(trail).get(tickets[0].id).state == "pending", "the request outlives the process"
            answer(trail)
            assert asking(trail).resume(tickets[0].call_id, lambda arguments: arguments).data == {"path": "/data/a"}
            assert trail.verify().ok
    finally:
        process.kill()
        process.wait()
