"""The durable queue: filed, joined, answered from elsewhere, used once."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from aegis import Action, ResultStatus, Runtime
from aegis.errors import ApprovalError, AuditError
from aegis.runtime.audit_logging import LoggingAuditLogger
from aegis.testing import MemoryAuditLogger
from aegis_core.approval.queue import QueueApprovalHandler
from aegis_core.approval.store import ApprovalStore
from aegis_core.audit.sqlite import AuditLogger
from tests.core.policies import ASK, ASK_ELSEWHERE, AUTO, BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aegis_core.approval.store import Ticket

CALL = Action("write_file", "filesystem", {"path": "/data/a", "options": {"mode": 420}}, agent="bot")


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[AuditLogger]:
    with AuditLogger(tmp_path / "aegis_audit.db") as logger:
        yield logger


def governed(trail: AuditLogger, *, wait: bool | float = True, **options: Any) -> Runtime:
    options.setdefault("approval_timeout", 10)
    options.setdefault("policy", ASK)
    return Runtime(audit_logger=trail, approval_handler=QueueApprovalHandler(trail, wait=wait), **options)


def waiting(trail: AuditLogger, count: int = 1) -> list[Ticket]:
    """The requests that wait, once there are so many."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(AuditError):  # before the first write there is no file
            found = ApprovalStore(trail).requests(pending=True)
            if len(found) >= count:
                return found
        time.sleep(0.005)
    raise AssertionError(f"never saw {count} requests waiting")


def answered(trail: AuditLogger, **answer: Any) -> threading.Thread:
    """Answers the next request that waits, from another thread."""
    answer = {"approved": True, "approver": "bob", "via": "test", **answer}

    def body() -> None:
        ApprovalStore(trail).answer(waiting(trail)[0].id, **answer)

    thread = threading.Thread(target=body)
    thread.start()
    return thread


def test_a_call_waits_and_runs_on_the_answer_of_another_thread(trail: AuditLogger) -> None:
    thread = answered(trail, reason="looks right")
    result = governed(trail).run(CALL, lambda arguments: arguments)
    thread.join()
    assert result.data == {"path": "/data/a", "options": {"mode": 420}}
    (entry,) = trail.get_log()
    assert (entry["human_decision"], entry["approver"], entry["result_status"]) == ("approved", "bob", "success")
    (ticket,) = ApprovalStore(trail).requests()
    assert (ticket.state, ticket.consumed_by) == ("used", entry["call_id"])


def test_a_no_is_heard_with_its_reason(trail: AuditLogger) -> None:
    thread = answered(trail, approved=False, reason="not on a Friday")
    result = governed(trail).run(CALL, lambda _: pytest.fail("it ran"))
    thread.join()
    assert result.status is ResultStatus.DENIED
    assert "not on a Friday" in (result.error or "")


def _answer_from_another_process(path: str) -> None:
    with AuditLogger(path) as trail:
        ApprovalStore(trail).answer(waiting(trail)[0].id, approved=True, approver="bob", via="test")


async def test_a_call_is_woken_by_the_answer_of_another_process(trail: AuditLogger) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_answer_from_another_process, args=(trail.path,))
    process.start()
    result = await governed(trail, approval_timeout=60).arun(CALL, lambda arguments: arguments)
    process.join()
    assert result.ok


def test_without_waiting_the_call_is_pending_and_runs_once_when_made_again(trail: AuditLogger) -> None:
    runtime = governed(trail, wait=False)
    first = runtime.run(CALL, lambda _: pytest.fail("it ran"))
    assert first.status is ResultStatus.PENDING_APPROVAL
    (ticket,) = waiting(trail)
    assert ticket.id in (first.error or "")
    assert runtime.run(CALL, lambda _: pytest.fail("it ran")).status is ResultStatus.PENDING_APPROVAL
    assert len(ApprovalStore(trail).requests()) == 1, "the same call joins the request that waits"
    ApprovalStore(trail).answer(ticket.id, approved=True, approver="bob", via="test")
    assert runtime.run(CALL, lambda _: "ran").data == "ran"
    assert runtime.run(CALL, lambda _: pytest.fail("it ran twice")).status is ResultStatus.PENDING_APPROVAL


