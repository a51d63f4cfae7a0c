"""One thing to do inside a write transaction, and how whoever asked for it hears of the end."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from aegis_core.audit.render import Row, render
from aegis_core.record import Intent, Outcome

if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import Callable, Iterable

    from aegis_core.audit.transaction import Transaction
    from aegis_core.record import Record
    from aegis_core.redact import Redactor

__all__ = ["Job", "settle", "wake"]


class Job:
    """A record to write or a function to run.

    Attributes:
        record: The record, or None.
        row: The record as it will be stored, once rendered.
        function: The function, or None.
        result: What the function returned.
        error: Why it was not done.
        lock: What a waiting thread waits for.
        future: What a waiting coroutine waits for.
        taken: Whether somebody has begun to do it, or has given it up.
        settled: Whether it has ended and whoever waits was told.
    """

    __slots__ = ("error", "function", "future", "lock", "record", "redactor", "result", "row", "settled", "taken")

    def __init__(
        self,
        record: Record | None = None,
        redactor: Redactor | None = None,
        function: Callable[[Transaction], Any] | None = None,
    ) -> None:
        self.record = record
        self.redactor = redactor
        self.function = function
        self.row: Row | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.lock: threading.Lock | None = None
        self.future: asyncio.Future[None] | None = None
        self.taken = False
        self.settled = False

    @property
    def conditional(self) -> bool:
        """Whether this can fail alone, while its neighbours in the transaction succeed."""
        record = self.record
        if type(record) is not Intent:
            return record is None
        return bool(record.decision.reserves) or (record.answer is not None and record.answer.grant is not None)

    @property
    def lasting(self) -> bool:
        """Whether whoever asked for it is told of its end only when the disk has it.

        An outcome is not waited for: the disk has it before the next call's tool starts, or a few milliseconds later.
        A power cut in between leaves a call that reads ``unknown``, as every call does that was cut short.
        """
        return type(self.record) is not Outcome

    def render(self, digest: Callable[[bytes], str]) -> None:
        """Make the row, outside any lock."""
        if self.record is not None and self.row is None:
            self.row = render(self.record, self.redactor, digest)

    def perform(self, transaction: Transaction) -> None:
        """Do it, as a whole or not at all."""
        if self.function is not None:
            self.result = self.function(transaction)
        elif self.row is not None:
            if isinstance(self.record, Intent):
                transaction.admit(self.record)
            transaction.add(self.row)

    def fail(self, error: BaseException) -> None:
        """Note why it was not done; the first reason counts."""
        if self.error is None:
            self.error = error

    def outcome(self) -> Any:
        """The result, or the error raised."""
        if self.error is not None:
            raise self.error
        return self.result


def settle(jobs: Iterable[Job]) -> None:
    """Tell everybody who waits that their jobs have ended: one wake-up for each thread and each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        if job.future is not None:
            loops.setdefault(job.future.get_loop(), []).append(job)
        elif job.lock is not None:
            job.settled = True
            job.lock.release()
    for loop, theirs in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(wake, theirs)


def wake(jobs: Iterable[Job]) -> None:
    """Tell coroutines, on their own event loop, that their jobs have ended."""
    for job in jobs:
        job.settled = True
        if job.future is not None and not job.future.done():
            job.future.set_result(None)
