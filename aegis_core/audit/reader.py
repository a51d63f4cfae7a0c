"""Reading a trail: calls with their outcomes, in the order they began, as a list or as a stream of bounded size."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from aegis_core.audit.render import OPENING, OUTCOME, entry, loads, timestamp
from aegis_core.audit.schema import ALL, NotATrail, connect_reader, describe
from aegis_core.errors import AuditError
from aegis_core.portability import process_lives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aegis_core.audit.checkpoint import Statement
    from aegis_core.audit.filters import Filters

__all__ = ["Reader"]

T = TypeVar("T")

_CHUNK = 2_000  # rows of the chain
_ENTRIES = 128  # calls: few enough to stay in the processor's cache while they are put together
_ROWS = f"SELECT {', '.join(ALL)}, hash FROM records WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - our own names
_OPENING = ", ".join(f'i."{column}"' for column in OPENING)
_OUTCOME = ", ".join(f'o."{column}"' for column in OUTCOME)
_ENDED = 2 + len(OPENING)  # where the columns of the outcome begin, after the row's number and its writer
# One entry per call: its last intent or refusal (a call that was pending and then ran has both), with its last outcome.
_CALLS = """
FROM records i
LEFT JOIN records o ON o.seq =
    (SELECT seq FROM records WHERE call_id = i.call_id AND kind = 'outcome' ORDER BY seq DESC LIMIT 1)
WHERE i.kind IN ('intent', 'refusal')
    AND (i.result_status IS NULL OR i.result_status <> 'pending_approval' OR NOT EXISTS
    (SELECT 1 FROM records n WHERE n.call_id = i.call_id AND n.seq > i.seq AND n.kind <> 'outcome'))
