"""The one connection of a process that writes to a trail in PostgreSQL. Not thread-safe: `writer` gives turns.

Every process writes a chain of its own, so hosts do not wait for each other. The chain's first row holds the ends of
the chains that were there: up to those, nothing can be removed or recomputed unseen as long as that row stands.

While connected, a writer holds an advisory lock on its number. Whoever reads sees by it that the writer lives; and a
writer that connects again and gets it knows that nothing it sent before is still on its way. Then the end of its chain
tells whether a commit whose answer was lost had happened: nothing is lost and nothing is written twice.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from aegis_core.audit.chain import GENESIS, link
from aegis_core.audit.chains import latest_cuts
from aegis_core.audit.postgres.schema import LOCKS, Session, connect, describe, prepare, without_nul
from aegis_core.audit.render import COLUMNS, SHAPES, Row, render
from aegis_core.audit.transaction import Transaction, chained
from aegis_core.errors import AuditError
from aegis_core.portability import process_identity
from aegis_core.record import Intent, Outcome, now_us
from aegis_core.result import ResultStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_core.audit.job import Job

__all__ = ["PostgresDatabase", "PostgresTransaction", "claim_heads"]

_log = logging.getLogger("aegis.audit.writer")

Head = tuple[int, bytes]


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in ("number", "writer", *columns, "hash"))


_INSERT = {
    columns: f"INSERT INTO records ({_names(columns)}) VALUES ({', '.join('?' * (len(columns) + 3))})"  # noqa: S608 - our own names
    for columns in SHAPES
}
_COPY = f"COPY records ({_names(COLUMNS)}) FROM STDIN".encode()
_HEADS = """
SELECT w.seq, r.number, r.hash FROM writers w CROSS JOIN LATERAL
    (SELECT number, hash FROM records WHERE writer = w.seq ORDER BY number DESC LIMIT 1) r
