"""What every integration must do: one list of behaviours, to be run against each way a tool call can enter.

Implement `Door` for the integration and run every behaviour that applies to it::

    @pytest.mark.parametrize("behaviour", conformance(MyDoor()))
    async def test_my_door(behaviour):
        await behaviour(MyDoor())

A behaviour is an async function that takes a door, and raises ``AssertionError`` if the door does not behave so. It
needs no test framework.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aegis.testing.approvals import ScriptedApprovalHandler
from aegis_core.audit.memory import MemoryAuditLogger
from aegis_core.errors import AuditError
from aegis_core.governed import governed
from aegis_core.policy.policy import Policy
from aegis_core.record import Intent, Outcome, Refusal
from aegis_core.request import ApprovalAnswer, ApprovalRequest
from aegis_core.runtime import Runtime

__all__ = ["Answer", "Behaviour", "Door", "ToolError", "conformance"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back through a door.

    Attributes:
        text: What the caller, or the model, is given to read.
        error: What was raised to the caller instead, if anything.
    """

    text: str = ""
    error: BaseException | None = None

    def reads(self, words: str) -> bool:
        """Whether the words are there to read."""
        return words in self.text or words in str(self.error)


class Door(Protocol):
    """One way into governed calls, as its author lets it be tested. Derive from it; override what differs."""

    target: str = "python"
    """The target under which policies know the tools behind this door."""
    sync: bool = False
    """Whether the tool behind it must be a plain function."""
    raises: bool = True
    """Whether a tool's own exception reaches the caller as the same object; else it is only there to read."""
    cancellable: bool = True
    """Whether cancelling the caller cancels the call."""
    edits: bool = True
    """Whether an approver's edits can be passed on to the tool; else an edited call must not run."""
    encloses: bool = True
    """Whether the tool runs inside the door's own call, so that `@governed` on its function joins that call."""

    def failure(self, message: str) -> Exception:
        """An exception whose message the framework does not hide from the caller."""
        return ToolError(message)

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        """Give the tool to the framework, govern it, call it once as the framework would, and say what came back.

        The tool is a function named ``send_note`` with parameters ``to``, ``text`` and ``password``, all strings.
        """
        ...


Behaviour = Callable[[Door], Awaitable[None]]


class ToolError(Exception):
    """What a tool raises here when it is told to fail."""


@dataclass(slots=True)
class _Tool:
    """The tool behind the door, and what became of it."""

    sync: bool
    error: Exception | None = None
    hangs: bool = False
    on_run: Callable[[], None] | None = None
    calls: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    started: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def function(self) -> Callable[..., Any]:
        def send_note(to: str, text: str, password: str) -> str:
            """Send somebody a note."""
            return self._run(to, text, password)

        if self.sync:
            return send_note

        async def asend_note(to: str, text: str, password: str) -> str:
            """Send somebody a note."""
            sent = self._run(to, text, password)
            if self.hangs:
                self.started.set()
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            return sent

        asend_note.__name__ = asend_note.__qualname__ = "send_note"
        return asend_note

    def _run(self, to: str, text: str, password: str) -> str:
        self.calls.append({"to": to, "text": text, "password": password})
        if self.on_run is not None:
            self.on_run()
        if self.error is not None:
            raise self.error
        return f"sent {text!r} to {to}"


_RULES: dict[str, dict[str, Any]] = {
    "allow": {"name": "allow_notes", "match": {"type": "send_note"}, "approval": "auto", "risk_level": "low"},
    "ask": {"name": "ask_for_notes", "match": {"type": "send_note"}, "approval": "approve", "risk_level": "medium"},
    "block": {"name": "block_notes", "match": {"type": "send_note"}, "approval": "block", "risk_level": "high"},
}
_NOTE = {"to": "bob", "text": "hello", "password": "hunter2-hunter2"}