"""


class Reader:
    """Reads the file of a trail over a connection of its own. Safe with threads: each query is a turn.

    Args:
        path: Absolute path of the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened = 0
        self._file: tuple[int, int] | None = None
        _readers.add(self)

    def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function that reads.

        Raises:
            AuditError: The trail is not there or cannot be read.
        """
        with self._lock:
            try:
                return function(self._connect())
            except sqlite3.Error as error:
                self._disconnect()
                raise AuditError(f"the audit trail {self.path!r} cannot be read: {describe(error)}") from error

    def entries(self, filters: Filters) -> list[dict[str, Any]]:
        """The entries asked for, oldest first."""
        newest_first = filters.limit is not None
        found: list[dict[str, Any]] = []
        for chunk in self.chunks(filters, newest_first=newest_first):
            found.extend(chunk)
            if filters.limit is not None and len(found) >= filters.limit:
                del found[max(filters.limit, 0) :]
                break
        if newest_first:
            found.reverse()
        return found

    def chunks(self, filters: Filters, *, newest_first: bool = False) -> Iterator[list[dict[str, Any]]]:
        """The entries asked for (``limit`` aside), a bounded number at a time."""
        where, values = _where(filters)
        order = "DESC" if newest_first else "ASC"
        size = _ENTRIES if filters.limit is None else max(1, min(_ENTRIES, filters.limit))
        part = f"AND i.seq {'<' if newest_first else '>'} ? ORDER BY i.seq {order} LIMIT {size}"
        sql = f"SELECT i.seq, i.writer, {_OPENING}, {_OUTCOME} {_CALLS} {where} {part}"
        last = 1 << 62 if newest_first else 0
        lives = _Lives(self)
        while rows := self.read(lambda db, last=last: db.execute(sql, (*values, last)).fetchall()):  # type: ignore[misc]
            last = rows[-1][0]
            chunk = [_entry(row, lives) for row in rows]
            if filters.status in ("running", "unknown"):
                chunk = [found for found in chunk if found["result_status"] == filters.status]
            yield chunk

    def count(self, filters: Filters) -> int:
        """How many entries are asked for."""
        if filters.status in ("running", "unknown"):
            total = sum(map(len, self.chunks(filters)))
        else:
            where, values = _where(filters)
            sql = f"SELECT count(*) {_CALLS} {where}"
            total = int(self.read(lambda db: db.execute(sql, values).fetchone()[0]))
        return total if filters.limit is None else min(total, max(0, filters.limit))

    def entry(self, call_id: str) -> dict[str, Any] | None:
        """One call, by its id."""
        sql = f"SELECT i.seq, i.writer, {_OPENING}, {_OUTCOME} {_CALLS} AND i.call_id = ?"
        row = self.read(lambda db: db.execute(sql, (call_id,)).fetchone())
        return _entry(row, _Lives(self)) if row else None

    def find(self, end: str) -> list[str]:
        """The ids of the calls whose id is, or ends in, ``end``."""
        sql = "SELECT DISTINCT call_id FROM records WHERE substr(call_id, -length(?)) = ? LIMIT 100"
        return [call_id for (call_id,) in self.read(lambda db: db.execute(sql, (end, end)).fetchall())]

    def last_row(self) -> int:
        """The number of the last row."""
        return int(self.read(lambda db: db.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0]))

    def span(self, filters: Filters) -> tuple[str | None, str | None]:
        """When the first and the last of the calls asked for began."""
        where, values = _where(filters)
        sql = f"SELECT min(i.at), max(i.at) {_CALLS} {where}"
        first, last = self.read(lambda db: db.execute(sql, values).fetchone())
        return (None, None) if first is None else (timestamp(first), timestamp(last))

    def calls_after(self, seq: int) -> tuple[int, list[str]]:
        """The number of the last row, and the ids of the calls that any row after row ``seq`` speaks of, in order."""
        sql = "SELECT seq, call_id FROM records WHERE seq > ? ORDER BY seq"
        rows = self.read(lambda db: db.execute(sql, (seq,)).fetchall())
        return rows[-1][0] if rows else seq, list(dict.fromkeys(call_id for _, call_id in rows if call_id is not None))

    def events(self, filters: Filters) -> list[dict[str, Any]]:
        """What happened beside the calls, oldest first. Of the filters only the times and ``limit`` matter."""
        terms, values = ["call_id IS NULL"], list[Any]()
        for term, time in zip(("at >= ?", "at < ?"), filters.times(), strict=True):
            if time is not None:
                terms.append(term)
                values.append(time)
        where = " AND ".join(terms)
        sql = f"SELECT seq, at, kind, data FROM records WHERE {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - as above
        limit = 1 << 62 if filters.limit is None else filters.limit
        rows = self.read(lambda db: db.execute(sql, (*values, limit)).fetchall())
        return [
            {"seq": seq, "timestamp": timestamp(at), "event": kind, "data": loads(data, {})}
            for seq, at, kind, data in reversed(rows)
        ]

    def groups(self, columns: Sequence[str], filters: Filters, bucket: int = 0) -> list[dict[str, Any]]:
        """Calls counted by the values of some columns, in one query.

        Args:
            columns: Columns of the call's first row, by name; ``result_status`` means how the call ended.
            filters: Which calls, ``limit`` aside.
            bucket: Microseconds; if given, calls are counted by the time they began, too, in steps of this length.

        Returns:
            The columns, ``bucket`` (microseconds), ``count``; ``duration_us`` and ``longest_us`` of those that ended.
        """
        where, values = _where(filters)
        keys = [f'i."{name}"' for name in columns if name in OPENING and name != "result_status"]
        ended = "coalesce(o.result_status, i.result_status)"
        keys += [ended, f"CASE WHEN {ended} IS NULL THEN i.writer END", f"i.at / {bucket}" if bucket else "0"]
        totals = "count(*), sum(o.duration_us), max(o.duration_us)"
        grouping = ", ".join(str(number) for number, _ in enumerate(keys, 1))
        sql = f"SELECT {', '.join(keys)}, {totals} {_CALLS} {where} GROUP BY {grouping}"
        names = [*(name for name in columns if name != "result_status"), "result_status", "writer", "bucket"]
        names += ["count", "duration_us", "longest_us"]
        lives = _Lives(self)
        found: list[dict[str, Any]] = []
        for row in self.read(lambda db: db.execute(sql, values).fetchall()):
            group = dict(zip(names, row, strict=True))
            writer = group.pop("writer")
            group["bucket"] *= bucket
            if group["result_status"] is None:
                group["result_status"] = "running" if writer is not None and lives(writer) else "unknown"
            if filters.status not in ("running", "unknown") or group["result_status"] == filters.status:
                found.append(group)
        return found

    def asked(self, filters: Filters) -> list[tuple[str | None, str | None, str | None, int]]:
        """The calls that stopped for a person and are decided: ``(rule, session, human decision, how many)``."""
        where, values = _where(filters)
        unanswered = "i.kind = 'refusal' AND i.approval = 'approve' AND i.result_status = 'denied'"
        sql = (
            f"SELECT i.matched_rule, i.session_id, i.human_decision, count(*) {_CALLS} {where}"
            f" AND (i.human_decision IS NOT NULL OR {unanswered}) GROUP BY 1, 2, 3"
        )
        return self.read(lambda db: db.execute(sql, values).fetchall())

    def history(self, session_id: str, after: int) -> list[tuple[int, str, str]]:
        """``(seq, type, target)`` of every call begun in a session after row ``after``, oldest first."""
        sql = (
            "SELECT seq, action_type, action_target FROM records"
            " WHERE kind = 'intent' AND session_id IS NOT NULL AND session_id = ? AND seq > ? ORDER BY seq"
        )
        return self.read(lambda db: db.execute(sql, (session_id, after)).fetchall())

    def changes(self) -> int:
        """A number that changes whenever anybody commits to the trail. Costs a few microseconds."""
        version = int(self.read(lambda db: db.execute("PRAGMA data_version").fetchone()[0]))
        return self._opened << 32 | version  # SQLite counts anew, from anywhere, for every connection

    def writer(self, seq: int) -> str | None:
        """The process that wrote the rows which name row ``seq`` as their writer."""
        row = self.read(lambda db: db.execute("SELECT process FROM writers WHERE seq = ?", (seq,)).fetchone())
        return row[0] if row else None

    def lives(self, writer: int) -> bool:
        """Whether the process that wrote a row, by the number of its writer, is still there."""
        process = self.writer(writer)
        return process is not None and process_lives(process)

    def rows(self) -> Iterator[Sequence[Any]]:
        """Every row of the chain, in order, as it is stored: the columns of ``schema.ALL``, then the hash."""
        last = -1
        while chunk := self.read(lambda db, last=last: _chunk(db, last)):  # type: ignore[misc]
            yield from chunk
            last = chunk[-1][0]

    def cut(self) -> Statement | None:
        """What retention has removed last, as the chain says."""
        from aegis_core.audit.checkpoint import Statement  # noqa: PLC0415 - who writes does without

        found = self.read(
            lambda db: db.execute("SELECT data FROM records WHERE kind = 'cut' ORDER BY seq DESC LIMIT 1").fetchone()
        )
        try:
            return Statement.of(orjson.loads(found[0])) if found else None
        except (ValueError, TypeError):
            return None  # it was edited; `verify` will say so

    def close(self) -> None:
        """Close the connection. It is opened again when needed."""
        with self._lock:
            self._disconnect()

    def __del__(self) -> None:
        self._disconnect()  # who reads after the trail was closed opens it again, and need not know

    def _connect(self) -> sqlite3.Connection:
        try:
            stat = Path(self.path).stat()
        except OSError as error:
            self._disconnect()
            raise NotATrail(f"there is no audit trail at {self.path!r}") from error
        file = (stat.st_dev, stat.st_ino)
        if self._connection is None or self._file != file:
            self._disconnect()
            self._connection, self._file = connect_reader(self.path), file
            self._opened += 1
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # SQLite's connections must not be inherited by a fork: see `Writer.before_fork`.

    def before_fork(self) -> None:
        """Close the connection and keep everybody out until the fork is done."""
        self._lock.acquire()
        self._disconnect()

    def after_fork(self) -> None:
        """Go on, on both sides."""
        self._lock.release()


class _Lives:
    """Whether the writers of rows are alive; asked once per writer."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[int, bool] = {}

    def __call__(self, writer: int) -> bool:
        if writer not in self._known:
            self._known[writer] = self._reader.lives(writer)
        return self._known[writer]