def test_without_waiting_a_no_is_heard_once_and_then_asked_anew(trail: AuditLogger) -> None:
    runtime = governed(trail, wait=False)
    runtime.run(CALL, lambda _: pytest.fail("it ran"))
    ApprovalStore(trail).answer(waiting(trail)[0].id, approved=False, approver="bob", via="test")
    assert runtime.run(CALL, lambda _: pytest.fail("it ran")).status is ResultStatus.DENIED
    assert runtime.run(CALL, lambda _: pytest.fail("it ran")).status is ResultStatus.PENDING_APPROVAL


def test_a_restart_between_request_and_answer_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "aegis_audit.db"
    with AuditLogger(path) as before:
        governed(before, wait=False).run(CALL, lambda _: pytest.fail("it ran"))
    with AuditLogger(path) as between:
        ApprovalStore(between).answer(waiting(between)[0].id, approved=True, approver="bob", via="test")
    with AuditLogger(path) as after:
        assert governed(after, wait=False).run(CALL, lambda _: "ran").data == "ran"


async def test_identical_calls_share_one_request_and_one_of_them_claims_the_yes(trail: AuditLogger) -> None:
    runtime = governed(trail, approval_timeout=1.5)
    calls = [asyncio.create_task(runtime.arun(CALL, lambda _: "ran")) for _ in range(2)]
    (ticket,) = await asyncio.to_thread(waiting, trail)
    await asyncio.sleep(0.2)  # both have joined
    ApprovalStore(trail).answer(ticket.id, approved=True, approver="bob", via="test")
    results = sorted((await asyncio.gather(*calls)), key=lambda result: result.status)
    assert [result.status for result in results] == [ResultStatus.DENIED, ResultStatus.SUCCESS]
    assert "timeout" in (results[0].error or ""), "the other one asked anew, and nobody answered"
    assert len(ApprovalStore(trail).requests()) == 2