def _policy(rule: str, door: Door, **conditions: Any) -> Policy:
    entry = {**_RULES[rule], "match": {"type": "send_note", "target": door.target}}
    if conditions:
        entry["conditions"] = conditions
    rules = [entry] if not conditions else [entry, _RULES["allow"]]
    return Policy.from_dict({"version": "1", "rules": rules})


class _World:
    """A runtime with everything it does in view."""

    def __init__(self, door: Door, policy: Policy, *, answers: Iterable[Any] = (), **options: Any) -> None:
        self.door = door
        self.trail = MemoryAuditLogger()
        self.handler = ScriptedApprovalHandler(answers)
        options.setdefault("approval_handler", self.handler)
        self.runtime = Runtime(policy=policy, audit_logger=self.trail, **options)
        self.tool = _Tool(door.sync)

    async def call(self, **arguments: str) -> Answer:
        return await self.door.call(self.runtime, self.tool.function, {**_NOTE, **arguments})

    @property
    def records(self) -> list[type]:
        return [type(record) for record in self.trail.records]

    def entry(self) -> dict[str, Any]:
        (only,) = self.trail.get_log()
        return only

    def did_not_run(self, status: str) -> None:
        assert self.tool.calls == [], f"the tool ran: {self.tool.calls}"
        assert self.records == [Refusal], f"a refused call is one record, got {self.records}"
        assert self.entry()["result_status"] == status, self.entry()

    def ran(self, status: str = "success", times: int = 1) -> None:
        assert len(self.tool.calls) == times, f"the tool ran {len(self.tool.calls)} times, not {times}"
        assert self.records == [Intent, Outcome] * times, f"a call is one intent and one outcome, got {self.records}"
        assert [entry["result_status"] for entry in self.trail.get_log()] == [status] * times


async def an_allowed_call_runs_once_and_its_result_comes_back(door: Door) -> None:
    world = _World(door, _policy("allow", door))
    answer = await world.call()
    world.ran()
    assert answer.error is None
    assert answer.reads("sent 'hello' to bob"), answer


async def policy_trail_and_tool_see_the_same_arguments(door: Door) -> None:
    world = _World(door, _policy("ask", door), answers=[True])
    await world.call(text="žluťoučký 🐎 \n 'quoted'")
    world.ran()
    (called,) = world.tool.calls
    (request,) = world.handler.requests
    action = request.action
    assert (action.type, action.target) == ("send_note", door.target), action
    assert action.params == called == {**_NOTE, "text": "žluťoučký 🐎 \n 'quoted'"}
    shown = world.entry()["action_params"]
    assert (shown["to"], shown["text"]) == (called["to"], called["text"])


async def a_call_has_one_intent_before_and_one_outcome_after(door: Door) -> None:
    world = _World(door, _policy("allow", door))
    written_when_the_tool_ran: list[type] = []
    world.tool.on_run = lambda: written_when_the_tool_ran.extend(world.records)
    await world.call()
    assert written_when_the_tool_ran == [Intent]
    world.ran()


async def a_blocked_call_does_not_run_and_the_model_can_read_why(door: Door) -> None:
    world = _World(door, _policy("block", door))
    answer = await world.call()
    world.did_not_run("blocked")
    for words in ("send_note", "block_notes", "did not run"):
        assert answer.reads(words), f"{words!r} is not in {answer}"


async def a_call_that_no_rule_allows_does_not_run(door: Door) -> None:
    world = _World(door, Policy.from_dict({"version": "1"}))
    await world.call()
    world.did_not_run("blocked")


async def an_approved_call_runs(door: Door) -> None:
    world = _World(door, _policy("ask", door), answers=[True])
    answer = await world.call()
    world.ran()
    assert answer.reads("sent 'hello' to bob"), answer
    assert len(world.handler.requests) == 1
    assert (world.entry()["human_decision"], world.entry()["approver"]) == ("approved", "script")