def _chunk(db: sqlite3.Connection, last: int) -> list[Any]:
    try:
        return db.execute(_ROWS, (last, _CHUNK)).fetchall()
    except sqlite3.OperationalError as error:
        if "UTF-8" not in str(error):
            raise
    # Somebody edited text into something else. It must be readable all the same, to be named.
    db.text_factory = _readable
    try:
        return db.execute(_ROWS, (last, _CHUNK)).fetchall()
    finally:
        db.text_factory = str


def _readable(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _entry(row: Sequence[Any], lives: _Lives) -> dict[str, Any]:
    unfinished = row[_ENDED] is None and row[2] == "intent"
    return entry(row[2:], lives=unfinished and lives(row[1]))


def _where(filters: Filters) -> tuple[str, list[Any]]:
    """The filters as SQL, apart from ``limit`` and from what only the living can tell."""
    terms: list[str] = []
    values: list[Any] = []
    for column, value in filters.exact().items():
        terms.append(f"AND i.{column} = ?")
        values.append(value)
    for term, time in zip(("AND i.at >= ?", "AND i.at < ?"), filters.times(), strict=True):
        if time is not None:
            terms.append(term)
            values.append(time)
    if filters.status in ("running", "unknown"):
        terms.append("AND i.result_status IS NULL AND (o.seq IS NULL OR o.result_status = 'unknown')")
    elif filters.status is not None:
        terms.append("AND coalesce(o.result_status, i.result_status) = ?")
        values.append(filters.status)
    return " ".join(terms), values


_readers: weakref.WeakSet[Reader] = weakref.WeakSet()


def _each(method: Callable[[Reader], None]) -> Callable[[], None]:
    def call() -> None:
        for reader in list(_readers):
            method(reader)

    return call


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_each(Reader.before_fork),
        after_in_parent=_each(Reader.after_fork),
        after_in_child=_each(Reader.after_fork),
    )
