"""A coroutine run on the spot, and on from where its reply arrives; by a task where it waits for anything else."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from aegis_mcp.proxy.strand import Reply, Strand

WHERE: ContextVar[str] = ContextVar("where", default="outside")


async def rounds(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_waits_for_nothing_has_ended_at_once() -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append("done")

    strand = Strand(work())
    assert seen == []
    strand.run()
    assert seen == ["done"]
    assert strand.done()


async def test_it_goes_on_where_its_reply_arrives() -> None:
    reply: Reply[object] = Reply()
    seen: list[object] = []

    async def work() -> None:
        seen.append(await reply)

    strand = Strand(work())
    strand.run()
    assert not strand.done()
    reply.bring("here")
    assert seen == ["here"]
    assert strand.done()


async def test_a_reply_that_will_not_come_is_raised_where_it_is_waited_for() -> None:
    reply: Reply[object] = Reply()

    async def work() -> None:
        with pytest.raises(ValueError, match="never"):
            await reply
        raise KeyError("mine")

    strand = Strand(work())
    strand.run()
    reply.fail(ValueError("never"))
    assert isinstance(strand.exception(), KeyError)


async def test_what_waits_for_anything_else_goes_on_as_a_task_in_its_own_context() -> None:
    other: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reply: Reply[object] = Reply()
    seen: list[object] = []

    async def work() -> None:
        WHERE.set("inside")
        seen.append(await other)
        async with asyncio.timeout(20):  # takes a task
            seen.append(await reply)
        seen.append(WHERE.get())

    strand = Strand(work())
    strand.run()
    assert WHERE.get() == "outside"
    other.set_result("one")
    await rounds()
    assert seen == ["one"]
    reply.bring("two")
    await asyncio.wait_for(strand, 20)
    assert seen == ["one", "two", "inside"]


async def test_a_timeout_of_its_own_ends_only_what_it_is_for() -> None:
    never: Reply[object] = Reply()

    async def work() -> None:
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await never

    strand = Strand(work())
    strand.run()
    await asyncio.wait_for(strand, 20)


@pytest.mark.parametrize("waits", ["for its reply", "for something else", "for something else, for long"])
async def test_a_cancellation_reaches_the_coroutine_wherever_it_waits(waits: str) -> None:
    never: Reply[object] = Reply()
    seen: list[object] = []

    async def work() -> None:
        try:
            await (never if waits == "for its reply" else asyncio.sleep(20))
        except asyncio.CancelledError:
            seen.append("told")
            await asyncio.sleep(0)  # it may take its time
            seen.append("ended")
            raise

    strand = Strand(work())
    strand.run()
    if waits.endswith("long"):
        await rounds()
    assert strand.cancel()
    assert seen == []
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(strand, 20)
    assert seen == ["told", "ended"]
    assert not strand.cancel()


async def test_a_cancellation_that_comes_too_late_changes_nothing() -> None:
    reply: Reply[object] = Reply()
    seen: list[object] = []

    async def work() -> None:
        seen.append(await reply)

    strand = Strand(work())
    strand.run()
    reply.bring(1)
    assert not strand.cancel()
    await rounds()
    assert not strand.cancelled()
    assert seen == [1]


async def test_a_coroutine_whose_task_is_closed_is_closed_too() -> None:
    seen: list[object] = []

    async def work() -> None:
        try:
            await asyncio.sleep(20)
        finally:
            seen.append("closed")

    strand = Strand(work())
    strand.run()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    await rounds()
    for task in tasks:
        task.cancel()
    await asyncio.gather(strand, return_exceptions=True)
    assert seen == ["closed"]
    assert strand.cancelled()