async def a_denied_call_does_not_run_and_the_model_can_read_why(door: Door) -> None:
    world = _World(door, _policy("ask", door), answers=[False])
    answer = await world.call()
    world.did_not_run("denied")
    assert answer.reads("denied"), answer
    assert len(world.handler.requests) == 1, "a refusal must not be tried again behind the caller's back"


async def an_answer_that_is_not_a_yes_is_a_no(door: Door) -> None:
    world = _World(door, _policy("ask", door), answers=[_say_yes])
    await world.call()
    world.did_not_run("denied")


async def an_approval_handler_that_raises_is_a_no(door: Door) -> None:
    world = _World(door, _policy("ask", door), answers=[RuntimeError("no network")])
    await world.call()
    world.did_not_run("denied")


async def an_approval_nobody_answers_times_out_and_the_call_does_not_run(door: Door) -> None:
    world = _World(door, _policy("ask", door), approval_handler=_Silent(), approval_timeout=0.05)
    answer = await world.call()
    world.did_not_run("denied")
    assert answer.reads("timeout"), answer


async def an_approvers_edit_is_what_runs_or_nothing_runs(door: Door) -> None:
    world = _World(door, _policy("ask", door, param_eq={"to": "bob"}), answers=[_edit_the_recipient])
    await world.call()
    if door.edits:
        world.ran()
        assert world.tool.calls == [{**_NOTE, "to": "carol"}]
        assert world.entry()["action_params"]["to"] == "carol"
    else:
        world.did_not_run("denied")


async def a_failing_tool_is_recorded_and_its_failure_comes_back(door: Door) -> None:
    world = _World(door, _policy("allow", door))
    world.tool.error = door.failure("the post office is closed")
    answer = await world.call()
    world.ran("failed")
    assert "the post office is closed" in world.entry()["error"]
    assert answer.reads("the post office is closed"), answer
    if door.raises:
        assert answer.error is world.tool.error, "the tool's own exception must reach the caller, the same object"


async def a_cancelled_call_is_recorded_as_cancelled(door: Door) -> None:
    world = _World(door, _policy("allow", door))
    world.tool.hangs = True
    task = asyncio.create_task(world.call())
    await asyncio.wait_for(world.tool.started.wait(), 10)
    task.cancel()
    cancelled = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(cancelled[0], asyncio.CancelledError), cancelled
    world.ran("cancelled")


