"""What happens inside one write transaction: rows join the chain, grants are consumed, budgets are taken."""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from aegis_core.audit.chain import GENESIS, link
from aegis_core.audit.render import Row, filled, note, render
from aegis_core.audit.schema import INSERT
from aegis_core.record import BudgetExhausted, GrantUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aegis_core.record import Event, Intent
    from aegis_core.redact import Redactor

__all__ = ["Transaction", "chained"]


def chained(last: bytes, seq: int, writer: int, row: Row) -> tuple[bytes, tuple[str, ...], tuple[Any, ...]]:
    """A row with its place in the chain: its hash, the columns it fills, and what to bind to them."""
    new = link(last, (seq, writer, *row))
    columns, values = filled(row)
    # As a bytearray, because the sqlite3 module looks for an adapter for every value that is bytes (or None).
    return new, columns, (seq, writer, *values, bytearray(new))


class Connection(Protocol):
    """What a transaction needs of its database."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any:
        """Execute one statement; the parameters stand for its question marks."""
        ...


class Transaction:
    """A write transaction in progress. `AuditLogger.transact` hands it to a function; it is of no use afterwards.

    Attributes:
        now: Microseconds since the epoch, the same for everything in the transaction.
        chain: The chain's id.
        writer: The row that says which process writes.
    """

    def __init__(
        self,
        connection: Connection,
        chain: str,
        writer: int,
        digest: Callable[[bytes], str],
        *,
        head: tuple[int, bytes] | None = None,
    ) -> None:
        self.now = time.time_ns() // 1000
        self.chain = chain
        self._connection = connection
        self.writer = writer
        self._digest = digest
        if head is None:
            head = connection.execute("SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1").fetchone()
        self._seq: int = head[0] if head else 0
        self._hash: bytes = head[1] if head else GENESIS
        self._waiting: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}

    @property
    def head(self) -> tuple[int, bytes]:
        """The number and the hash of the chain's last row so far."""
        return self._seq, self._hash

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Execute one statement. The table ``records`` is the chain's: read it, and write to it with `append` only."""
        self.flush()
        return self._connection.execute(sql, parameters)

    def append(self, event: Event, redactor: Redactor | None = None) -> int:
        """Put an event on the trail; return its row's number."""
        return self.add(render(event, redactor, self._digest))

    def note(self, kind: str, facts: Mapping[str, Any]) -> int:
        """Put an event of our own on the trail: hashes and the like, that the redactor might take for card numbers."""
        return self.add(note(kind, self.now, orjson.dumps(facts).decode()))

    def add(self, row: Row) -> int:
        """Put a rendered row on the trail; return its number."""
        self._seq += 1
        self._hash, columns, values = chained(self._hash, self._seq, self.writer, row)
        self._waiting.setdefault(columns, []).append(values)
        return self._seq

    def flush(self) -> None:
        """Hand the rows added so far to SQLite, in few statements: each of them lets go of the interpreter."""
        if not self._waiting:
            return
        for columns, rows in self._waiting.items():
            statements = INSERT[columns]
            start = 0
            for size, statement in statements.items():
                while len(rows) - start >= size:
                    values = rows[start] if size == 1 else tuple(chain.from_iterable(rows[start : start + size]))
                    self._connection.execute(statement, values)
                    start += size
        self._waiting.clear()

    def savepoint(self, work: Callable[[], None]) -> BaseException | None:
        """Do some work so that nothing is left of it if it raises. Returns what it raised."""
        self.flush()
        before = self._seq, self._hash
        self._connection.execute("SAVEPOINT one")
        try:
            work()
            self.flush()
        except Exception as error:  # noqa: BLE001 - the error belongs to whoever asked for this work, not to its neighbours
            self._waiting.clear()
            self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
            self._seq, self._hash = before
            return error
        self._connection.execute("RELEASE one")
        return None

    def admit(self, intent: Intent) -> None:
        """Consume the intent's grant and take its budgets.

        Raises:
            GrantUnavailable: The approval was used, withdrawn, has expired or is for something else.
            BudgetExhausted: A budget has no unit left.
        """
        if intent.answer is not None and intent.answer.grant is not None:
            self._consume(intent.answer.grant, intent.answer.digest, intent.call_id)
        for reserve in intent.decision.reserves:
            self._reserve(reserve.key, reserve.limit, int(reserve.window * 1e6))

    def _consume(self, grant: str, digest: str, call_id: str) -> None:
        consumed = self._connection.execute(
            "UPDATE approvals SET consumed_by = ?, consumed_at = ? WHERE id = ? AND digest = ? AND state = 'approved'"
            " AND consumed_by IS NULL AND expires_at > ?",
            (call_id, self.now, grant, digest, self.now),
        )
        if consumed.rowcount != 1:
            raise GrantUnavailable(
                f"approval {grant!r} was used before, was withdrawn, has expired or is for another call"
            )
        # Every other yes that this call was given on its way here (to what it was before somebody edited it) goes too.
        self._connection.execute(
            "UPDATE approvals SET consumed_by = ?, consumed_at = ? WHERE state = 'approved' AND consumed_by IS NULL"
            " AND id IN (SELECT request_id FROM approval_waiters WHERE call_id = ?)",
            (call_id, self.now, call_id),
        )

    def _reserve(self, key: str, limit: int, window: int) -> None:
        start = self.now - window
        (taken,) = self._connection.execute(
            "SELECT count(*) FROM budgets WHERE key = ? AND at > ?", (key, start)
        ).fetchone()
        if taken >= limit:
            row = self._connection.execute(
                "SELECT at FROM budgets WHERE key = ? AND at > ? ORDER BY at LIMIT 1 OFFSET ?",
                (key, start, taken - limit),
            ).fetchone()
            raise BudgetExhausted(key, (row[0] if row else self.now) + window)
        # Kept twice as long as the window, in case a changed policy looks further back.
        self._connection.execute("DELETE FROM budgets WHERE key = ? AND at <= ?", (key, start - window))
        self._connection.execute("INSERT INTO budgets VALUES (?, ?)", (key, self.now))
