"""Executors: what they claim is recorded as their claim, and whatever they do is the call's outcome."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aegis_core.action import Action
from aegis_core.executor import BaseExecutor
from aegis_core.result import Result, ResultStatus
from tests.core.policies import kinds, records, runtime

SEND = Action("send", "mail", {"to": ["ann"]})


class PassThrough(BaseExecutor):
    async def execute(self, action: Action) -> Result:
        await asyncio.sleep(0)
        return Result(action, ResultStatus.SUCCESS)


def both(executor: Any) -> list[Any]:
    """The result of a call through an executor: sync, async, and sync on a running loop."""
    first = runtime(executor=executor)
    second = runtime(executor=executor)

    async def main() -> list[Result]:
        return [await second.arun(SEND), second.run(SEND)]

    return [(first.run(SEND), first), *((result, second) for result in asyncio.run(main()))]


def test_a_pass_through_executors_success_says_allowed_and_who_says_so():
    for result, governed in both(PassThrough()):
        assert result.ok
        assert kinds(governed)[:2] == ["Intent", "Outcome success"]
        assert records(governed)[1].claimed_by == "PassThrough"


def test_a_failure_it_reports_is_a_failure():
    class Reporting(BaseExecutor):
        async def execute(self, action: Action) -> Result:
            return Result(action, ResultStatus.FAILED, {"code": 550}, "no such mailbox")

    for result, governed in both(Reporting()):
        assert (result.status, result.data, result.error) == ("failed", {"code": 550}, "no such mailbox")
        assert records(governed)[1].claimed_by == "Reporting"


@pytest.mark.parametrize("status", ["blocked", "denied", "cancelled", "unknown", "pending_approval"])
def test_any_other_status_it_reports_is_a_failure_too(status):
    class Odd(BaseExecutor):
        async def execute(self, action: Action) -> Result:
            return Result(action, ResultStatus(status))

    for result, _ in both(Odd()):
        assert (result.status, result.error) == ("failed", f"the executor reported {status}")


def test_an_exception_it_raises_is_the_calls_outcome_the_same_object():
    error = ValueError("no such mailbox")

    class Raising(BaseExecutor):
        async def execute(self, action: Action) -> Result:
            raise error

    for result, governed in both(Raising()):
        assert (result.status, result.exception) == ("failed", error)
        assert records(governed)[1].claimed_by == "Raising"


def test_a_plain_method_will_do():
    class Plain:
        def execute(self, action: Action) -> Result:
            return Result(action, ResultStatus.SUCCESS, "sent")

    for result, _ in both(Plain()):
        assert result.data == "sent"


@pytest.mark.parametrize("returned", [None, True, "success", {"status": "success"}], ids=repr)
def test_what_is_no_result_is_a_failure_that_says_so(returned):
    class Careless(BaseExecutor):
        async def execute(self, action: Action) -> Result:
            return returned

    for result, _ in both(Careless()):
        assert result.status == "failed"
        assert f"Careless.execute returned {type(returned).__name__}" in (result.error or "")


def test_it_gets_a_fresh_copy_of_exactly_what_was_judged():
    class Tampering(BaseExecutor):
        async def execute(self, action: Action) -> Result:
            seen = repr(action.params)
            action.params["to"].append("eve")
            action.params["more"] = 1  # type: ignore[index]
            return Result(action, ResultStatus.SUCCESS, seen)

    for result, governed in both(Tampering()):
        assert result.data == "{'to': ['ann']}"
        assert result.action.params == {"to": ["ann"]}
        assert records(governed)[0].action.params == {"to": ["ann"]}


async def test_a_cancelled_executor_is_a_cancelled_call():
    class Waiting(BaseExecutor):
        async def execute(self, action: Action) -> Result:
            await asyncio.Event().wait()
            raise AssertionError

    governed = runtime(executor=Waiting())
    call = asyncio.ensure_future(governed.arun(SEND))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert kinds(governed) == ["Intent", "Outcome cancelled"]


def test_a_tool_that_is_given_goes_before_the_executor():
    assert runtime(executor=PassThrough()).run(SEND, lambda arguments: arguments["to"]).data == ["ann"]


def test_an_executor_may_use_the_session_and_the_loop_it_is_run_in():
    class Curious(BaseExecutor):
        async def execute(self, action: Action) -> Result:
            return Result(action, ResultStatus.SUCCESS, asyncio.get_running_loop().is_running())

    for result, _ in both(Curious()):
        assert result.data is True
