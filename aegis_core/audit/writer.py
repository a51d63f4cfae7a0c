"""Gives everybody who writes to a trail their turn: alone on their own thread, together in groups on the writer's.

A lone caller commits inline: no thread, no hand-over. When several want to write, they queue, and the writer thread
commits all of them in one transaction and waits for the disk once. Between processes, `portability.Turns` decides.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from aegis_core.audit.job import Job, settle, wake
from aegis_core.errors import AuditError
from aegis_core.log import logger

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

__all__ = ["Writer"]

_log = logger("aegis.audit.writer")

CAPACITY = 10_000
"""Records that may wait, in the mode that does not wait for the disk, before callers are made to wait for theirs."""
GROUP = 1_000
"""Records in one transaction at most."""
PATIENCE = 10.0
"""Seconds a caller waits for a turn before its call is refused."""
_ROUND = 0.01
"""Seconds after which the thread looks by itself for what nobody waits for: records, in the mode that does not wait for
the disk, and outcomes that are to be on it. Those it takes there in the second round, unless an intent has before."""
_ATTENTIVE = 100
"""Rounds with nothing to do after which it rests until it is woken. To wake it costs as much as to commit a row."""
_RETRY = 0.25


class Database(Protocol):
    """What a writer needs of its database. Not thread-safe."""

    path: str

    def try_enter(self) -> bool:
        """Take this process's turn, unless another process has it or waits for it."""
        ...

    def enter(self) -> None:
        """Wait for this process's turn."""
        ...

    def leave(self) -> None:
        """End this process's turn."""
        ...

    def commit(self, jobs: Sequence[Job]) -> None:
        """Do some jobs in one transaction. Every job gets its result or its error."""
        ...

    def sync(self, jobs: Sequence[Job] = ()) -> None:
        """Return when the disk has all that was committed. If that fails, so have the jobs that hoped for it."""
        ...

    def disconnect(self) -> None:
        """Close everything. It is opened again when needed."""
        ...

    def after_fork(self) -> None:
        """This is another process now."""
        ...


_Waiting = deque[tuple[float, Job]]
"""Until when whoever asked for a job waits, and the job, in order."""


