"""How the proxy writes its trail: on the spot while there is one call, in groups while there are several."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from aegis.runtime.audit import AuditLogger
from aegis_core.errors import AuditError
from aegis_mcp.proxy.trail import PromptTrail
from tests.proxy.wire import Wire, call

if TYPE_CHECKING:
    from pathlib import Path


class Counting(AuditLogger):
    """Counts what was written on the spot and what went through the trail's own thread."""

    on_the_spot = through_the_thread = 0

    def try_write(self, *args: Any) -> bool:
        done = super().try_write(*args)
        self.on_the_spot += done
        return done

    async def awrite(self, *args: Any) -> None:
        self.through_the_thread += 1
        await super().awrite(*args)


async def answered(wire: Wire, count: int) -> None:
    for _ in range(500):
        if len(wire.said) == count:
            return
        await wire.settle()
    raise AssertionError("not all were answered")


async def test_calls_one_after_another_are_written_on_the_spot(tmp_path: Path) -> None:
    with Counting(tmp_path / "trail.db") as trail:
        wire = Wire(trail=PromptTrail(trail))
        for number in range(1, 6):
            wire.send(call(number))
            await answered(wire, number)
        assert wire.log == [("read_file", "success")] * 5
        assert trail.on_the_spot + trail.through_the_thread == 10
        assert trail.on_the_spot >= 5, "the disk's own thread may be at it in between"


async def test_calls_that_run_together_share_their_turns_and_all_are_on_record(tmp_path: Path) -> None:
    with Counting(tmp_path / "trail.db") as trail:
        prompt = PromptTrail(trail)
        wire = Wire(trail=prompt, silent=True)
        wire.send(*(call(number) for number in range(50)))
        for _ in range(500):
            await wire.settle()
            if len(wire.heard) == 50:
                break
        assert trail.through_the_thread >= 49, "only the first found nobody else"
        for number in range(50):
            wire.answer(number, {"content": []})
        await answered(wire, 50)
        assert wire.log == [("read_file", "success")] * 50
        assert prompt.running == 0


async def test_refused_failed_and_cancelled_calls_leave_no_call_behind(tmp_path: Path) -> None:
    with Counting(tmp_path / "trail.db") as trail:
        prompt = PromptTrail(trail)
        wire = Wire(trail=prompt, silent=True, answers=[False])
        wire.send(call(1, "delete_file"), call(2, "write_file"), call(3))
        for _ in range(200):
            await wire.settle()
            if wire.heard:
                break
        wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}})
        for _ in range(200):
            await wire.settle()
            if [status for _, status in wire.log] == ["blocked", "denied", "cancelled"]:
                break
        assert prompt.running == 0


async def test_what_cannot_be_written_on_the_spot_is_an_error_like_any_other(tmp_path: Path) -> None:
    trail = AuditLogger(tmp_path / "trail.db")
    wire = Wire(trail=PromptTrail(trail))
    trail.close()
    wire.send(call(1))
    await answered(wire, 1)
    assert "The call did not run" in wire.said[0]["result"]["content"][0]["text"]
    assert wire.heard == []
    with pytest.raises(AuditError):
        trail.try_write(None)  # type: ignore[arg-type]


async def test_while_another_process_writes_nothing_is_written_on_the_spot(tmp_path: Path) -> None:
    with Counting(tmp_path / "trail.db") as trail, AuditLogger(tmp_path / "trail.db") as other:
        other.transact(lambda _: None)
        wire = Wire(trail=PromptTrail(trail))
        holding, gate, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

        def hold(_transaction: Any) -> None:
            loop.call_soon_threadsafe(holding.set)
            gate.wait(20)

        busy = asyncio.create_task(asyncio.to_thread(other.transact, hold))
        await holding.wait()
        wire.send(call(1))
        await wire.settle()
        assert trail.on_the_spot == 0
        gate.set()
        await busy
        await answered(wire, 1)
        assert wire.log == [("read_file", "success")]