async def a_call_cancelled_while_it_waits_for_approval_does_not_run(door: Door) -> None:
    silent = _Silent()
    world = _World(door, _policy("ask", door), approval_handler=silent)
    task = asyncio.create_task(world.call())
    await asyncio.wait_for(asyncio.to_thread(silent.asked.wait), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    silent.release.set()
    world.did_not_run("cancelled")


async def concurrent_calls_are_kept_apart(door: Door) -> None:
    world = _World(door, _policy("block", door, param_in={"to": ["r1", "r3", "r5"]}))
    answers = await asyncio.gather(*(world.call(to=f"r{number}", text=f"t{number}") for number in range(6)))
    for number, answer in enumerate(answers):
        wanted = "block_notes" if number % 2 else f"sent 't{number}' to r{number}"
        assert answer.reads(wanted), (number, answer)
    assert sorted(call["to"] for call in world.tool.calls) == ["r0", "r2", "r4"]
    ends = {entry["action_params"]["to"]: entry["result_status"] for entry in world.trail.get_log()}
    assert ends == {f"r{number}": "blocked" if number % 2 else "success" for number in range(6)}


async def every_call_is_judged_anew(door: Door) -> None:
    world = _World(door, _policy("allow", door))
    await world.call()
    await world.call()
    world.ran(times=2)
    world.runtime.update_policy(_policy("block", door))
    answer = await world.call()
    assert len(world.tool.calls) == 2
    assert answer.reads("block_notes"), answer


async def an_approval_covers_one_call(door: Door) -> None:
    world = _World(door, _policy("ask", door), answers=[True, False])
    await world.call()
    await world.call()
    assert len(world.handler.requests) == 2
    assert len(world.tool.calls) == 1


async def secrets_do_not_reach_the_trail(door: Door) -> None:
    world = _World(door, _policy("allow", door))
    await world.call(text="the key is Bearer abcdefghijklmnopqrstuvwxyz0123456789")
    (called,) = world.tool.calls
    assert called["password"] == _NOTE["password"], "only the record is redacted"
    written = str(world.trail.get_log())
    assert _NOTE["password"] not in written
    assert "abcdefghijklmnopqrstuvwxyz0123456789" not in written


async def what_cannot_be_written_down_does_not_run(door: Door) -> None:
    world = _World(door, _policy("allow", door))
    world.trail.fail = AuditError("the disk is full")
    answer = await world.call()
    assert world.tool.calls == []
    assert answer.error is not None or answer.text, "the caller must be told"
    assert not answer.reads("sent 'hello' to bob"), answer


async def a_governed_function_behind_the_door_is_the_same_call(door: Door) -> None:
    world = _World(door, _policy("ask", door), answers=[True])
    world.runtime.update_policy(Policy.from_dict({"version": "1", "rules": [_RULES["ask"]]}))
    world.trail.records.clear()
    answer = await door.call(world.runtime, governed(world.runtime)(world.tool.function), _NOTE)
    assert answer.reads("sent 'hello' to bob"), answer
    assert len(world.handler.requests) == 1
    assert world.records == [Intent, Outcome], world.records


async def observing_decides_and_records_and_lets_everything_run(door: Door) -> None:
    world = _World(door, _policy("block", door), mode="observe")
    answer = await world.call()
    world.ran()
    assert answer.reads("sent 'hello' to bob"), answer
    assert (world.entry()["approval"], world.entry()["enforced"]) == ("block", False)


_ALL: tuple[Behaviour, ...] = (
    an_allowed_call_runs_once_and_its_result_comes_back,
    policy_trail_and_tool_see_the_same_arguments,
    a_call_has_one_intent_before_and_one_outcome_after,
    a_blocked_call_does_not_run_and_the_model_can_read_why,
    a_call_that_no_rule_allows_does_not_run,
    an_approved_call_runs,
    a_denied_call_does_not_run_and_the_model_can_read_why,
    an_answer_that_is_not_a_yes_is_a_no,
    an_approval_handler_that_raises_is_a_no,
    an_approval_nobody_answers_times_out_and_the_call_does_not_run,
    an_approvers_edit_is_what_runs_or_nothing_runs,
    a_failing_tool_is_recorded_and_its_failure_comes_back,
    concurrent_calls_are_kept_apart,
    every_call_is_judged_anew,
    an_approval_covers_one_call,
    secrets_do_not_reach_the_trail,
    what_cannot_be_written_down_does_not_run,
    observing_decides_and_records_and_lets_everything_run,
)
_CANCELLABLE: tuple[Behaviour, ...] = (
    a_cancelled_call_is_recorded_as_cancelled,
    a_call_cancelled_while_it_waits_for_approval_does_not_run,
)


def conformance(door: Door) -> list[Behaviour]:
    """The behaviours that apply to a door. Their names are sentences."""
    behaviours = list(_ALL)
    if door.cancellable:
        behaviours += _CANCELLABLE
    if door.encloses:
        behaviours.append(a_governed_function_behind_the_door_is_the_same_call)
    return behaviours


class _Silent:
    """Never answers; lets go when it is told that nobody waits any more, so that no thread is left behind."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.release = threading.Event()

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        self.asked.set()
        self.release.wait(10)
        return request.approve(approver="too late")

    def withdraw(self, _request: ApprovalRequest) -> None:
        self.release.set()


def _say_yes(_request: ApprovalRequest) -> Any:
    return "yes"


def _edit_the_recipient(request: ApprovalRequest) -> ApprovalAnswer:
    yes = request.approve(approver="script")
    return ApprovalAnswer(yes.request_id, yes.digest, approved=True, approver="script", edits={"to": "carol"})
