"""Reading a trail in PostgreSQL: the same queries as SQLite's, and others where several writers make a difference."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import time
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from aegis_core.audit.chains import latest_cuts
from aegis_core.audit.postgres.schema import LOCKS, Session, connect, describe, prepare
from aegis_core.audit.reader import Reader
from aegis_core.audit.schema import ALL
from aegis_core.errors import AuditError
from aegis_core.portability import process_lives

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence

    from aegis_core.audit.checkpoint import Statement

__all__ = ["PostgresReader", "PostgresWatch"]

T = TypeVar("T")

_CHUNK = 2_000
_COLUMNS = ", ".join(f'"{column}"' for column in ("number", *ALL[1:], "hash"))
_ROWS = f"SELECT {_COLUMNS} FROM records WHERE (writer, number) > (?, ?) ORDER BY writer, number LIMIT {_CHUNK}"  # noqa: S608 - our own names
_OLDEST = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
"""The oldest transaction still in progress: all before it have ended, and nothing of theirs will still appear."""


class PostgresReader(Reader):
    """Reads over a connection of its own, which is made again whenever it is lost.

    Args:
        url: The database.
        path: The same without the password, for messages.
    """

    def __init__(self, url: str, path: str) -> None:
        super().__init__(path)
        self._url = url
        self._session: Session | None = None

    def read(self, function: Callable[[Any], T]) -> T:
        """Run a function that reads; twice, if the connection turns out to be lost.

        Raises:
            AuditError: The trail is not there or cannot be read.
        """
        with self._lock:
            try:
                try:
                    return function(self._connected())
                except psycopg.OperationalError:
                    if self._session is None or not self._session.lost:
                        raise
                    self._disconnect()
                    return function(self._connected())
            except psycopg.Error as error:
                self._disconnect()
                raise AuditError(f"the audit trail {self.path!r} cannot be read: {describe(error)}") from error

    def find(self, end: str) -> list[str]:
        """The ids of the calls whose id is, or ends in, ``end``."""
        sql = "SELECT DISTINCT call_id FROM records WHERE right(call_id, length(?::text)) = ? LIMIT 100"
        return [call_id for (call_id,) in self.read(lambda db: db.execute(sql, (end, end)).fetchall())]

    def last_row(self) -> int:
        """The position up to which nothing new can appear."""
        return int(self.read(lambda db: db.execute(f"SELECT {_OLDEST} - 1").fetchone()[0]))

    def calls_after(self, seq: int) -> tuple[int, list[str]]:
        """How far the trail is complete, and the calls spoken of after position ``seq`` and up to there, in order."""
        sql = f"SELECT {_OLDEST} - 1, call_id FROM records WHERE xid > ? AND xid < {_OLDEST} ORDER BY seq"  # noqa: S608 - our own expression
        rows = self.read(lambda db: db.execute(sql, (seq,)).fetchall())
        return rows[0][0] if rows else seq, list(dict.fromkeys(call_id for _, call_id in rows if call_id is not None))

    def history(self, session_id: str, after: int) -> list[tuple[int, str, str]]:
        """``(position, type, target)`` of every call begun in a session after a position.

        Positions are transactions, and none is higher than what is complete: whatever becomes visible later has a
        higher one, and calls since then come along again.
        """
        sql = (
            f"SELECT least(xid, {_OLDEST} - 1), action_type, action_target FROM records"  # noqa: S608 - likewise
            " WHERE kind = 'intent' AND session_id IS NOT NULL AND session_id = ? AND xid > ? ORDER BY seq"
        )
        return self.read(lambda db: db.execute(sql, (session_id, after)).fetchall())

    def changes(self) -> int:
        """A number that changes whenever a transaction ends, on the trail or elsewhere on the server."""
        snapshot = self.read(lambda db: db.execute("SELECT pg_current_snapshot()::text").fetchone()[0])
        return int.from_bytes(hashlib.blake2b(snapshot.encode(), digest_size=7).digest())

    def lives(self, writer: int) -> bool:
        """Whether a writer is connected, from wherever; or between two connections, as far as can be seen from here."""
        sql = (
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = ? AND objid = ?"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        if self.read(lambda db: db.execute(sql, (LOCKS, writer)).fetchone()):
            return True
        process = self.writer(writer)
        return process is not None and process_lives(process)

    def rows(self) -> Iterator[Sequence[Any]]:
        """Every row, chain by chain, in the order of its chain: the columns of ``schema.ALL``, then the hash."""
        last = (-1, -1)
        while chunk := self.read(lambda db, last=last: db.execute(_ROWS, last).fetchall()):  # type: ignore[misc]
            yield from chunk
            last = (chunk[-1][1], chunk[-1][0])

    def trail(self) -> str:
        """The trail's id."""
        return str(self.read(lambda db: db.execute("SELECT value FROM meta WHERE key = 'chain'").fetchone()[0]))

    def hashes(self, places: Collection[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
        """The hashes of the rows at some places (writer, number), as far as they are there."""
        sql = "SELECT hash FROM records WHERE writer = ? AND number = ?"
        found = {place: self.read(lambda db, at=place: db.execute(sql, at).fetchone()) for place in places}  # type: ignore[misc]
        return {place: row[0] for place, row in found.items() if row is not None}

    def cuts(self) -> list[Statement]:
        """What retention has removed last of each chain."""
        return self.read(latest_cuts)

    @contextlib.contextmanager
    def frozen(self) -> Generator[tuple[str, Iterator[Sequence[Any]], list[Statement]]]:
        """The trail's id, its rows as `rows` gives them, and its cuts: all as they are at one moment.

        Raises:
            AuditError: The trail cannot be read.
        """
        try:
            session = self._opened_session()
            try:
                session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                found = session.execute("SELECT value FROM meta WHERE key = 'chain'").fetchone()
                yield str(found[0] if found else ""), _rows(session), latest_cuts(session)
            finally:
                session.close()
        except psycopg.Error as error:
            raise AuditError(f"the audit trail {self.path!r} cannot be read: {describe(error)}") from error

    def _connected(self) -> Session:
        if self._session is None:
            self._session = self._opened_session()
        return self._session

    def _opened_session(self) -> Session:
        session = connect(self._url)
        try:
            prepare(session, self.path, create=False)
            session.execute("SET default_transaction_read_only TO on")
            session.execute("SET statement_timeout TO 0")  # an auditor's question may take its time
        except BaseException:
            session.close()
            raise
        return session

    def _disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _rows(session: Session) -> Iterator[Sequence[Any]]:
    last = (-1, -1)
    while chunk := session.execute(_ROWS, last).fetchall():
        yield from chunk
        last = (chunk[-1][1], chunk[-1][0])


class PostgresWatch:
    """Waits until approvals may have changed: LISTEN, on a connection of its own.

    Only what approvals stand on is told of: a notification for every record would make all writers queue up. Where the
    server cannot be reached, it tries again every second; coming back counts as a change.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._wake_read, self._wake_write = os.pipe()
        self._session: Session | None = None
        self._listen()

    def wait(self, timeout: float | None) -> bool:
        """Wait for a change at most ``timeout`` seconds; True if there may have been one, or `wake` was called."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._session is None and self._listen():
                return True
            session = self._session
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if session is None:
                left = 1.0 if left is None else min(left, 1.0)
            sockets = [session.raw.fileno()] if session is not None else []
            ready, _, _ = select.select([self._wake_read, *sockets], [], [], left)
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
                return True
            if session is not None and ready and self._told(session):
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def wake(self) -> None:
        """End a wait, from any thread."""
        os.write(self._wake_write, b".")

    def close(self) -> None:
        """Release the connection. Call it when nobody waits."""
        self._drop()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _listen(self) -> bool:
        try:
            session = connect(self._url)
        except (psycopg.Error, AuditError):
            return False
        try:
            session.execute("LISTEN aegis")
        except psycopg.Error:
            session.close()
            return False
        self._session = session
        return True

    def _told(self, session: Session) -> bool:
        try:
            return bool(list(session.raw.notifies(timeout=0)))
        except psycopg.Error:
            self._drop()
            return False

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
