"""The three ways to drive a call are one: same steps, same records, same result, whatever fails and whenever."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_core.action import Action
from aegis_core.call import MAX_ROUNDS, Execute, Outcome, Reply, governed_call
from aegis_core.decision import Approval, Decision, Reservation, RiskLevel
from aegis_core.drive import Call, adrive, drive
from aegis_core.errors import ApprovalError, AuditError
from aegis_core.record import BudgetExhausted, GrantUnavailable, Intent, Refusal
from aegis_core.record import Outcome as OutcomeRecord
from aegis_core.request import ApprovalAnswer
from aegis_core.result import Result

ACTION = Action("send", "mail", {"to": "ann", "cc": ["bob"]}, agent="bot", session_id="s")


@dataclass(frozen=True)
class Rule:
    digest: str


def decision(approval: str, rule: str = "r") -> Decision:
    reserves = (Reservation(rule, 1, 60.0),) if approval == "auto" else ()
    return Decision(Approval(approval), RiskLevel.LOW, rule, f"by {rule}", reserves=reserves, deciders=(Rule(rule),))


DECISIONS = {
    "auto": decision("auto"),
    "ask": decision("approve"),
    "ask otherwise": decision("approve", "other"),
    "block": decision("block"),
}


class Stubborn(BaseException):
    """Neither an Exception nor anything known."""


@dataclass
class World:
    """Judges, answers and writes by a script; past its end it permits, says yes and writes."""

    decisions: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    writes: list[Any] = field(default_factory=list)
    enforced: bool = True
    recalls: bool = False
    redactor: Any = None
    approval_timeout: float | None = 5.0
    request_lifetime: float = 3600.0
    written: list[Any] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    exhaustions: int = 0

    def judge(self, action: Action) -> tuple[Decision, str]:
        return DECISIONS[self.decisions.pop(0) if self.decisions else "auto"], "policy"

    def bind(self, action: Action, decision: Decision) -> str:
        return f"{action.canonical_params()!r} {decision.rules_digest}"

    def exhausted(self, budget: BudgetExhausted) -> None:
        self.exhaustions += 1

    def screen(self, action: Action, value: Any) -> tuple[Any, tuple[str, ...]]:
        return value, ()

    def learn(self, action: Action, value: Any) -> None:
        pass

    def ask(self, request: Any) -> Any:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else "yes"
        if isinstance(answer, BaseException):
            raise answer
        return ANSWERS[answer](request) if isinstance(answer, str) else answer

    def write(self, record: Any) -> None:
        error = self.writes.pop(0) if self.writes else None
        self.written.append((record, error))
        if error is not None:
            raise error

    def recall(self, session_id: str) -> None:
        pass

    async def aask(self, request: Any) -> Any:
        await asyncio.sleep(0)
        return self.ask(request)

    async def awrite(self, record: Any) -> None:
        await asyncio.sleep(0)
        self.write(record)

    async def arecall(self, session_id: str) -> None:
        self.recall(session_id)


ANSWERS: dict[str, Any] = {
    "yes": lambda request: request.approve(approver="ann"),
    "no": lambda request: request.deny(approver="ann", reason="not today"),
    "yes by the requester": lambda request: request.approve(approver="bot"),
    "yes with edits": lambda request: replace(request.approve(approver="ann"), edits={"to": "carol"}),
    "stored yes": lambda request: replace(request.approve(approver="ann"), grant="ticket"),
    "pending": lambda request: ApprovalAnswer(request.id, request.digest, approved=None),
    "pending elsewhere": lambda request: ApprovalAnswer("other", request.digest, approved=None),
    "yes to another": lambda request: ApprovalAnswer("other", request.digest, approved=True),
    "yes to another digest": lambda request: ApprovalAnswer(request.id, "other", approved=True),
    "a word": lambda request: "yes",
    "true": lambda request: True,
    "approved is 1": lambda request: ApprovalAnswer(request.id, request.digest, approved=1),  # type: ignore[arg-type]
    "nothing": lambda request: None,
}

errors = st.sampled_from(
    [
        ValueError("v"),
        TimeoutError("t"),
        StopIteration("s"),
        StopAsyncIteration(),
        ApprovalError("cannot ask"),
        asyncio.CancelledError("c"),
        KeyboardInterrupt(),
        GeneratorExit(),
        SystemExit(3),
        Stubborn(),
        ExceptionGroup("g", [ValueError()]),
        BaseExceptionGroup("b", [KeyboardInterrupt()]),
    ]
)
write_errors = st.sampled_from(
    [
        AuditError("disk full"),
        GrantUnavailable("used"),
        BudgetExhausted("r", 0),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
        GeneratorExit(),
    ]
)
still_running = asyncio.CancelledError("thread")
still_running.aegis_still_running = True  # type: ignore[attr-defined]


@dataclass
class Script:
    decisions: list[str]
    answers: list[Any]
    writes: list[Any]
    tool: Any
    can_edit: bool
    enforced: bool

    def world(self) -> World:
        return World([*self.decisions], [*self.answers], [*self.writes], self.enforced)

    def outcome(self) -> Outcome:
        if isinstance(self.tool, BaseException):
            return Outcome(None, self.tool)
        return Outcome(self.tool)


scripts = st.builds(
    Script,
    decisions=st.lists(st.sampled_from([*sorted(DECISIONS), "ask", "ask", "ask"]), max_size=10),
    # A coroutine cannot raise StopIteration: to an async handler it is a RuntimeError from the start.
    answers=st.lists(
        st.sampled_from(sorted(ANSWERS))
        | st.sampled_from(["yes", "yes to another", "yes with edits", "approved is 1"])
        | errors.filter(lambda error: type(error) is not StopIteration),
        max_size=4,
    ),
    writes=st.lists(st.none() | write_errors, max_size=4),
    tool=st.sampled_from(["fine", None, Reply("no such file", "it said so"), Reply("x", claimed_by="Executor")])
    | errors
    | st.just(still_running),
    can_edit=st.booleans(),
    enforced=st.sampled_from([True, True, True, False]),
)


def _plain(result: Result) -> tuple[Any, ...]:
    action = result.action
    return (action, result.status, result.data, result.error, result.exception, result.decision, result.call_id)


def _trail(world: World) -> list[Any]:
    """The records, but for times and the ids of requests, each with whether it was written."""
    shown: list[Any] = []
    for record, error in world.written:
        fields: list[Any] = [type(record), record.call_id, record.action, record.decision]
        if isinstance(record, OutcomeRecord):
            fields += [record.status, record.data, record.error, record.claimed_by]
        else:
            answer = record.answer
            fields.append(None if answer is None else (answer.approved, answer.approver, answer.grant, answer.edits))
            if isinstance(record, Refusal):
                fields += [record.status, record.reason]
            else:
                fields.append(record.enforced)
        shown.append((fields, error))
    return shown


def run_sync(script: Script) -> tuple[Any, World]:
    world = script.world()
    try:
        result: Any = drive(
            governed_call("c", ACTION, world, can_edit=script.can_edit), world, lambda intent: script.outcome()
        )
    except BaseException as error:  # noqa: BLE001 - whatever comes out is compared
        return error, world
    return _plain(result), world


def run_async(script: Script) -> tuple[Any, World]:
    world = script.world()

    async def perform(intent: Intent) -> Outcome:
        await asyncio.sleep(0)
        return script.outcome()

    async def main() -> Any:
        try:
            return _plain(await adrive(governed_call("c", ACTION, world, can_edit=script.can_edit), world, perform))
        except BaseException as error:  # noqa: BLE001 - whatever comes out is compared
            return _Box(error)

    answer = asyncio.run(main())
    return (answer.error if isinstance(answer, _Box) else answer), world


@dataclass
class _Box:
    """Carries an exception out of a coroutine, which some cannot leave by themselves."""

    error: BaseException


def _told(script: Script, result: Result, own: Outcome) -> Any:
    """A split call does not raise the cancellation that it is told of."""
    if own.error is not None and not isinstance(own.error, Exception) and result.exception is own.error:
        return own.error
    return _plain(result)


def run_split(script: Script) -> tuple[Any, World]:
    world = script.world()
    call = Call("c", ACTION, governed_call("c", ACTION, world, can_edit=script.can_edit), world)
    try:
        call.begin()
        if not call.permitted:
            assert call.result is not None
            return _plain(call.result), world
        own = script.outcome()
        if own.error is not None:
            result = call.fail(own.error)
        elif isinstance(own.value, Reply):
            result = call.finish(own.value.value, failed=own.value.failed)
        else:
            result = call.finish(own.value)
    except BaseException as error:  # noqa: BLE001 - whatever comes out is compared
        return error, world
    return _told(script, result, own), world


def run_split_async(script: Script) -> tuple[Any, World]:
    world = script.world()

    async def main() -> Any:
        call = Call("c", ACTION, governed_call("c", ACTION, world, can_edit=script.can_edit), world)
        try:
            await call.abegin()
            if not call.permitted:
                assert call.result is not None
                return _plain(call.result)
            own = script.outcome()
            if own.error is not None:
                result = await call.afail(own.error)
            elif isinstance(own.value, Reply):
                result = await call.afinish(own.value.value, failed=own.value.failed)
            else:
                result = await call.afinish(own.value)
        except BaseException as error:  # noqa: BLE001 - whatever comes out is compared
            return _Box(error)
        return _told(script, result, own)

    answer = asyncio.run(main())
    return (answer.error if isinstance(answer, _Box) else answer), world


@settings(max_examples=400)
@given(scripts)
def test_sync_async_and_split_are_the_same_for_every_script(script):
    expected, world = run_sync(script)
    script = replace(script, tool=Reply("x") if script.tool == Reply("x", claimed_by="Executor") else script.tool)
    if script.tool == Reply("x"):
        expected, world = run_sync(script)
    for run in (run_async, run_split, run_split_async):
        answer, other = run(script)
        assert answer == expected, run
        assert _trail(other) == _trail(world), run
        assert len(other.requests) == len(world.requests)


@settings(max_examples=400)
@given(scripts)
def test_nothing_runs_that_was_not_written_down_and_permitted(script):
    world = script.world()
    ran: list[Intent] = []

    def perform(intent: Intent) -> Outcome:
        assert world.written == [*world.written[:-1], (intent, None)], "the last thing written is this very intent"
        ran.append(intent)
        return script.outcome()

    try:
        drive(governed_call("c", ACTION, world, can_edit=script.can_edit), world, perform)
    except BaseException as error:
        expected = isinstance(error, AuditError) or not isinstance(error, Exception)
        if not expected:
            raise
    assert len(ran) <= 1
    for intent in ran:
        approval = intent.decision.approval
        assert approval is not Approval.BLOCK or not script.enforced
        if approval is Approval.APPROVE and script.enforced:
            assert intent.answer is not None
            assert intent.answer.approved is True
            assert intent.answer.approver != "bot"
            last = world.requests[-1]
            assert intent.answer.is_yes_to(last)
            assert last.action == intent.action
            assert last.decision.rules_digest == intent.decision.rules_digest
    # Exactly one end: a refusal, an outcome for the intent that ran, or an intent that could not be written.
    ends = [record for record, error in world.written if isinstance(record, (Refusal, OutcomeRecord))]
    intents = [(record, error) for record, error in world.written if isinstance(record, Intent)]
    if ran:
        assert [type(end) for end in ends] == [OutcomeRecord]
    elif intents and intents[-1][1] is not None and isinstance(intents[-1][1], AuditError):
        assert ends == []
    else:
        assert len(ends) == 1
    assert len(world.requests) <= MAX_ROUNDS


def test_a_split_calls_end_counts_once_whoever_tells_it():
    world = World()
    call = Call("c", ACTION, governed_call("c", ACTION, world), world).begin()
    barrier = threading.Barrier(8)
    results: list[Any] = []

    def tell(number: int) -> None:
        barrier.wait()
        try:
            results.append(call.finish(number))
        except RuntimeError as error:
            results.append(error)

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.written) == 2
    assert call.result is not None
    told = [result for result in results if isinstance(result, Result)]
    assert {result.data for result in told} == {call.result.data}
    assert all("being finished by somebody else" in str(result) for result in results if result not in told)
    assert call.finish("late") is call.result
    assert not call.permitted


def test_a_refused_split_call_cannot_be_finished_into_a_success():
    world = World(decisions=["block"])
    call = Call("c", ACTION, governed_call("c", ACTION, world), world).begin()
    assert not call.permitted
    assert call.finish("done anyway").status == "blocked"
    assert call.fail(ValueError()).status == "blocked"


def test_a_split_call_that_has_not_begun_says_so():
    world = World()
    call = Call("c", ACTION, governed_call("c", ACTION, world), world)
    assert not call.permitted
    with pytest.raises(RuntimeError, match="has not been begun"):
        call.finish(1)


async def test_a_split_call_cancelled_while_its_outcome_is_written_knows_how_it_ended():
    world = World(writes=[None, asyncio.CancelledError()])
    call = await Call("c", ACTION, governed_call("c", ACTION, world), world).abegin()
    with pytest.raises(asyncio.CancelledError):
        await call.afinish("done")
    assert call.result is not None
    assert (call.result.status, call.result.data) == ("success", "done")
    assert not call.permitted


def test_the_tool_is_executed_with_the_intent_that_is_on_record():
    world = World()
    generator = governed_call("c", ACTION, world)
    step = next(generator)
    assert not isinstance(step, Execute)
    step = generator.send(Outcome())
    assert isinstance(step, Execute)
    assert step.intent.action is ACTION


async def test_a_coroutine_that_is_closed_still_records_how_the_call_ended():
    world = World()

    async def perform(intent: Intent) -> Outcome:
        try:
            await asyncio.Event().wait()
        except BaseException as error:  # noqa: BLE001 - whatever comes out is compared
            return Outcome(None, error)
        return Outcome()

    running = adrive(governed_call("c", ACTION, world), world, perform)
    running.send(None)  # the intent is being written
    running.send(None)  # the tool waits
    running.close()
    assert [getattr(record, "status", "intent") for record, _ in world.written] == ["intent", "cancelled"]
