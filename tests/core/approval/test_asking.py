"""Asking a handler: it has its time, it can be hung up on, and nothing it does opens what was shut."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from aegis_core.action import Action
from aegis_core.approval.asking import ApprovalHandler, aask, ask
from aegis_core.approval.simple import CallbackApprovalHandler, DenyAllApprovalHandler
from aegis_core.approval.terminal import TerminalApprovalHandler
from aegis_core.errors import ApprovalError
from tests.core.policies import ASK, kinds, runtime

if TYPE_CHECKING:
    from aegis_core.request import ApprovalAnswer, ApprovalRequest

SEND = Action("send", "mail", {"to": "ann"})


class Slow:
    """Answers yes, too late; remembers what was taken back."""

    def __init__(self, seconds: float = 5.0) -> None:
        self.seconds = seconds
        self.withdrawn: list[str] = []
        self.ended = threading.Event()
        self.how: list[str] = []

    def withdraw(self, request: ApprovalRequest) -> None:
        self.withdrawn.append(request.id)


class SlowSync(Slow):
    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        self.ended.wait(self.seconds)
        return request.approve()


class SlowAsync(Slow):
    async def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.how.append("cancelled")
            self.ended.set()
            raise
        return request.approve()


class SlowLater(Slow):
    """A plain method that returns a coroutine."""

    def ask(self, request: ApprovalRequest) -> Any:
        return SlowAsync.ask(self, request)  # type: ignore[arg-type]


HANDLERS = [SlowSync, SlowAsync, SlowLater]


def echo(arguments: dict[str, Any]) -> dict[str, Any]:
    return arguments


@pytest.mark.parametrize("kind", HANDLERS)
def test_16_silence_is_a_no_from_sync_code(kind):
    handler = kind()
    governed = runtime(ASK, approval_handler=handler, approval_timeout=0.15)
    started = time.monotonic()
    result = governed.run(SEND, echo)
    assert 0.1 < time.monotonic() - started < 3
    assert result.status == "denied"
    assert "denied (timeout): nobody answered" in (result.error or "")
    assert "within 0.15 s" in (result.error or "")
    assert len(handler.withdrawn) == 1
    assert kinds(governed) == ["Refusal denied"]
    if kind is not SlowSync:
        assert handler.ended.wait(3)
        assert handler.how == ["cancelled"]  # its coroutine does not live on in some thread
    handler.ended.set()


@pytest.mark.parametrize("kind", HANDLERS)
async def test_16_silence_is_a_no_from_a_coroutine_and_its_loop_is_free_meanwhile(kind):
    handler = kind()
    governed = runtime(ASK, approval_handler=handler, approval_timeout=0.15)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    result = await governed.arun(SEND, echo)
    ticking.cancel()
    assert "denied (timeout)" in (result.error or "")
    assert ticks >= 5
    assert len(handler.withdrawn) == 1
    handler.ended.set()


@pytest.mark.parametrize("kind", HANDLERS)
def test_without_a_timeout_a_call_waits_as_long_as_the_request_lives(kind, monkeypatch):
    handler = kind()
    governed = runtime(ASK, approval_handler=handler, approval_timeout=None)
    monkeypatch.setattr(governed, "request_lifetime", 0.1)
    assert "denied (timeout)" in (governed.run(SEND, echo).error or "")
    handler.ended.set()


class OwnTimeout:
    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        raise TimeoutError("the chat server did not answer")


class OwnAsyncTimeout:
    async def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        raise TimeoutError("the chat server did not answer")


@pytest.mark.parametrize("handler", [OwnTimeout(), OwnAsyncTimeout()], ids=["sync", "async"])
async def test_a_handler_whose_network_timed_out_has_failed_and_nobody_was_silent(handler):
    governed = runtime(ASK, approval_handler=handler)
    results = [await asyncio.to_thread(governed.run, SEND, echo), await governed.arun(SEND, echo)]
    for result in results:
        assert result.status == "denied"
        assert "(timeout)" not in (result.error or "")
        assert "the chat server did not answer" in (result.error or "")


async def test_a_cancelled_call_takes_its_question_back_and_is_recorded():
    for kind in HANDLERS:
        handler = kind()
        governed = runtime(ASK, approval_handler=handler)
        call = asyncio.create_task(governed.arun(SEND, echo))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert kinds(governed) == ["Refusal cancelled"]
        assert len(handler.withdrawn) == 1
        handler.ended.set()


async def test_a_withdrawal_that_fails_does_not_turn_a_cancellation_into_a_result(caplog):
    class Clumsy(SlowAsync):
        def withdraw(self, request: ApprovalRequest) -> None:
            raise RuntimeError("cannot")

    governed = runtime(ASK, approval_handler=Clumsy())
    call = asyncio.create_task(governed.arun(SEND, echo))
    await asyncio.sleep(0.02)
    call.cancel()
    with caplog.at_level(logging.WARNING, "aegis"), pytest.raises(asyncio.CancelledError):
        await call
    assert "could not withdraw" in caplog.text


async def test_an_outer_timeout_is_the_callers_own():
    governed = runtime(ASK, approval_handler=SlowAsync())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await governed.arun(SEND, echo)
    assert kinds(governed) == ["Refusal cancelled"]


def test_an_async_approver_answers_sync_code_from_a_loop_of_its_own_in_another_thread():
    seen: list[Any] = []

    async def approve(request: ApprovalRequest) -> bool:
        seen.append(threading.current_thread())
        await asyncio.sleep(0)
        return True

    governed = runtime(ASK, approval_handler=CallbackApprovalHandler(approve))
    assert governed.run(SEND, echo).ok
    assert seen[0] is not threading.current_thread()


@pytest.mark.parametrize(
    "handler",
    [
        CallbackApprovalHandler(SlowAsync().ask),
        SlowAsync(),
        SlowLater(),
        TerminalApprovalHandler(),
    ],
    ids=["callback", "async", "later", "terminal"],
)
async def test_sync_code_on_a_running_loop_is_refused_rather_than_freezing_it(handler):
    governed = runtime(ASK, approval_handler=handler)
    started = time.monotonic()
    result = governed.run(SEND, echo)
    assert time.monotonic() - started < 2
    assert result.status == "denied"
    assert "without freezing the loop; use arun" in (result.error or "")
    gc.collect()  # a coroutine that was dropped without being closed would warn now


async def test_a_sync_approver_may_be_asked_on_a_running_loop():
    governed = runtime(ASK, approval_handler=CallbackApprovalHandler(lambda request: True))
    assert governed.run(SEND, echo).ok
    assert (await governed.arun(SEND, echo)).ok


async def test_context_variables_reach_the_approver():
    name = contextvars.ContextVar[str]("name")
    name.set("here")
    seen: list[str] = []

    def approve(request: ApprovalRequest) -> bool:
        seen.append(name.get())
        return True

    governed = runtime(ASK, approval_handler=CallbackApprovalHandler(approve))
    governed.run(SEND, echo)
    await governed.arun(SEND, echo)
    assert seen == ["here", "here"]


@pytest.mark.parametrize("error", [StopIteration("x"), StopAsyncIteration(), GeneratorExit(), SystemExit(2)], ids=repr)
async def test_whatever_a_sync_approver_raises_the_call_ends_and_does_not_run(error):
    ran: list[Any] = []

    def approve(request: ApprovalRequest) -> bool:
        raise error

    for ask_sync in (True, False):
        governed = runtime(ASK, approval_handler=CallbackApprovalHandler(approve), approval_timeout=5.0)
        try:
            result = governed.run(SEND, ran.append) if ask_sync else await governed.arun(SEND, ran.append)
            assert result.status == "denied"
        except BaseException as raised:  # noqa: BLE001 - a cancellation is raised as what it is
            assert raised is error  # noqa: PT017
        assert kinds(governed)[0].startswith("Refusal")
    assert ran == []


async def test_requests_of_many_tasks_wait_side_by_side():
    async def approve(request: ApprovalRequest) -> bool:
        await asyncio.sleep(0.1)
        return bool(request.action.params["n"] % 2)

    governed = runtime(ASK, approval_handler=CallbackApprovalHandler(approve))
    started = time.monotonic()
    results = await asyncio.gather(*(governed.arun(SEND.replace(params={"n": n}), echo) for n in range(20)))
    assert time.monotonic() - started < 2
    assert [result.ok for result in results] == [bool(n % 2) for n in range(20)]


def test_the_shipped_handlers_are_handlers():
    for handler in (TerminalApprovalHandler(), DenyAllApprovalHandler(), CallbackApprovalHandler(lambda request: True)):
        assert isinstance(handler, ApprovalHandler)


async def test_a_request_without_a_timeout_waits_for_its_answer():
    governed = runtime(ASK)
    governed.run(SEND, echo)
    request = governed.approval_handler.requests[0]  # type: ignore[attr-defined]
    unlimited = type(request)(**{name: getattr(request, name) for name in request.__slots__} | {"timeout": None})
    yes = CallbackApprovalHandler(lambda request: True)
    assert (await aask(yes, unlimited)).approved is True
    assert (await asyncio.to_thread(ask, yes, unlimited)).approved is True
    with pytest.raises(ApprovalError):
        await aask(OwnTimeout(), unlimited)


@pytest.mark.parametrize("fn", [None, True, "approve"])
def test_a_callback_that_cannot_be_called_is_refused_when_the_handler_is_made(fn: Any):
    with pytest.raises(TypeError, match="takes a function of the request"):
        CallbackApprovalHandler(fn)
