"""The file of a trail and the one connection that writes to it. Not thread-safe: `writer` gives everybody a turn.

SQLite runs in WAL mode with ``synchronous=NORMAL``: a commit appends to the write-ahead log, whose frames carry running
checksums, and does not wait for the disk. Waiting is `sync`: it syncs that log, which is all that FULL would do in the
commit, but outside the lock between processes and only where something is promised. Nobody is told that a record is
durable before that.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

from aegis_core.audit.schema import INSERT, connect, describe
from aegis_core.audit.transaction import Transaction, chained
from aegis_core.errors import AuditError
from aegis_core.portability import Turns, process_identity, sync_data, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_core.audit.job import Job

__all__ = ["Database"]

_WAL_SIZE = 4 << 20
_WAL_AFTER = 64
_abandoned: list[sqlite3.Connection] = []


class Database:
    """Commits jobs to the file, all or nothing, and notices when the file is no longer the one it was.

    Args:
        path: Absolute path of the file.
        digest: The trail's keyed digest.
    """

    def __init__(self, path: str, *, digest: Callable[[bytes], str]) -> None:
        self.path = path
        self._wal_path = f"{path}-wal"
        self._digest = digest
        self._turns = Turns(f"{path}.lock")
        self._connection: sqlite3.Connection | None = None
        self._wal = -1
        self._chain: str | None = None  # the chain we write to; remembered when the connection is lost
        self._head: tuple[int, bytes] | None = None  # the end of the chain, as far as we know
        self._writer = 0  # the row that says who we are; 0 until it is written
        self._files: tuple[int, int, int, int] | None = None
        self._commits = 0

    # --- turns between processes -----------------------------------------------------------------------------------

    def try_enter(self) -> bool:
        """Take this process's turn, unless another process has it or waits for it."""
        try:
            return self._turns.try_take()
        except OSError:
            return False  # `enter` will say what is wrong

    def enter(self) -> None:
        """Wait for this process's turn.

        Raises:
            AuditError: The lock file cannot be used.
        """
        try:
            self._turns.take()
        except OSError as error:
            raise self._failure(error) from error

    def leave(self) -> None:
        """End this process's turn."""
        self._turns.give()

    # --- writing ---------------------------------------------------------------------------------------------------

    def commit(self, jobs: Sequence[Job]) -> None:
        """Do some jobs in one transaction, within this process's turn. Every job gets its result or its error."""
        try:
            self._commit(jobs)
        except BaseException as error:  # noqa: BLE001 - every job hears of it; what is no Exception is raised too
            self._fail(jobs, error)

    def sync(self, jobs: Sequence[Job] = ()) -> None:
        """Return when the disk has all that was committed. If that fails, so have the jobs that hoped for it."""
        try:
            if self._wal >= 0:
                sync_data(self._wal)
        except BaseException as error:  # noqa: BLE001 - likewise
            self.disconnect()
            self._fail(jobs, error)

    def _commit(self, jobs: Sequence[Job]) -> None:
        if len(jobs) == 1 and self._append(jobs[0]):
            return
        connection = self._connection or self._connect()
        connection.execute("BEGIN IMMEDIATE")
        transaction = Transaction(connection, self._chain or "", self._writer, self._digest)
        if not self._writer:
            self._introduce(transaction)
        failed = 0
        for job in jobs:
            if job.error is not None:
                failed += 1
            elif job.row is not None and not job.conditional:
                transaction.add(job.row)
            elif (error := transaction.savepoint(lambda job=job: job.perform(transaction))) is not None:  # type: ignore[misc]
                job.fail(self._failure(error) if isinstance(error, sqlite3.Error) else error)
                failed += 1
        if failed == len(jobs):
            connection.execute("ROLLBACK")
            return
        transaction.flush()
        connection.execute("COMMIT")
        self._writer = transaction.writer
        self._committed(connection, transaction.head)

    def _append(self, job: Job) -> bool:
        """Write one row by one statement, which is its own transaction: what a lone caller needs nearly always.

        The end of the chain is remembered. Where another process has written since, the row's number is taken: nothing
        is written then, and False returned.
        """
        connection = self._connection
        if connection is None or self._head is None or job.row is None or job.conditional:
            return False
        seq, last = self._head
        new, columns, values = chained(last, seq + 1, self._writer, job.row)
        try:
            connection.execute(INSERT[columns][1], values)
        except sqlite3.IntegrityError:
            self._head = None
            return False
        self._committed(connection, (seq + 1, new), look=job.lasting)
        return True

    def _committed(self, connection: sqlite3.Connection, head: tuple[int, bytes], *, look: bool = True) -> None:
        self._head = head
        if look:  # not after a lone outcome, which is nothing without its intent: the next intent will look
            self._check_files()
        self._commits += 1
        if self._commits == _WAL_AFTER:
            self._stretch_wal(connection)

    def _introduce(self, transaction: Transaction) -> None:
        """Write down who writes, once per process: a call without outcome whose writer is gone is ``unknown``."""
        if transaction.head[0] == 0:
            transaction.note("chain_started", {"chain": transaction.chain})
        identity = process_identity()
        transaction.writer = transaction.note("writer_started", {"process": identity})
        # Here, too, where it outlives the pruning of old rows: a writer may live for months.
        transaction.execute("INSERT INTO writers VALUES (?, ?)", (transaction.writer, identity))

    def _fail(self, jobs: Sequence[Job], error: BaseException) -> None:
        self._undo(error)
        failure = error if isinstance(error, AuditError) else self._failure(error)
        for job in jobs:
            job.fail(failure)
        if not isinstance(error, Exception):
            raise error

    def _undo(self, error: BaseException) -> None:
        """Undo a transaction that failed. What failed for an unknown reason gets a new connection next time."""
        connection = self._connection
        if connection is None:
            return
        known = isinstance(error, sqlite3.OperationalError) and "I/O" not in str(error)
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            known = False
        if not known:
            self.disconnect()

    def _failure(self, error: BaseException) -> AuditError:
        failure = AuditError(f"the audit trail {self.path!r} could not be written: {describe(error)}")
        failure.__cause__ = error
        return failure

    # --- files -----------------------------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        if self._files is not None:
            self._check_return(self._files)
        connection = connect(self.path)
        try:
            (chain,) = connection.execute("SELECT value FROM meta WHERE key = 'chain'").fetchone()
            if self._chain not in (None, chain):
                raise AuditError(f"{self.path!r} is another audit trail now; put the old one back, or restart")
            # The query has made SQLite open the log. A log whose name is not on disk would be no use after a power cut.
            self._wal = os.open(self._wal_path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
            sync_folder(os.path.dirname(self.path))  # noqa: PTH120
        except BaseException:
            connection.close()
            raise
        self._chain = chain
        self._connection = connection
        self._files = self._identify()
        self._commits = 0
        return connection

    def _check_return(self, files: tuple[int, int, int, int]) -> None:
        """Before opening the file again: it must be the very same. SQLite would apply the old log to a new file."""
        try:
            stat = os.stat(self.path)  # noqa: PTH116
        except FileNotFoundError:
            raise AuditError(
                f"the audit trail {self.path!r} is gone; put it back, or restart to begin a new one"
            ) from None
        if (stat.st_dev, stat.st_ino) != files[:2]:
            raise AuditError(f"{self.path!r} is another file now; put the audit trail back, or restart")

    def _identify(self) -> tuple[int, int, int, int] | None:
        try:
            main, wal = os.stat(self.path), os.stat(self._wal_path)  # noqa: PTH116 - twice as fast as Path.stat
        except FileNotFoundError:
            return None
        return main.st_dev, main.st_ino, wal.st_dev, wal.st_ino

    def _check_files(self) -> None:
        """Refuse to have written to files that nobody will find: moved, deleted or replaced while they were open."""
        if self._identify() != self._files:
            raise AuditError(f"the audit trail {self.path!r} was moved, deleted or replaced while it was in use")

    def _stretch_wal(self, connection: sqlite3.Connection) -> None:
        """Give the write-ahead log its full size at once: growing it commit by commit costs a third of every sync.

        Done within our turn and SQLite's write lock; SQLite ignores what follows the last valid frame.
        """
        connection.execute("BEGIN IMMEDIATE")
        try:
            missing = _WAL_SIZE - os.lseek(self._wal, 0, os.SEEK_END)
            if missing > 0:
                os.write(self._wal, bytes(missing))
                os.fsync(self._wal)
        except OSError:
            pass  # no room: it would only have been faster
        finally:
            connection.execute("ROLLBACK")

    def disconnect(self) -> None:
        """Close the files. They are opened again when needed."""
        self._head = None
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        wal, self._wal = self._wal, -1
        if wal >= 0:
            os.close(wal)
        self._turns.close()

    def after_fork(self) -> None:
        """This is another process now: it opens its own files, and says who it is before it writes."""
        self._writer = 0
        self._head = None
        if self._connection is not None:  # could not be closed in time; even closing it here could harm the parent
            _abandoned.append(self._connection)
            self._connection = None
            self._turns.close()
