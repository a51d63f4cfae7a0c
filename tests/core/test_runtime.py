"""The Runtime: what it accepts, whose calls it governs, and what may share it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import multiprocessing
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from aegis_core.action import Action
from aegis_core.approval.simple import CallbackApprovalHandler, DenyAllApprovalHandler
from aegis_core.audit.sqlite import AuditLogger
from aegis_core.errors import AuditError
from aegis_core.policy.hierarchy import PolicyHierarchy
from aegis_core.policy.policy import Policy
from aegis_core.record import Event, Intent, Outcome, Refusal
from aegis_core.runtime import Runtime, active_runtime, set_runtime
from tests.core.policies import ASK, AUTO, BLOCK, kinds, records, runtime

if TYPE_CHECKING:
    from pathlib import Path

SEND = Action("send", "mail", {"to": "ann"})


def echo(arguments: dict[str, Any]) -> dict[str, Any]:
    return arguments


# --- arguments ---


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"policy": "policy.yaml"},
            TypeError,
            r"policy must be a Policy or a PolicyHierarchy, got 'policy.yaml'; load",
        ),
        ({"policy": None}, TypeError, "policy must be a Policy"),
        ({"mode": "off"}, ValueError, "mode must be 'enforce' or 'observe', got 'off'"),
        ({"approval_timeout": 0}, ValueError, "approval_timeout must be a positive number of seconds or None, got 0"),
        ({"approval_timeout": -1.5}, ValueError, "positive number"),
        ({"approval_timeout": float("nan")}, ValueError, "positive number"),
        ({"approval_timeout": True}, TypeError, "approval_timeout must be a number of seconds or None, got True"),
        ({"approval_timeout": "5"}, TypeError, "must be a number"),
        ({"executor": object()}, TypeError, "executor must be a BaseExecutor, which has a method 'execute'"),
        ({"approval_handler": print}, TypeError, r"e.g. CallbackApprovalHandler\(fn\)"),
        ({"approval_handler": DenyAllApprovalHandler}, TypeError, r"the class itself: DenyAllApprovalHandler\(...\)"),
        ({"audit_logger": "audit.db"}, TypeError, r"a sink such as AuditLogger\('trail.db'\).* got 'audit.db'"),
        ({"audit_logger": MemoryAuditLogger}, TypeError, "audit_logger must be a sink"),
        ({"audit_logger": []}, ValueError, "audit_logger is an empty list"),
        ({"audit_logger": [MemoryAuditLogger(), "x"]}, TypeError, "got 'x'"),
        ({"session_id": 5}, TypeError, "session_id must be a string or None, got 5"),
        ({"agent": b"bot"}, TypeError, "agent must be a string or None"),
        ({"user": 1}, TypeError, "user must be a string or None"),
    ],
)
def test_an_argument_that_cannot_be_used_is_refused_with_what_to_do(arguments, error, message):
    with pytest.raises(error, match=message):
        Runtime(**{"policy": AUTO, "audit_logger": MemoryAuditLogger(), **arguments})


def test_an_infinite_timeout_is_the_requests_lifetime():
    governed = runtime(ASK, approval_timeout=float("inf"))
    governed.run(SEND, echo)
    assert governed.approval_handler.requests[0].timeout == 3600.0  # type: ignore[attr-defined]


def test_what_is_no_action_is_refused():
    governed = runtime()
    for door in (governed.run, governed.begin, governed.check):
        with pytest.raises(TypeError, match=r"a call is an Action\(type, target, params\), got \{"):
            door({"type": "send"})  # type: ignore[arg-type]
    assert records(governed) == []


def test_a_hierarchy_is_a_policy_too():
    governed = runtime(PolicyHierarchy(org=BLOCK, agent=AUTO))  # type: ignore[arg-type]
    assert governed.run(SEND, echo).status == "blocked"


# --- who, and in which session ---


def test_calls_belong_to_the_runtimes_principal_and_session_unless_they_say_otherwise():
    governed = runtime(agent="bot", user="eve", session_id="home")
    governed.run(SEND, echo)
    governed.run(SEND.replace(agent="other"), echo)
    with governed.session("trip", agent="guide") as session:
        assert (session.id, session.agent, session.user) == ("trip", "guide", "eve")
        governed.run(SEND, echo)
        governed.run(SEND.replace(session_id="own", user="bob"), echo)
    governed.run(SEND, echo)
    intents = [record.action for record in records(governed) if isinstance(record, Intent)]
    assert [(action.agent, action.user, action.session_id) for action in intents] == [
        ("bot", "eve", "home"),
        ("other", "eve", "home"),
        ("guide", "eve", "trip"),
        ("guide", "bob", "own"),
        ("bot", "eve", "home"),
    ]


def test_what_a_tool_calls_belongs_to_its_calls_principal_unless_it_enters_a_session_of_its_own():
    governed = runtime(agent="bot", user="eve", session_id="home")
    inner = SEND.replace(params={"to": "bob"})

    def tool(_arguments: dict[str, Any]) -> None:
        governed.run(inner, echo)
        with governed.session("own", agent="helper"):
            governed.run(inner, echo)

    governed.run(SEND.replace(agent="clerk", session_id="thread"), tool)
    with governed.session("trip"):
        call = governed.begin(SEND.replace(agent="clerk", session_id="thread"))
        tool({})
        call.finish()
        governed.run(inner, echo)
    seen = [(r.action.agent, r.action.session_id) for r in records(governed) if isinstance(r, Intent)]
    wrapped = [("clerk", "thread"), ("clerk", "thread"), ("helper", "own")]
    assert seen == [*wrapped, *wrapped, ("bot", "trip")]
    assert governed.principal() == ("bot", "eve", "home")


def test_a_runtime_without_a_session_has_one_of_its_own():
    one, other = runtime(), runtime()
    assert one.session_id != other.session_id
    one.run(SEND, echo)
    assert records(one)[0].action.session_id == one.session_id


def test_a_session_of_one_runtime_does_not_lend_its_agent_to_another():
    inner, outer = runtime(agent="inner"), runtime(agent="outer")
    with outer.session("s"):
        inner.run(SEND, echo)
        outer.run(SEND, echo)
        with inner.session("t"):
            inner.run(SEND, echo)
            outer.run(SEND, echo)
    assert [(r.action.agent, r.action.session_id) for r in records(inner)[::2]] == [
        ("inner", inner.session_id),
        ("inner", "t"),
    ]
    assert [(r.action.agent, r.action.session_id) for r in records(outer)[::2]] == [("outer", "s"), ("outer", "s")]


@pytest.mark.parametrize("arguments", [{"id": None}, {"id": 5}, {"id": "s", "agent": 5}, {"id": "s", "user": b""}])
def test_a_session_of_the_wrong_types_is_refused(arguments):
    with pytest.raises(TypeError, match="must be a string"), runtime().session(**arguments):
        pass


async def test_sessions_of_concurrent_tasks_and_of_threads_are_kept_apart():
    governed = runtime()

    async def chat(number: int) -> None:
        with governed.session(f"s{number}"):
            for _ in range(5):
                await asyncio.sleep(0)
                await governed.arun(SEND.replace(params={"n": number}), echo)
            await asyncio.to_thread(governed.run, SEND.replace(params={"n": number}), echo)

    await asyncio.gather(*(chat(number) for number in range(10)))
    intents = [record.action for record in records(governed) if isinstance(record, Intent)]
    assert len(intents) == 60
    assert all(action.session_id == f"s{action.params['n']}" for action in intents)
    assert governed.principal()[2] == governed.session_id


def test_a_plain_thread_starts_outside_of_every_session():
    governed = runtime()
    with governed.session("s"):
        thread = threading.Thread(target=governed.run, args=(SEND, echo))
        thread.start()
        thread.join()
    assert records(governed)[0].action.session_id == governed.session_id


# --- the active runtime ---


async def test_activation_is_a_contexts_and_the_process_has_one_to_fall_back_on():
    one, other = runtime(), runtime()
    assert active_runtime() is None
    try:
        set_runtime(one)
        assert active_runtime() is one
        with other.activate() as entered:
            assert entered is other
            assert active_runtime() is other
            assert await asyncio.to_thread(active_runtime) is other
            seen: list[Any] = []
            thread = threading.Thread(target=lambda: seen.append(active_runtime()))
            thread.start()
            thread.join()
            assert seen == [one]  # a plain thread has a context of its own
            with one.activate():
                assert active_runtime() is one
        assert active_runtime() is one
    finally:
        set_runtime(None)
    assert active_runtime() is None


# --- what tools do ---


class Halt(BaseException):
    pass


FAILURES = [
    ValueError("v"),
    TimeoutError("the tool's own"),
    StopIteration("s"),
    StopAsyncIteration("s"),
    ExceptionGroup("g", [ValueError()]),
    RecursionError(),
    MemoryError(),
]
INTERRUPTIONS = [
    KeyboardInterrupt(),
    SystemExit(3),
    GeneratorExit(),
    asyncio.CancelledError("c"),
    Halt(),
    BaseExceptionGroup("b", [KeyboardInterrupt()]),
]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
async def test_a_tools_exception_is_its_outcome_the_same_object(error):
    def tool(_arguments: dict[str, Any]) -> None:
        raise error

    for governed in (runtime(), runtime(ASK, [True])):
        result = governed.run(SEND, tool)
        assert (result.status, result.exception) == ("failed", error)
        assert "timeout" not in (result.error or "").lower() or isinstance(error, TimeoutError)
        assert kinds(governed) == ["Intent", "Outcome failed"]
    governed = runtime()
    result = await governed.arun(SEND, tool)  # a sync tool may raise StopIteration under a coroutine
    assert (result.status, result.exception) == ("failed", error)

    async def atool(_arguments: dict[str, Any]) -> None:
        raise error

    if not isinstance(error, StopIteration):
        assert (await governed.arun(SEND, atool)).exception is error
    call = governed.begin(SEND)
    assert call.fail(error).exception is error


@pytest.mark.parametrize("error", INTERRUPTIONS, ids=repr)
async def test_a_tools_interruption_is_recorded_and_raised_the_same_object(error):
    def tool(_arguments: dict[str, Any]) -> None:
        raise error

    governed = runtime()
    with pytest.raises(type(error)) as caught:
        governed.run(SEND, tool)
    assert caught.value is error
    assert kinds(governed) == ["Intent", "Outcome cancelled"]
    governed = runtime()
    try:
        await governed.arun(SEND, tool)
    except BaseException as raised:  # noqa: BLE001 - every kind of it
        assert raised is error  # noqa: PT017
    else:
        raise AssertionError("nothing was raised")
    assert kinds(governed) == ["Intent", "Outcome cancelled"]
    assert governed.begin(SEND).fail(error).status == "cancelled"


async def test_a_coroutine_given_to_a_sync_call_is_refused_and_does_not_run():
    ran: list[Any] = []

    async def tool(arguments: dict[str, Any]) -> None:
        ran.append(arguments)

    governed = runtime()
    result = governed.run(SEND, tool)
    assert result.status == "failed"
    assert "TypeError: the tool is async: it returned a coroutine" in (result.error or "")
    assert "use arun" in (result.error or "")
    assert ran == []
    assert kinds(governed) == ["Intent", "Outcome failed"]
    assert governed.run(SEND, lambda _arguments: asyncio.get_running_loop().create_future()).status == "failed"


async def test_a_coroutine_call_takes_sync_and_async_tools_and_anything_awaitable():
    class Later:
        def __await__(self) -> Any:
            return asyncio.sleep(0, "later").__await__()

    async def tool(_arguments: dict[str, Any]) -> str:
        return "async"

    governed = runtime()
    tools: list[Any] = [
        lambda _arguments: "sync",
        tool,
        lambda _arguments: Later(),
        lambda a: asyncio.ensure_future(tool(a)),
    ]
    assert [(await governed.arun(SEND, each)).unwrap() for each in tools] == ["sync", "async", "later", "async"]


def test_without_tool_and_executor_the_call_says_what_is_missing():
    result = runtime().run(SEND)
    assert result.status == "failed"
    assert "no tool was given and this Runtime has no executor" in (result.error or "")


def test_an_action_made_for_an_executor_is_a_snapshot_again_where_it_is_run():
    handed = Action("read", "fs", {"paths": ["/tmp/safe"]}, agent="a", user="u", session_id="s").for_execution()

    def tamper(request: Any) -> Any:
        handed.params["paths"][0] = "/etc/passwd"
        return request.approve()

    assert runtime(ASK, [tamper]).run(handed, echo).data == {"paths": ["/tmp/safe"]}


# --- changing the policy ---


def test_a_change_of_policy_is_on_record_and_names_the_block_rules_that_went():
    governed = runtime(BLOCK)
    governed.update_policy(AUTO, reason="a test")
    (event,) = records(governed)
    assert (event.kind, event.data["reason"]) == ("policy_reloaded", "a test")
    assert event.data["block_rules_removed"] == ["stop"]
    assert (event.data["old_digest"], event.data["new_digest"]) == (BLOCK.digest, AUTO.digest)
    assert governed.policy is AUTO


def test_11_from_the_moment_a_blocking_policy_is_in_force_nothing_runs():
    governed = runtime()
    stop, ran_late, phases = threading.Event(), [], [0]  # an odd phase is one in which everything is blocked

    def hammer() -> None:
        while not stop.is_set():
            before = phases[0]
            ran = governed.run(SEND, echo).ok
            if ran and before % 2 and phases[0] == before:
                ran_late.append(before)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        governed.update_policy(BLOCK)
        phases[0] += 1
        time.sleep(0.002)
        phases[0] += 1
        governed.update_policy(AUTO)
        time.sleep(0.002)
    stop.set()
    for thread in threads:
        thread.join()
    assert ran_late == []
    digests = {AUTO.digest: Intent, BLOCK.digest: Refusal}
    for record in records(governed):
        if isinstance(record, (Intent, Refusal)):
            assert type(record) is digests[record.policy_digest]  # decision and digest are of one policy


def test_a_policy_that_is_none_is_refused_and_the_old_one_stays():
    governed = runtime(BLOCK)
    with pytest.raises(TypeError, match="policy must be a Policy"):
        governed.update_policy({"version": "1"})  # type: ignore[arg-type]
    assert governed.policy is BLOCK
    assert records(governed) == []


# --- many at once ---


def test_several_loops_and_thread_pools_at_once_lose_and_mix_nothing():
    governed = runtime(approval_handler=CallbackApprovalHandler(lambda request: True))

    def in_a_loop(number: int) -> list[Any]:
        async def tool(arguments: dict[str, Any]) -> dict[str, Any]:
            await asyncio.sleep(0)
            return arguments

        async def main() -> list[Any]:
            calls = [governed.arun(Action("a", "b", {"n": (number, k)}), tool) for k in range(25)]
            return [result.unwrap()["n"] for result in await asyncio.gather(*calls)]

        return asyncio.run(main())

    def in_a_thread(number: int) -> list[Any]:
        return [governed.run(Action("a", "b", {"n": (number, k)}), echo).unwrap()["n"] for k in range(25)]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        loops = [pool.submit(in_a_loop, number) for number in range(8)]
        threads = [pool.submit(in_a_thread, number) for number in range(8, 16)]
    for number, future in enumerate([*loops, *threads]):
        assert future.result() == [(number, k) for k in range(25)]
    intents = [record for record in records(governed) if isinstance(record, Intent)]
    outcomes = {record.call_id: record for record in records(governed) if isinstance(record, Outcome)}
    assert len(intents) == len(outcomes) == 16 * 25
    assert all(tuple(outcomes[intent.call_id].data["n"]) == intent.action.params["n"] for intent in intents)


def _in_a_child(governed: Runtime, ids: Any) -> None:
    ids.put([governed.run(SEND, echo).call_id for _ in range(200)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_children_go_on_using_the_parents_runtime_and_no_id_is_used_twice(tmp_path: Path):
    fork = multiprocessing.get_context("fork")
    with AuditLogger(tmp_path / "audit.db") as trail:
        governed = runtime(audit_logger=trail)
        governed.run(SEND, echo)
        ids = fork.Queue()
        children = [fork.Process(target=_in_a_child, args=(governed, ids)) for _ in range(3)]
        for child in children:
            child.start()
        own = [governed.run(SEND, echo).call_id for _ in range(200)]
        seen = [*own, *(call_id for _ in children for call_id in ids.get(timeout=60))]
        for child in children:
            child.join(30)
            assert child.exitcode == 0
        assert len(set(seen)) == len(seen) == 800
        assert trail.count(status="success") == 801


# --- closing ---


def test_closing_is_idempotent_and_afterwards_nothing_runs(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran: list[Any] = []
    for trail in (None, MemoryAuditLogger()):
        with Runtime(policy=AUTO, approval_handler=DenyAllApprovalHandler(), audit_logger=trail) as governed:
            governed.run(SEND, echo).unwrap()
        governed.close()
        with pytest.raises(AuditError, match="this runtime has been closed; make a new one"):
            governed.run(SEND, ran.append)
        assert governed.audit_logger.get_log()[0]["result_status"] == "success"  # type: ignore[attr-defined]
    assert ran == []


def test_a_runtime_closed_before_its_first_call_opens_no_file(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    governed = Runtime(policy=AUTO)
    governed.close()
    with pytest.raises(AuditError, match="has been closed"):
        governed.run(SEND, echo)
    assert list(tmp_path.iterdir()) == []


async def test_closing_from_a_coroutine():
    async with runtime() as governed:
        assert (await governed.arun(SEND, echo)).ok
    with pytest.raises(AuditError):
        await governed.arun(SEND, echo)


def test_a_call_in_flight_when_the_runtime_is_closed_still_records_how_it_ended():
    governed = runtime()

    def tool(_arguments: dict[str, Any]) -> str:
        governed.close()
        return "done"

    assert governed.run(SEND, tool).unwrap() == "done"
    assert kinds(governed) == ["Intent", "Outcome success"]


def test_a_program_may_put_events_beside_the_calls():
    governed = runtime()
    governed.record(Event("note", data={"a": 1}))
    assert records(governed)[0].kind == "note"


# --- one call's own handler ---


async def test_a_door_may_put_one_calls_question_through_a_handler_of_its_own():
    governed = runtime(ASK)  # its own says no
    own = ScriptedApprovalHandler([True] * 3)
    assert governed.run(SEND, echo, approval_handler=own).ok
    assert (await governed.arun(SEND, echo, approval_handler=own)).ok
    assert governed.begin(SEND, approval_handler=own).permitted
    assert governed.run(SEND, echo).status == "denied"
    assert len(own.requests) == 3


def test_the_twins_have_the_same_signatures():
    for one, other in ((Runtime.run, Runtime.arun), (Runtime.begin, Runtime.abegin), (Runtime.close, Runtime.aclose)):
        assert inspect.signature(one).parameters == inspect.signature(other).parameters


def test_policies_from_yaml_and_the_short_names_work_together(tmp_path: Path):
    path = tmp_path / "policy.yaml"
    path.write_text('version: "1"\nrules:\n  - name: reads\n    match: {type: "read_*"}\n    approval: auto\n')
    governed = runtime(Policy.from_yaml(path))
    assert governed.run(Action("read_file", "fs"), echo).ok
    assert governed.run(SEND, echo).status == "blocked"


async def test_an_integration_may_refuse_a_call_on_record():
    governed = runtime(AUTO)
    for result in (
        governed.refuse(Action("x", "y", {"arguments": "{"}), "its arguments are no JSON", rule="<arguments>"),
        await governed.arefuse(Action("x", "y", {"arguments": "{"}), "its arguments are no JSON", rule="<arguments>"),
    ):
        assert (result.status, result.error) == ("blocked", "x: its arguments are no JSON. The call did not run.")
    entries = governed.audit_logger.get_log()  # type: ignore[attr-defined]
    assert [(entry["matched_rule"], entry["result_status"]) for entry in entries] == [("<arguments>", "blocked")] * 2
    assert entries[0]["session_id"] == governed.session_id


def test_only_a_runtime_can_be_the_process_wide_one():
    for wrong in ("runtime", Runtime, object()):
        with pytest.raises(TypeError, match="runtime must be a Runtime or None"):
            set_runtime(wrong)  # type: ignore[arg-type]
    assert active_runtime() is None