class Writer:
    """The one way into a `Database`, for any number of threads and event loops.

    Args:
        database: The database.
        durable: Whether a caller waits until its record is on disk.
        digest: The trail's keyed digest.
    """

    def __init__(self, database: Database, *, durable: bool, digest: Callable[[bytes], str]) -> None:
        self._database = database
        self._durable = durable
        self._digest = digest
        self._queue: deque[Job] = deque()
        self._closed = False
        self._failure: AuditError | None = None
        self._forking = False
        self._waiting: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waiting] = weakref.WeakKeyDictionary()
        self._start_afresh()
        _writers.add(self)

    def _start_afresh(self) -> None:
        self._turn = threading.Lock()  # who holds it may use the database
        self._guard = threading.Lock()  # for the moments in which a job changes hands
        self._bell = threading.Lock()  # locked: nothing new for the thread
        self._bell.acquire()
        self._thread: threading.Thread | None = None
        self._resting = False
        self._grouping = False
        self._commits = 0
        self._unsynced = 0  # the last commit the disk may not have; 0 if it has all

    # --- for callers -----------------------------------------------------------------------------------------------

    def post(self, job: Job) -> bool:
        """Leave a record to the thread and go on; False if the queue is full and the caller has to wait."""
        if self._failure is not None or self._closed:
            self._refuse()
        if len(self._queue) >= CAPACITY:
            return False
        self._queue.append(job)
        if self._resting or self._thread is None:
            self._ring()
        return True

    def run(self, job: Job) -> Any:
        """Do a job and wait until it is done.

        Raises:
            AuditError: It could not be done.
        """
        if self._closed:
            self._refuse()
        if self._durable and self._run_alone(job):
            return job.outcome()
        job.lock = threading.Lock()
        job.lock.acquire()
        self._queue.append(job)
        self._ring()
        if not job.lock.acquire(timeout=PATIENCE) and not self._withdraw(job):
            job.lock.acquire(timeout=PATIENCE)  # it is being written right now
        if not job.settled:
            self._expire(job)
        return job.outcome()

    def try_run(self, job: Job) -> bool:
        """Do a job here and now, if the caller need not wait for anybody else; False, and nothing happened, otherwise.

        Raises:
            AuditError: It could not be done.
        """
        if self._closed:
            self._refuse()
        if not self._durable or not self._run_alone(job):
            return False
        job.outcome()
        return True

    async def arun(self, job: Job) -> Any:
        """Do a job and wait, without blocking the event loop. A cancellation is raised after the job has ended."""
        import asyncio  # noqa: PLC0415 - costs as much as three interpreter starts, and a hook has no event loop

        if self._closed:
            self._refuse()
        loop = asyncio.get_running_loop()
        job.future = loop.create_future()
        self._queue.append(job)
        self._ring()
        waiting = self._waiting.get(loop)
        if waiting is None:
            waiting = self._waiting[loop] = deque()
            loop.call_later(PATIENCE, self._look_after, loop, waiting)
        waiting.append((loop.time() + PATIENCE, job))
        cancelled: asyncio.CancelledError | None = None
        while not job.settled:
            try:
                await job.future
            except asyncio.CancelledError as error:
                cancelled = error
                job.future = loop.create_future()
        while waiting and waiting[0][1].settled:
            waiting.popleft()
        if cancelled is not None:
            raise cancelled
        return job.outcome()

    def flush(self) -> None:
        """Wait until everything posted so far is written."""
        if self._queue or not self._durable:
            self.run(Job(function=lambda _: None))

    def close(self) -> None:
        """Write what waits, end the thread, close the files. Idempotent.

        Raises:
            AuditError: Something that was posted could not be written.
        """
        if self._closed:
            return
        self._closed = True
        thread = self._thread
        if thread is not None:
            self._ring()
            thread.join(timeout=PATIENCE)
        with self._turn:
            if self._unsynced:
                self._database.sync()
            self._database.disconnect()
        lost = len(self._queue)
        if lost:
            message = f"{lost} records could not be written to the audit trail {self._database.path!r}: {self._failure}"
            _log.critical(message)
            raise AuditError(message)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _refuse(self) -> None:
        if self._closed:
            raise AuditError(f"the audit trail {self._database.path!r} is closed")
        raise AuditError(str(self._failure))

    def _run_alone(self, job: Job) -> bool:
        """Commit on the caller's own thread, if nobody else wants to write."""
        job.render(self._digest)
        if self._queue or self._grouping or not self._turn.acquire(blocking=False):
            return False
        try:
            if not self._database.try_enter():
                return False
            try:
                self._database.commit([job])
            finally:
                self._database.leave()
            self._settle_with_disk([job])
        finally:
            self._turn.release()
        return True

    def _settle_with_disk(self, jobs: list[Job]) -> None:
        """After a commit, outside the lock between processes: wait for the disk where something was promised."""
        if not self._durable:
            return
        self._commits += 1
        if any(job.lasting for job in jobs):
            self._unsynced = 0
            self._database.sync(jobs)
        else:
            self._unsynced = self._commits
            if self._resting or self._thread is None:
                self._ring()

    def _withdraw(self, job: Job) -> bool:
        """Give up on a job; False if it is being done already."""
        with self._guard:
            if job.taken:
                return False
            job.taken = True
            return True

    def _expire(self, job: Job) -> None:
        """Whoever asked for it has waited long enough."""
        self._withdraw(job)
        job.fail(AuditError(f"the audit trail {self._database.path!r} is busy: not written within {PATIENCE:g} s"))
        wake([job])

    def _look_after(self, loop: asyncio.AbstractEventLoop, waiting: _Waiting) -> None:
        """One timer for all that wait on an event loop: one for each would cost more than the writing."""
        now = loop.time()
        while waiting and (waiting[0][1].settled or waiting[0][0] <= now):
            job = waiting.popleft()[1]
            if not job.settled:
                self._expire(job)
        if waiting:
            loop.call_at(waiting[0][0], self._look_after, loop, waiting)
        else:
            self._waiting.pop(loop, None)

    def _ring(self) -> None:
        if self._bell.locked():  # else it rings already
            with contextlib.suppress(RuntimeError):  # somebody else was faster
                self._bell.release()
        if self._thread is None:
            with self._guard:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name="aegis-audit-writer", daemon=True)
                    self._thread.start()

    def _serve(self) -> None:
        """The thread: write what is there, tell everybody, wait for more."""
        quiet = 0  # rounds with nothing to do
        while True:
            self._resting = quiet >= _ATTENTIVE  # said before it is looked, so that nothing is overlooked
            unsynced = self._unsynced
            if self._closed and not self._queue and not unsynced:
                return
            if not self._closed and not self._awaited():
                self._pause(until_rung=self._resting and not self._queue and not unsynced)
            self._resting = False
            quiet += 1
            if self._queue:
                self._grouping = True  # or callers that write inline would overtake the group for ever
                self._write_group()
                self._grouping = False
                quiet = 0
            elif self._unsynced:
                quiet = 0
                if self._unsynced == unsynced:
                    with self._turn:
                        self._unsynced = 0
                        self._database.sync()
            if self._failure is not None:
                if self._closed:
                    return
                time.sleep(_RETRY)

    def _awaited(self) -> bool:
        """Whether somebody waits for what is last in the queue."""
        try:
            last = self._queue[-1]
        except IndexError:
            return False
        return last.lock is not None or last.future is not None

    def _pause(self, *, until_rung: bool) -> None:
        if until_rung:
            self._bell.acquire()
            self._resting = False
            if self._durable or self._closed or self._awaited():
                return
        self._bell.acquire(timeout=_ROUND)  # more will come; whoever waits for an answer rings

    def _write_group(self) -> None:
        with self._guard:
            group = [
                job for job in (self._queue.popleft() for _ in range(min(len(self._queue), GROUP))) if not job.taken
            ]
            for job in group:
                job.taken = True
        if not group:
            return
        try:
            for job in group:
                job.render(self._digest)
            with self._turn:
                self._database.enter()
                try:
                    self._database.commit(group)
                finally:
                    self._database.leave()
                self._settle_with_disk(group)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever happens to one group
            for job in group:
                job.fail(error)
        self._keep([job for job in group if job.error is not None and job.lock is None and job.future is None])
        settle(group)

    def _keep(self, unwritten: list[Job]) -> None:
        """What was accepted and could not be written stays first in the queue; new records are refused meanwhile."""
        if not unwritten:
            self._failure = None
            return
        error = unwritten[0].error
        if self._failure is None:
            _log.critical("audit records wait to be written, calls are refused: %s", error)
        self._failure = error if isinstance(error, AuditError) else AuditError(str(error))
        for job in reversed(unwritten):
            job.error, job.taken = None, False
            self._queue.appendleft(job)

    # --- forks -----------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Close the files: SQLite's connections and locks must not be inherited. Both sides open them again."""
        self._forking = self._turn.acquire(timeout=PATIENCE)
        if self._forking:
            self._database.disconnect()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._forking:
            self._turn.release()

    def after_fork_in_child(self) -> None:
        """Begin as another process, with nothing to write: what waits is the parent's to write."""
        self._queue.clear()
        self._start_afresh()
        self._database.after_fork()


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


def _each(method: Callable[[Writer], None]) -> Callable[[], None]:
    def call() -> None:
        for writer in list(_writers):
            method(writer)

    return call


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_each(Writer.before_fork),
        after_in_parent=_each(Writer.after_fork_in_parent),
        after_in_child=_each(Writer.after_fork_in_child),
    )
