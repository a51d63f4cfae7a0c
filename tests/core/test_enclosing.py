"""Doors within doors: one call where it is one, and never an execution without an intent of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from aegis_core.action import Action
from aegis_core.errors import ActionRefused
from aegis_core.governed import governed
from aegis_core.policy.policy import Policy
from tests.core.policies import ASK, AUTO, BLOCK, asked, kinds, records, runtime

if TYPE_CHECKING:
    from aegis_core.result import Result

SEND = Action("send", "mail", {"to": "ann"})


def echo(arguments: dict[str, Any]) -> dict[str, Any]:
    return arguments


def through(inner: Any, action: Action = SEND) -> Any:
    """A tool that goes through another door."""

    def tool(_arguments: dict[str, Any]) -> Any:
        return inner.run(action, echo).unwrap()

    return tool


def calls(runtime_: Any) -> int:
    """Calls on the trail, each with one end."""
    words = kinds(runtime_)
    intents = words.count("Intent")
    assert sum(word.startswith("Outcome") for word in words) == intents
    return intents + sum(word.startswith("Refusal") for word in words)


# --- joining ---


@pytest.mark.parametrize("policy", [AUTO, ASK], ids=["auto", "approve"])
def test_a_door_inside_a_door_is_one_call_asked_about_once(policy):
    one = runtime(policy, [True])
    result = one.run(SEND, through(one))
    assert result.data == {"to": "ann"}
    assert kinds(one) == ["Intent", "Outcome success"]
    assert asked(one) == (policy is ASK)


def test_what_the_inner_door_returns_names_the_enclosing_calls_record():
    one = runtime()
    inner: list[Result] = []
    outer = one.run(SEND, lambda _arguments: inner.append(one.run(SEND, echo)))
    assert inner[0].call_id == outer.call_id
    assert inner[0].decision == outer.decision


async def test_the_same_from_coroutines_and_across():
    one = runtime(ASK, [True] * 2)

    async def tool(_arguments: dict[str, Any]) -> Any:
        return (await one.arun(SEND, echo)).unwrap()

    assert (await one.arun(SEND, tool)).ok
    assert (await one.arun(SEND, through(one))).ok
    assert asked(one) == 2
    assert calls(one) == 2


def test_a_failing_tool_behind_two_doors_is_one_failed_call_and_its_exception_is_the_same():
    one = runtime()
    error = ValueError("x")

    def fail(_arguments: dict[str, Any]) -> None:
        raise error

    result = one.run(SEND, lambda _arguments: one.run(SEND, fail).unwrap())
    assert result.exception is error
    assert kinds(one) == ["Intent", "Outcome failed"]


def test_an_interruption_behind_two_doors_goes_through_both():
    one = runtime()

    def interrupt(_arguments: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.run(SEND, lambda _arguments: one.run(SEND, interrupt))
    assert kinds(one) == ["Intent", "Outcome cancelled"]


def test_the_target_may_differ_if_the_inner_doors_rule_asks_for_nothing_more():
    one = runtime(ASK, [True])
    assert one.run(SEND, through(one, SEND.replace(target="python"))).ok
    assert calls(one) == 1


def test_in_observe_mode_doors_join_too():
    one = runtime(BLOCK, mode="observe")
    assert one.run(SEND, through(one)).ok
    assert calls(one) == 1


# --- not joining ---


@pytest.mark.parametrize(
    "change",
    [
        {"type": "post"},
        {"params": {"to": "bob"}},
        {"params": {"to": "ann", "cc": None}},
        {"agent": "other"},
        {"user": "other"},
        {"session_id": "other"},
    ],
    ids=repr,
)
def test_a_call_that_differs_is_its_own(change):
    one = runtime(ASK, [True, True])
    assert one.run(SEND, through(one, SEND.replace(**change))).ok
    assert asked(one) == 2
    assert calls(one) == 2


def test_another_runtimes_door_is_its_own_call():
    one, other = runtime(), runtime()
    assert one.run(SEND, through(other)).ok
    assert calls(one) == calls(other) == 1


def test_retries_inside_are_executions_of_their_own():
    one = runtime(ASK, [True, True, False])
    results: list[Result] = []

    def retry(_arguments: dict[str, Any]) -> None:
        results.extend(one.run(SEND, echo) for _ in range(3))

    one.run(SEND, retry)
    assert [result.status for result in results] == ["success", "success", "denied"]
    assert asked(one) == 3  # the call, and two more; the first inside joined it
    assert calls(one) == 3


def test_a_stricter_door_inside_is_its_own_call():
    policy = Policy.from_dict(
        {
            "version": "1",
            "rules": [
                {"name": "never in python", "match": {"target": "python"}, "approval": "block"},
                {"name": "ask at the gate", "match": {"target": "gate"}, "approval": "approve"},
                {"name": "mail", "match": {"target": "mail"}, "approval": "auto"},
            ],
        }
    )
    one = runtime(policy, [False])
    for target, status in (("python", "blocked"), ("gate", "denied"), ("mail", "success")):
        result = one.run(SEND, through(one, SEND.replace(target=target)))
        inner = getattr(result.exception, "result", result)
        assert inner.status == status


def test_a_looser_door_inside_a_door_somebody_approved_joins():
    policy = Policy.from_dict(
        {
            "version": "1",
            "rules": [
                {"name": "ask", "match": {"target": "mail"}, "approval": "approve"},
                {"name": "free", "match": {"target": "python"}, "approval": "auto"},
            ],
        }
    )
    one = runtime(policy, [True])
    assert one.run(SEND, through(one, SEND.replace(target="python"))).ok
    assert (asked(one), calls(one)) == (1, 1)


@pytest.mark.parametrize("then", [BLOCK, ASK], ids=["block", "approve"])
def test_11_a_door_inside_is_judged_by_the_policy_in_force_now(then):
    one = runtime(AUTO)
    inner: list[Result] = []

    def tool(_arguments: dict[str, Any]) -> None:
        one.update_policy(then)
        inner.append(one.run(SEND, echo))

    one.run(SEND, tool)
    assert inner[0].status in ("blocked", "denied")


def test_a_call_that_has_ended_is_joined_by_nobody():
    one = runtime()
    contexts: list[contextvars.Context] = []
    one.run(SEND, lambda _arguments: contexts.append(contextvars.copy_context()))
    assert contexts[0].run(one.run, SEND, echo).ok
    assert calls(one) == 2


def test_after_a_call_its_context_is_as_before():
    one = runtime()
    inner: list[Result] = []

    def tool(_arguments: dict[str, Any]) -> None:
        one.run(SEND.replace(params={"to": "bob"}), echo)
        inner.append(one.run(SEND, echo))  # still inside the first call

    one.run(SEND, tool)
    assert calls(one) == 2


def test_three_doors_deep_only_one_joins():
    one = runtime(ASK, [True, True])
    assert one.run(SEND, lambda _arguments: one.run(SEND, through(one)).unwrap()).ok
    assert (asked(one), calls(one)) == (2, 2)


# --- threads and tasks inside ---


def test_of_several_threads_inside_one_joins():
    one = runtime(ASK, [True] * 10)
    barrier = threading.Barrier(8)

    def again() -> bool:
        barrier.wait()
        return one.run(SEND, echo).ok

    def tool(_arguments: dict[str, Any]) -> list[bool]:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(contextvars.copy_context().run, again) for _ in range(8)]
            return [future.result() for future in futures]

    assert one.run(SEND, tool).data == [True] * 8
    assert (asked(one), calls(one)) == (8, 8)


async def test_of_several_tasks_inside_one_joins():
    one = runtime(ASK, [True] * 10)

    async def tool(_arguments: dict[str, Any]) -> Any:
        return [result.ok for result in await asyncio.gather(*(one.arun(SEND, echo) for _ in range(5)))]

    assert (await one.arun(SEND, tool)).data == [True] * 5
    assert (asked(one), calls(one)) == (5, 5)


async def test_concurrent_siblings_of_the_same_kind_each_have_their_own_inner_door():
    one = runtime(ASK, [True] * 10)

    async def tool(_arguments: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return (await one.arun(SEND, echo)).unwrap()

    results = await asyncio.gather(*(one.arun(SEND, tool) for _ in range(5)))
    assert all(result.ok for result in results)
    assert (asked(one), calls(one)) == (5, 5)


# --- governed functions ---


def test_a_governed_function_behind_a_door_is_one_call():
    one = runtime(ASK, [True])

    @governed(one, target="mail")
    def send(to: str) -> str:
        return f"sent to {to}"

    assert one.run(SEND, lambda arguments: send(**arguments)).data == "sent to ann"
    assert (asked(one), calls(one)) == (1, 1)


def test_a_governed_function_that_calls_itself_is_executed_again():
    one = runtime(ASK, [True, True])
    tries: list[int] = []

    @governed(one)
    def send(to: str) -> str:
        tries.append(1)
        return send(to) if len(tries) == 1 else "sent"

    assert send("ann") == "sent"
    assert (asked(one), calls(one)) == (2, 2)


def test_a_governed_function_decorated_twice_is_one_call():
    one = runtime(ASK, [True])

    @governed(one)
    @governed(one)
    def send(to: str) -> str:
        return "sent"

    assert send("ann") == "sent"
    assert (asked(one), calls(one)) == (1, 1)


# --- split calls ---


def test_the_tool_of_a_split_call_may_be_a_door_too():
    one = runtime(ASK, [True])
    call = one.begin(SEND)
    call.finish(one.run(SEND, echo).unwrap())
    assert (asked(one), calls(one)) == (1, 1)


async def test_a_split_calls_tool_may_run_in_a_task_or_a_thread_of_the_frameworks():
    async def in_a_task(one: Any) -> None:
        await asyncio.create_task(one.arun(SEND, echo))

    async def in_a_thread(one: Any) -> None:
        await asyncio.to_thread(one.run, SEND, echo)

    for framework in (in_a_task, in_a_thread):
        one = runtime(ASK, [True])
        call = await one.abegin(SEND)
        await framework(one)
        await call.afinish()
        assert (asked(one), calls(one)) == (1, 1), framework


async def test_an_open_split_call_is_not_joined_by_an_unrelated_identical_call_of_another_task():
    one = runtime(ASK, [True, False])
    started = asyncio.Event()

    async def unrelated() -> Result:
        await started.wait()
        return await one.arun(SEND, echo)

    before = asyncio.create_task(unrelated())
    await one.abegin(SEND)
    started.set()
    assert (await before).status == "denied"


async def test_nor_by_one_that_was_started_in_its_context_and_runs_beside_it():
    one = runtime(ASK, [True, False, False])
    call = await one.abegin(SEND)
    beside = [asyncio.create_task(one.arun(SEND, echo)) for _ in range(2)]
    await asyncio.sleep(0.05)
    assert [task.result().status for task in beside] == ["denied", "denied"]
    await call.afinish()


def test_nor_by_another_threads():
    one = runtime(ASK, [True, False])
    call = one.begin(SEND)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(contextvars.copy_context().run, one.run, SEND, echo).result().status == "denied"
    call.finish()


def test_a_split_call_that_was_forgotten_lends_itself_to_nobody():
    one = runtime(ASK, [True, False])
    call = one.begin(SEND)
    assert call.permitted
    del call
    gc.collect()
    assert one.run(SEND, echo).status == "denied"


def test_a_split_call_that_has_ended_or_was_refused_is_joined_by_nobody():
    one = runtime(ASK, [True, False, False, False])
    one.begin(SEND).finish()
    assert one.run(SEND, echo).status == "denied"
    assert not one.begin(SEND).permitted
    assert one.run(SEND, echo).status == "denied"


def test_identical_split_calls_in_one_context_are_calls_of_their_own():
    one = runtime(ASK, [True, True, True])
    first, second = one.begin(SEND), one.begin(SEND)
    assert first.call_id != second.call_id
    one.run(SEND, echo)  # joins the one begun last
    second.finish()
    one.run(SEND, echo)
    first.finish()
    assert asked(one) == 3


def test_a_refusal_inside_reaches_the_outer_call_as_the_tools_exception():
    one = runtime(AUTO)

    def tool(_arguments: dict[str, Any]) -> None:
        one.update_policy(BLOCK)
        one.run(SEND.replace(type="delete"), echo).unwrap()

    result = one.run(SEND, tool)
    assert isinstance(result.exception, ActionRefused)
    assert kinds(one) == ["Intent", "Event", "Refusal blocked", "Outcome failed"]
    assert records(one)[2].action.type == "delete"
