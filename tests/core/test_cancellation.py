"""Cancelling a call anywhere leaves the exact record: what ran, ran; what did not, did not; nothing is missing."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

from aegis.testing import MemoryAuditLogger
from aegis_core.action import Action
from aegis_core.audit.sqlite import AuditLogger
from aegis_core.record import Intent
from aegis_core.threads import in_thread
from tests.core.policies import ASK, AUTO, BLOCK, kinds, records, runtime

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_core.policy.policy import Policy
    from aegis_core.request import ApprovalAnswer, ApprovalRequest
    from aegis_core.runtime import Runtime

SEND = Action("send", "mail", {"to": "ann"})


class SlowTrail(MemoryAuditLogger):
    """Takes three turns of the event loop for a write, and keeps the promise of `Sink.awrite` about cancellation."""

    async def awrite(self, record: Any, redactor: Any = None) -> None:
        async def write() -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            self.write(record, redactor)

        writing = asyncio.ensure_future(write())
        cancelled = None
        while not writing.done():
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError as error:
                cancelled = error
        writing.result()
        if cancelled is not None:
            raise cancelled


class Tool:
    """Knows how far it got."""

    def __init__(self) -> None:
        self.began = self.ended = 0

    async def __call__(self, _arguments: dict[str, Any]) -> str:
        self.began += 1
        for _ in range(3):
            await asyncio.sleep(0)
        self.ended += 1
        return "done"


class Approver:
    """Says yes after three turns of the event loop."""

    async def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        for _ in range(3):
            await asyncio.sleep(0)
        return request.approve()


def check(governed: Runtime, tool: Tool, policy: Policy, *, completed: bool) -> None:
    """The record against what happened."""
    words = kinds(governed)
    if tool.ended:
        assert words == ["Intent", "Outcome success"]
    elif tool.began:
        assert words == ["Intent", "Outcome cancelled"]
    elif policy is BLOCK and words:
        assert words == ["Refusal blocked"]
    else:
        assert words in ([], ["Intent", "Outcome cancelled"], ["Refusal cancelled"])
        assert not completed
        if words and words[0] == "Intent":
            assert records(governed)[1].error == "cancelled before the tool ran"
    assert tool.began <= 1


@pytest.mark.parametrize("policy", [AUTO, ASK, BLOCK], ids=["auto", "approve", "block"])
@pytest.mark.parametrize("again", [None, 1, 2, 3, 5], ids=lambda turns: f"again after {turns}")
async def test_12_a_call_cancelled_at_any_turn_of_the_loop_leaves_the_exact_record(policy, again):
    cancelled_with: set[tuple[str, ...]] = set()
    for turns in range(40):
        tool = Tool()
        governed = runtime(policy, audit_logger=SlowTrail(), approval_handler=Approver())
        call = asyncio.ensure_future(governed.arun(SEND, tool))
        for _ in range(turns):
            await asyncio.sleep(0)
        completed = call.done()
        call.cancel()
        if again is not None:
            for _ in range(again):
                await asyncio.sleep(0)
            call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        assert completed or call.cancelled()
        check(governed, tool, policy, completed=completed)
        if not completed:
            cancelled_with.add(tuple(kinds(governed)))
    expected: dict[str, set[tuple[str, ...]]] = {
        "auto": {(), ("Intent", "Outcome cancelled"), ("Intent", "Outcome success")},
        "approve": {
            (),
            ("Refusal cancelled",),
            ("Intent", "Outcome cancelled"),
            ("Intent", "Outcome success"),
        },
        "block": {(), ("Refusal blocked",)},
    }
    name = "auto" if policy is AUTO else "approve" if policy is ASK else "block"
    assert cancelled_with == expected[name]  # every point was hit


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_12_the_same_on_a_file(turns, tmp_path: Path):
    tool = Tool()
    with AuditLogger(tmp_path / "audit.db") as trail:
        governed = runtime(audit_logger=trail)
        call = asyncio.ensure_future(governed.arun(SEND, tool))
        for _ in range(turns):
            await asyncio.sleep(0)
        completed = call.done()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        assert completed or call.cancelled()
        statuses = [entry["result_status"] for entry in trail.get_log()]
    if tool.ended:
        assert statuses == ["success"]
    elif tool.began:
        assert statuses == ["cancelled"]
    else:
        assert statuses in ([], ["cancelled"])


async def test_a_tool_that_will_not_be_cancelled_has_succeeded():
    async def stubborn(_arguments: dict[str, Any]) -> str:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return "done anyway"
        return "slept"

    governed = runtime()
    call = asyncio.ensure_future(governed.arun(SEND, stubborn))
    await asyncio.sleep(0.01)
    call.cancel()
    assert (await call).unwrap() == "done anyway"
    assert kinds(governed) == ["Intent", "Outcome success"]


async def test_12_a_sync_tool_whose_thread_goes_on_is_unknown_and_not_cancelled():
    going, may_end = threading.Event(), threading.Event()

    def work() -> str:
        going.set()
        may_end.wait(10)
        return "done"

    governed = runtime()
    call = asyncio.ensure_future(governed.arun(SEND, lambda _arguments: in_thread(work)))
    await asyncio.to_thread(going.wait, 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    may_end.set()
    assert kinds(governed) == ["Intent", "Outcome unknown"]


async def test_a_split_call_told_of_such_a_cancellation_is_unknown_too():
    governed = runtime()
    call = await governed.abegin(SEND)
    error = asyncio.CancelledError()
    error.aegis_still_running = True  # type: ignore[attr-defined]
    assert (await call.afail(error)).status == "unknown"
    assert kinds(governed) == ["Intent", "Outcome unknown"]


def test_12_ctrl_c_in_a_sync_tool_is_recorded_and_raised():
    interrupt = KeyboardInterrupt()

    def tool(_arguments: dict[str, Any]) -> None:
        raise interrupt

    governed = runtime()
    with pytest.raises(KeyboardInterrupt) as caught:
        governed.run(SEND, tool)
    assert caught.value is interrupt
    assert kinds(governed) == ["Intent", "Outcome cancelled"]


def test_12_ctrl_c_while_the_intent_is_written_is_recorded_and_the_tool_does_not_run():
    class Interrupted(MemoryAuditLogger):
        def write(self, record: Any, redactor: Any = None) -> None:
            super().write(record, redactor)
            if isinstance(record, Intent):
                raise KeyboardInterrupt

    ran: list[Any] = []
    governed = runtime(audit_logger=Interrupted())
    with pytest.raises(KeyboardInterrupt):
        governed.run(SEND, ran.append)
    assert ran == []
    assert kinds(governed) == ["Intent", "Outcome cancelled"]


async def test_cancelling_a_group_of_calls_records_each():
    governed = runtime(audit_logger=SlowTrail())

    async def forever(_arguments: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    async def failing(_arguments: dict[str, Any]) -> None:
        await asyncio.sleep(0.05)
        raise ValueError

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(governed.arun(SEND, forever))
            group.create_task(_unwrapped(governed, failing))

    with pytest.raises(ExceptionGroup):
        await main()
    assert sorted(kinds(governed)) == ["Intent"] * 6 + ["Outcome cancelled"] * 5 + ["Outcome failed"]


async def _unwrapped(governed: Runtime, tool: Any) -> Any:
    return (await governed.arun(SEND, tool)).unwrap()


async def test_a_loop_that_ends_early_leaves_no_call_without_an_end():
    governed = runtime(audit_logger=SlowTrail())

    def in_a_loop_of_its_own() -> None:
        async def forever(_arguments: dict[str, Any]) -> None:
            await asyncio.Event().wait()

        async def main() -> None:
            task = asyncio.ensure_future(governed.arun(SEND, forever))
            await asyncio.sleep(0.05)
            assert not task.done()

        asyncio.run(main())  # cancels what is left

    await asyncio.to_thread(in_a_loop_of_its_own)
    assert kinds(governed) == ["Intent", "Outcome cancelled"]