def test_of_two_who_answer_the_second_is_told_who_was_first(trail: AuditLogger) -> None:
    governed(trail, wait=False).run(CALL, lambda _: None)
    approvals, (ticket,) = ApprovalStore(trail), waiting(trail)
    outcomes: list[str] = []

    def answer(approver: str) -> None:
        try:
            approvals.answer(ticket.id, approved=approver == "alice", approver=approver, via="test")
            outcomes.append("accepted")
        except ApprovalError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=answer, args=(name,)) for name in ("alice", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(text == "accepted" for text in outcomes) == [False, True]
    assert any("already answered by" in text for text in outcomes)


def test_whoever_asked_cannot_answer(trail: AuditLogger) -> None:
    governed(trail, wait=False).run(CALL, lambda _: None)
    with pytest.raises(ApprovalError, match="'bot' asked for this call"):
        ApprovalStore(trail).answer(waiting(trail)[0].id, approved=True, approver="bot", via="test")


def test_a_request_that_nobody_waits_for_any_more_is_withdrawn(trail: AuditLogger) -> None:
    assert governed(trail, approval_timeout=0.1).run(CALL, lambda _: None).status is ResultStatus.DENIED
    approvals = ApprovalStore(trail)
    deadline = time.monotonic() + 10
    while (ticket := approvals.requests()[0]).state == "pending" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ticket.state == "withdrawn"
    with pytest.raises(ApprovalError, match="was withdrawn"):
        approvals.answer(ticket.id, approved=True, approver="bob", via="test")


def test_after_its_time_a_request_cannot_be_answered_nor_a_yes_be_used(trail: AuditLogger) -> None:
    runtime = governed(trail, wait=False)
    runtime.run(CALL, lambda _: None)
    (ticket,) = waiting(trail)
    ApprovalStore(trail).answer(ticket.id, approved=True, approver="bob", via="test")
    let_expire(trail)
    assert ApprovalStore(trail).get(ticket.id).state == "expired"
    assert runtime.run(CALL, lambda _: pytest.fail("it ran")).status is ResultStatus.PENDING_APPROVAL
    (fresh,) = [found for found in ApprovalStore(trail).requests() if found.id != ticket.id]
    let_expire(trail)
    with pytest.raises(ApprovalError, match="has expired"):
        ApprovalStore(trail).answer(fresh.id, approved=True, approver="bob", via="test")


def let_expire(trail: AuditLogger) -> None:
    """The hour of every request has passed."""
    trail.transact(lambda transaction: transaction.execute("UPDATE approvals SET expires_at = created_at + 1"))


def test_an_edit_makes_a_new_call_that_is_asked_about_as_it_will_run(trail: AuditLogger) -> None:
    def approver() -> None:
        ApprovalStore(trail).answer(
            waiting(trail)[0].id, approved=True, approver="bob", via="test", edits={"/options/mode": 384}
        )
        (second,) = waiting(trail)
        assert second.request["params"] == {"path": "/data/a", "options": {"mode": 384}}
        ApprovalStore(trail).answer(second.id, approved=True, approver="bob", via="test")

    thread = threading.Thread(target=approver)
    thread.start()
    result = governed(trail).run(CALL, lambda arguments: arguments)
    thread.join()
    assert result.data == {"path": "/data/a", "options": {"mode": 384}}
    assert trail.get_log()[-1]["action_params"] == {"path": "/data/a", "options": {"mode": 384}}


def test_an_edit_of_an_argument_that_is_not_there_is_no_yes(trail: AuditLogger) -> None:
    thread = answered(trail, edits={"/options/owner": "root"})
    result = governed(trail).run(CALL, lambda _: pytest.fail("it ran"))
    thread.join()
    assert result.status is ResultStatus.DENIED
    assert "names no argument" in (result.error or "")


@pytest.mark.parametrize(
    "other",
    [
        CALL.replace(params={"path": "/data/b", "options": {"mode": 420}}),
        CALL.replace(params={"path": "/data/a", "options": {"mode": "420"}}),
        CALL.replace(params={"path": "/data/\u0061\u200b", "options": {"mode": 420}}),
        CALL.replace(type="write_files"),
        CALL.replace(target="other"),
        CALL.replace(agent="another"),
        CALL.replace(user="somebody"),
    ],
)
def test_a_yes_covers_no_other_call(trail: AuditLogger, other: Action) -> None:
    runtime = governed(trail, wait=False)
    runtime.run(CALL, lambda _: None)
    ApprovalStore(trail).answer(waiting(trail)[0].id, approved=True, approver="bob", via="test")
    assert runtime.run(other, lambda _: pytest.fail("it ran")).status is ResultStatus.PENDING_APPROVAL
    reordered = CALL.replace(params={"options": {"mode": 420}, "path": "/data/a"})
    assert runtime.run(reordered, lambda _: "ran").ok, "the order of keys means nothing"


@pytest.mark.parametrize(
    ("policy", "status"),
    [(AUTO, ResultStatus.SUCCESS), (BLOCK, ResultStatus.BLOCKED), (ASK_ELSEWHERE, ResultStatus.PENDING_APPROVAL)],
)
def test_a_yes_is_judged_again_by_the_policy_in_force_when_it_is_used(
    trail: AuditLogger, policy: Any, status: ResultStatus
) -> None:
    runtime = governed(trail, wait=False)
    runtime.run(CALL, lambda _: None)
    ApprovalStore(trail).answer(waiting(trail)[0].id, approved=True, approver="bob", via="test")
    runtime.update_policy(policy)
    assert runtime.run(CALL, lambda _: "ran").status is status


def test_arguments_passed_by_reference_cannot_be_filed(trail: AuditLogger) -> None:
    result = governed(trail).run(Action("x", "y", {"connection": object()}), lambda _: pytest.fail("it ran"))
    assert "passed by reference (connection)" in (result.error or "")


def test_what_is_filed_holds_no_secret(trail: AuditLogger) -> None:
    governed(trail, wait=False).run(CALL.replace(params={"password": "hunter2", "path": "/a"}), lambda _: None)
    (ticket,) = waiting(trail)
    assert ticket.request["params"]["path"] == "/a"
    assert ticket.request["params"]["password"].startswith("[redacted: 7 characters, ")
    rows: list[Any] = trail.read(lambda db: db.execute("SELECT * FROM approvals").fetchall())
    assert "hunter2" not in repr(rows)


def test_every_change_of_a_request_is_on_the_trail_and_the_chain_holds(trail: AuditLogger) -> None:
    runtime = governed(trail, wait=False)
    runtime.run(CALL, lambda _: None)
    ApprovalStore(trail).answer(waiting(trail)[0].id, approved=True, approver="bob", via="test", reason="fine")
    events = trail.read(lambda db: db.execute("SELECT data FROM records WHERE kind LIKE 'approval%'").fetchall())
    assert len(events) == 2, events
    assert trail.verify().ok


def _many(count: int) -> Callable[[int], Action]:
    return lambda number: CALL.replace(params={"path": f"/data/{number % count}"})


def test_what_waits_is_listed_oldest_first_without_what_was_answered(trail: AuditLogger) -> None:
    runtime = governed(trail, wait=False)
    for number in range(3):
        runtime.run(_many(3)(number), lambda _: None)
    store = ApprovalStore(trail)
    ids = [ticket.id for ticket in store.requests()]
    assert store.waiting() == ids
    store.answer(ids[1], approved=False, approver="bob", via="test")
    assert store.waiting() == [ids[0], ids[2]]


async def test_two_hundred_may_wait_at_once_and_each_hears_its_own_answer(trail: AuditLogger) -> None:
    runtime, make = governed(trail, approval_timeout=60), _many(200)
    calls = [asyncio.create_task(runtime.arun(make(number), lambda arguments: arguments)) for number in range(200)]
    tickets = await asyncio.to_thread(waiting, trail, 200)
    approvals = ApprovalStore(trail)

    def answer_all() -> None:
        for ticket in tickets:
            even = int(ticket.request["params"]["path"].rpartition("/")[2]) % 2 == 0
            approvals.answer(ticket.id, approved=even, approver="bob", via="test")

    await asyncio.to_thread(answer_all)
    results = await asyncio.gather(*calls)
    assert [result.ok for result in results] == [number % 2 == 0 for number in range(200)]
    assert all(result.data == {"path": f"/data/{number}"} for number, result in enumerate(results) if result.ok)


def test_a_runtime_refuses_a_queue_whose_approvals_it_could_not_use_up(trail: AuditLogger, tmp_path: Path) -> None:
    handler = QueueApprovalHandler(trail)
    others: list[Any] = [LoggingAuditLogger(), MemoryAuditLogger(), [LoggingAuditLogger(), trail], None]
    for audit_logger in others:
        with pytest.raises(ValueError, match="QueueApprovalHandler files its requests in another place"):
            Runtime(policy=ASK, audit_logger=audit_logger, approval_handler=handler)
    with AuditLogger(tmp_path / "other.db") as other, pytest.raises(ValueError, match="give both the same"):
        Runtime(policy=ASK, audit_logger=other, approval_handler=handler)
    Runtime(policy=ASK, audit_logger=[trail, LoggingAuditLogger()], approval_handler=handler)
    with AuditLogger(trail.path) as same:
        Runtime(policy=ASK, audit_logger=same, approval_handler=handler)


def test_the_default_trail_and_a_queue_on_it_belong_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        AuditLogger() as trail,
        Runtime(policy=ASK, approval_handler=QueueApprovalHandler(trail, wait=False)) as runtime,
    ):
        assert runtime.run(CALL, lambda _: None).status is ResultStatus.PENDING_APPROVAL
        (ticket,) = waiting(trail)
        ApprovalStore(trail).answer(ticket.id, approved=True, approver="bob", via="test")
        assert runtime.run(CALL, lambda _: "ran").ok


@pytest.mark.parametrize("store", [None, "aegis_audit.db", MemoryAuditLogger()])
def test_a_queue_needs_a_trail_that_can_hold_approvals(store: Any) -> None:
    with pytest.raises(TypeError, match="a trail that can hold them, such as AuditLogger"):
        QueueApprovalHandler(store)