WHERE r.number > w.claimed AND w.seq <> ? ORDER BY w.seq
"""
_CALLED_OFF = "refused: the store's answer to the intent was lost, so the tool did not run"
_abandoned: list[Session] = []


class PostgresTransaction(Transaction):
    """A write transaction in progress; its rows are sent by COPY."""

    def __init__(
        self, session: Session, chain: str, writer: int, digest: Callable[[bytes], str], *, head: Head = (0, GENESIS)
    ) -> None:
        super().__init__(session, chain, writer, digest, head=head)
        self._session = session

    def add(self, row: Row) -> int:
        """Put a rendered row on the chain; return its number."""
        row = without_nul(row)
        self._seq += 1
        self._hash = link(self._hash, (self._seq, self.writer, *row))
        self._waiting.setdefault(COLUMNS, []).append((self._seq, self.writer, *row, self._hash))
        return self._seq

    def flush(self) -> None:
        """Send the rows added so far."""
        rows = self._waiting.pop(COLUMNS, None)
        if rows is None:
            return
        with self._session.raw.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row in rows:
                copy.write_row(row)


def claim_heads(transaction: Transaction) -> list[list[Any]]:
    """``[writer, number, hash]`` of the end of every other chain that has grown since it was last vouched for."""
    heads = transaction.execute(_HEADS, (transaction.writer,)).fetchall()
    for writer, number, _ in heads:
        transaction.execute("UPDATE writers SET claimed = ? WHERE seq = ? AND claimed < ?", (number, writer, number))
    return [[writer, number, last.hex()] for writer, number, last in heads]


@dataclass(slots=True)
class _Doubt:
    """A commit whose answer has not come."""

    jobs: list[Job]
    before: Head
    after: Head


class PostgresDatabase:
    """Commits jobs to the database, all or nothing, over a connection that is made again whenever it is lost.

    Args:
        url: The database.
        path: The same without the password, for messages.
        durable: Whether a commit waits for the disk.
        digest: The trail's keyed digest.
    """

    def __init__(self, url: str, path: str, *, durable: bool, digest: Callable[[bytes], str]) -> None:
        self.path = path
        self._url = url
        self._synchronous = "on" if durable else "off"
        self._digest = digest
        self._session: Session | None = None
        self._trail: str | None = None
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._writer = 0  # our number; 0 until it is given
        self._head: Head = (0, GENESIS)
        self._doubt: _Doubt | None = None
        self._done: dict[int, object] = {}  # jobs and records, by id, that turned out to be written after all
        self._unwanted: list[Intent] = []  # intents among them whose callers had been refused by then

    def try_enter(self) -> bool:
        """Processes do not wait for each other: the server sees to it."""
        return True

    def enter(self) -> None:
        """Likewise."""

    def leave(self) -> None:
        """Likewise."""

    def sync(self, jobs: Sequence[Job] = ()) -> None:
        """The commit has waited for the disk."""

    def commit(self, jobs: Sequence[Job]) -> None:
        """Do some jobs in one transaction. Every job gets its result or its error."""
        try:
            try:
                self._commit(jobs)
            except psycopg.OperationalError as error:
                if self._session is None or not self._undo(error):
                    raise
                self._commit(jobs)  # the connection was lost, perhaps long ago: once more, over another
        except BaseException as error:
            self._undo(error)
            failure = error if isinstance(error, AuditError) else self._failure(error)
            for job in jobs:
                job.fail(failure)
            if not isinstance(error, Exception):
                raise

    def _commit(self, jobs: Sequence[Job]) -> None:
        session = self._session or self._connect()
        jobs = [job for job in jobs if job.error is None and not self._is_done(job)]
        if not jobs:
            return
        if len(jobs) == 1 and jobs[0].row is not None and not jobs[0].conditional:
            self._append(session, jobs[0], jobs[0].row)
            return
        session.execute("BEGIN")
        if keys := _locks(jobs):
            session.execute("SELECT pg_advisory_xact_lock(key) FROM unnest(?::bigint[]) AS key", (keys,))
        transaction = PostgresTransaction(session, self._chain, self._writer, self._digest, head=self._head)
        for job in jobs:
            self._perform(job, transaction, session)
        if all(job.error is not None for job in jobs):
            session.execute("ROLLBACK")
            return
        transaction.flush()
        if keys:
            session.execute("NOTIFY aegis")
        self._end(session, "COMMIT", (), _Doubt(jobs, self._head, transaction.head))

    def _perform(self, job: Job, transaction: PostgresTransaction, session: Session) -> None:
        if job.row is not None and not job.conditional:
            transaction.add(job.row)
            return
        error = transaction.savepoint(lambda: job.perform(transaction))
        if session.lost and isinstance(error, psycopg.Error):
            raise error
        if error is not None:
            job.fail(self._failure(error) if isinstance(error, psycopg.Error) else error)

    def _append(self, session: Session, job: Job, row: Row) -> None:
        """Write one row by one statement, which is its own transaction: what a lone caller needs nearly always."""
        number, last = self._head
        new, columns, values = chained(last, number + 1, self._writer, without_nul(row))
        self._end(session, _INSERT[columns], values, _Doubt([job], self._head, (number + 1, new)))

    def _end(self, session: Session, sql: str, values: Sequence[Any], doubt: _Doubt) -> None:
        """Execute the statement that ends a transaction. If its answer is lost, there is a doubt."""
        self._doubt = doubt
        session.execute(sql, values)
        self._head, self._doubt = doubt.after, None

    def _is_done(self, job: Job) -> bool:
        return id(job) in self._done or id(job.record) in self._done

    # --- connecting ------------------------------------------------------------------------------------------------

    @property
    def _chain(self) -> str:
        return f"{self._trail}.{self._writer}"

    def _connect(self) -> Session:
        session = connect(self._url)
        try:
            prepare(session, self.path, create=True)
            session.execute(f"SET synchronous_commit TO {self._synchronous}")
            self._recognise(session)
            if self._writer:
                self._resume(session)
            else:
                self._introduce(session)
            self._call_off(session)
        except BaseException:
            session.close()
            raise
        self._session = session
        return session

    def _recognise(self, session: Session) -> None:
        """It must be the trail it was, and the key must be the one that everybody uses."""
        session.execute("INSERT INTO meta VALUES ('key', ?) ON CONFLICT DO NOTHING", (self._digest(b"aegis"),))
        meta = dict(session.execute("SELECT key, value FROM meta").fetchall())
        if meta["key"] != self._digest(b"aegis"):
            raise AuditError(f"AEGIS_KEY_FILE is not the key of the audit trail {self.path!r}: use the same everywhere")
        if self._trail not in (None, meta["chain"]):
            raise AuditError(f"{self.path!r} is another audit trail now; put the old one back, or restart")
        self._trail = meta["chain"]

    def _introduce(self, session: Session) -> None:
        """Begin a chain, and write down who writes it: a call without outcome whose writer is gone is ``unknown``."""
        identity = process_identity()
        with session.raw.transaction():
            session.execute("SELECT pg_advisory_xact_lock(?, 0)", (LOCKS,))  # or two would vouch for the same ends
            found = session.execute("INSERT INTO writers (process) VALUES (?) RETURNING seq", (identity,)).fetchone()
            writer = found[0] if found else 0
            session.execute("SELECT pg_advisory_lock(?, ?)", (LOCKS, writer))
            transaction = PostgresTransaction(session, f"{self._trail}.{writer}", writer, self._digest)
            transaction.note("chain_started", {"chain": transaction.chain, "heads": claim_heads(transaction)})
            transaction.note("writer_started", {"process": identity})
            transaction.flush()
        self._writer, self._head = writer, transaction.head

    def _resume(self, session: Session) -> None:
        """Go on with our chain, once nothing we sent before can still happen."""
        session.execute("SELECT pg_advisory_lock(?, ?)", (LOCKS, self._writer))
        found = session.execute(
            "SELECT number, hash FROM records WHERE writer = ? ORDER BY number DESC LIMIT 1", (self._writer,)
        ).fetchone()
        head: Head = tuple(found) if found else self._cut(session)
        doubt = self._doubt or _Doubt([], self._head, self._head)
        if self._synchronous == "off" and head[0] < doubt.before[0]:
            _log.critical(
                "the server of the audit trail %r has crashed and lost its last rows, as it may in fast mode", self.path
            )
            self._start_afresh()
            session.execute("SELECT pg_advisory_unlock_all()")
            self._introduce(session)
            return
        if head not in (doubt.before, doubt.after):
            raise AuditError(f"the audit trail {self.path!r} has lost rows that were on it; look into it, then restart")
        if doubt.before == doubt.after:  # no row was to be written: there is nothing that could tell
            for job in doubt.jobs:
                job.fail(self._failure(ConnectionError("the connection was lost; it may or may not have been written")))
        elif head == doubt.after and doubt.jobs:
            self._done = {id(done): done for job in doubt.jobs for done in (job, job.record) if done is not None}
            refused = (job.record for job in doubt.jobs if job.error is not None)
            self._unwanted += [record for record in refused if isinstance(record, Intent)]
        self._head, self._doubt = head, None

    def _cut(self, session: Session) -> Head:
        """The end of our chain where it has no rows: retention may have removed all of them."""
        ours = (cut for cut in latest_cuts(session) if cut.chain == self._chain)
        return next(((cut.seq, bytes.fromhex(cut.hash)) for cut in ours), (0, GENESIS))

    def _call_off(self, session: Session) -> None:
        """Say of calls that were refused because the answer to their intent was lost that their tools did not run."""
        while self._unwanted:
            intent = self._unwanted[0]
            outcome = Outcome(
                intent.call_id, now_us(), ResultStatus.CANCELLED, 0, intent.action, intent.decision, error=_CALLED_OFF
            )
            number, last = self._head
            row = without_nul(render(outcome, None, self._digest))
            new, columns, values = chained(last, number + 1, self._writer, row)
            self._unwanted.pop(0)  # in doubt it may be missing, but never be there twice
            self._end(session, _INSERT[columns], values, _Doubt([], self._head, (number + 1, new)))

    def _undo(self, error: BaseException) -> bool:
        """Undo a transaction that failed; True if its connection had to be given up."""
        session = self._session
        if session is None:
            return True
        if isinstance(error, (psycopg.Error, AuditError)) and not session.lost:
            try:
                if session.raw.info.transaction_status != TransactionStatus.IDLE:
                    session.execute("ROLLBACK")
            except psycopg.Error:
                pass
            else:
                self._doubt = None  # the server has said no
                return False
        self.disconnect()
        return True

    def _failure(self, error: BaseException) -> AuditError:
        failure = AuditError(f"the audit trail {self.path!r} could not be written: {describe(error)}")
        failure.__cause__ = error
        return failure

    def disconnect(self) -> None:
        """Close the connection. It is made again when needed."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def after_fork(self) -> None:
        """This is another process now: it connects for itself and begins a chain of its own."""
        if self._session is not None:  # could not be closed in time; closing it here would end the parent's
            _abandoned.append(self._session)
            self._session = None
        self._start_afresh()


def _locks(jobs: Sequence[Job]) -> list[int]:
    """What a transaction must hold so that it and others happen one after the other. Sorted, so that none deadlock.

    Functions and grants: one lock for all, for a function may read anything and act on it. Budgets: one each.
    """
    names: set[str] = set()
    for job in jobs:
        record = job.record
        if record is None:
            names.add("transact")
        elif isinstance(record, Intent):
            if record.answer is not None and record.answer.grant is not None:
                names.add("transact")
            names.update(f"budget {reserve.key}" for reserve in record.decision.reserves)
    return sorted(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True) for name in names)
