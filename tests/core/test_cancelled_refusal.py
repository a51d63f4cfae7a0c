"""A cancellation that comes while a refusal is written goes on its way, with the refusal on record."""

import asyncio
from typing import Any

import pytest

from aegis import Action, Policy, Runtime
from aegis.testing import MemoryAuditLogger


class SlowTrail(MemoryAuditLogger):
    """Takes its time, and raises a cancellation only once the record is written: what sinks promise."""

    def __init__(self) -> None:
        super().__init__()
        self.writing = asyncio.Event()

    async def awrite(self, record: Any, redactor: Any = None) -> None:
        self.writing.set()
        try:
            await asyncio.sleep(10)
        finally:
            self.write(record, redactor)


async def test_a_cancellation_while_a_refusal_is_written_is_not_swallowed():
    # It was: `asyncio.timeout` and a task's `cancel` around refused calls did nothing.
    trail = SlowTrail()
    runtime = Runtime(policy=Policy.from_dict({"version": "1"}), audit_logger=trail)
    task = asyncio.create_task(runtime.arun(Action("delete_file", "filesystem"), lambda _arguments: None))
    await trail.writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [entry["result_status"] for entry in trail.get_log()] == ["blocked"]
