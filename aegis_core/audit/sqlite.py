"""The AuditLogger: a trail in a SQLite file, shared by any number of threads, event loops and processes."""

from __future__ import annotations

import contextlib
import os
import weakref
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar, Unpack

import orjson

from aegis_core.audit.database import Database
from aegis_core.audit.digest import Digest
from aegis_core.audit.job import Job
from aegis_core.audit.reader import Reader
from aegis_core.audit.render import session_name
from aegis_core.audit.schema import VERSION, NotATrail, is_there
from aegis_core.audit.watch import FileWatch, Watch
from aegis_core.audit.writer import Writer
from aegis_core.errors import AuditError
from aegis_core.redact import REDACTOR

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Generator, Iterator

    from aegis_core.audit.checkpoint import Statement
    from aegis_core.audit.filters import FilterOptions, Filters, Time
    from aegis_core.audit.transaction import Transaction
    from aegis_core.audit.verify import Verification
    from aegis_core.audit.writer import Database as AnyDatabase
    from aegis_core.decision import RiskLevel
    from aegis_core.record import Record
    from aegis_core.redact import Redactor

__all__ = ["AuditLogger", "private_file", "spare"]

T = TypeVar("T")


class AuditLogger:
    """Writes calls down before they run, and reads them back.

    Given a ``postgresql://`` URL, it is a `PostgresAuditLogger`.

    The file and everything beside it (``-wal``, ``-shm``, ``.lock``, ``.key``) is made when first needed, readable and
    writable by its owner only. Any number of threads, event loops and processes may use the same file; a logger may be
    carried over a fork.

    When a write returns, an intent, a refusal or an event is on the disk: it survives a power cut. An outcome is in the
    file: it survives a crash of the process, and is on the disk before the next call's tool starts or some milliseconds
    later. A power cut in between leaves a call that reads ``unknown``.

    Args:
        db_path: The file, or the URL of a PostgreSQL database.
        durable: False: a write returns at once, and a thread writes some milliseconds later. Fast; but a crash of the
            process loses what was still waiting (at most 10,000 records), and a power cut may lose more.

    Attributes:
        path: The file, absolute.
        reader: Asks the trail more than `get_log` does.

    Raises:
        AuditError: ``db_path`` is a URL that cannot be used, or its extra is not installed; or it is no file.
    """

    def __new__(cls, db_path: str | os.PathLike[str] = "aegis_audit.db", *, durable: bool = True) -> Self:  # noqa: ARG004 - __init__'s
        """The logger for a file or a URL."""
        scheme, is_url, _ = os.fspath(db_path).partition("://")
        if not is_url:
            return super().__new__(cls)
        if scheme not in ("postgresql", "postgres"):
            raise NotATrail(f"a trail is a file or a postgresql:// URL; {scheme}:// is neither")
        try:
            from aegis_core.audit.postgres import PostgresAuditLogger  # noqa: PLC0415 - loads psycopg
        except ImportError as error:
            raise AuditError(
                f"a trail in PostgreSQL needs psycopg: pip install 'aegis-agents[postgres]' ({error})"
            ) from error
        return super().__new__(PostgresAuditLogger if cls is AuditLogger else cls)  # type: ignore[return-value]

    def __init__(self, db_path: str | os.PathLike[str] = "aegis_audit.db", *, durable: bool = True) -> None:
        self.path = _file(os.fspath(db_path))
        digest = Digest(self.path)
        self._open(Reader(self.path), Database(self.path, digest=digest), digest, durable=durable)

    def _open(self, reader: Reader, database: AnyDatabase, digest: Digest, *, durable: bool) -> None:
        self.durable = durable
        self.reader = reader
        self._digest = digest
        self._writer = Writer(database, durable=durable, digest=digest)
        # Runs when the logger is forgotten, and at the end of the interpreter.
        self._finalizer = weakref.finalize(self, _release, self._writer, reader)

    # --- Sink ------------------------------------------------------------------------------------------------------

    def write(self, record: Record, redactor: Redactor | None = None) -> None:
        """Write one record and return when it is safe, as the class says.

        Raises:
            AuditError: It was not written.
            GrantUnavailable: The intent's grant cannot be consumed; nothing was written.
            BudgetExhausted: A budget is used up; nothing was written.
        """
        job = Job(record, redactor)
        if self.durable or job.conditional or not self._writer.post(job):
            self._writer.run(job)

    async def awrite(self, record: Record, redactor: Redactor | None = None) -> None:
        """The same from a coroutine, without blocking its event loop."""
        job = Job(record, redactor)
        if self.durable or job.conditional or not self._writer.post(job):
            await self._writer.arun(job)

    def try_write(self, record: Record, redactor: Redactor | None = None) -> bool:
        """`write`, unless that would mean to wait for others who write; False, and nothing happened, if it would.

        For an event loop that has nothing else to do than to wait for the disk.

        Raises:
            AuditError: It was not written.
            GrantUnavailable: The intent's grant cannot be consumed; nothing was written.
            BudgetExhausted: A budget is used up; nothing was written.
        """
        return self._writer.try_run(Job(record, redactor))

    def digest(self, data: bytes) -> str:
        """A keyed digest of ``data``: 64 hex digits. The key is the file beside the trail or AEGIS_KEY_FILE."""
        return self._digest(data)

    def close(self) -> None:
        """Write what waits and close the files. Idempotent; the trail can still be read afterwards.

        Raises:
            AuditError: Something that waited could not be written.
        """
        self._finalizer()
        self.reader.close()  # also what was opened to read after an earlier close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- reading ---------------------------------------------------------------------------------------------------

    def get_log(
        self,
        *,
        session_id: str | None = None,
        type: str | None = None,  # noqa: A002 - the field's name
        target: str | None = None,
        risk: RiskLevel | str | None = None,
        status: str | None = None,
        rule: str | None = None,
        agent: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """The calls on the trail, oldest first: one mapping per call, always with the same keys.

        Args:
            session_id: Only calls of this session. ``type``, ``target``, ``rule`` and ``agent`` likewise.
            risk: Only calls of this risk level: a `RiskLevel` or its name, in any case.
            status: Only calls that ended so; ``running`` and ``unknown`` are those without an outcome.
            since: Only calls from this time on: a datetime, a date, ISO 8601 text or microseconds since the epoch.
            until: Only calls before this time.
            limit: Only the newest so many.

        Raises:
            AuditError: The trail cannot be read.
        """
        filters = self._filters(
            session_id=session_id, type=type, target=target, risk=risk, status=status, rule=rule, agent=agent,
            since=since, until=until, limit=limit,
        )  # fmt: skip
        return self.reader.entries(filters) if self._is_there() else []

    def count(self, **filters: Unpack[FilterOptions]) -> int:
        """How many calls `get_log` would return with the same filters."""
        return self.reader.count(self._filters(**filters)) if self._is_there() else 0

    def export_jsonl(self, path: str | os.PathLike[str], **filters: Unpack[FilterOptions]) -> int:
        """Write the calls to a file, one JSON object a line, oldest first; return how many. Memory stays bounded.

        Raises:
            AuditError: The trail cannot be read or the file cannot be written.
        """
        total = 0
        spare(self.path, path)
        with private_file(path) as file:
            for chunk in self.chunks(**filters):
                file.writelines(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE) for found in chunk)
                total += len(chunk)
        return total

    def chunks(self, **filters: Unpack[FilterOptions]) -> Iterator[list[dict[str, Any]]]:
        """What `get_log` returns, a bounded number of calls at a time."""
        wanted = self._filters(**filters)
        if not self._is_there():
            return
        if wanted.limit is None:
            yield from self.reader.chunks(wanted)
        else:
            yield self.reader.entries(wanted)

    def verify(
        self, *, public_key: str | os.PathLike[str] | None = None, checkpoints: str | os.PathLike[str] | None = None
    ) -> Verification:
        """Check the chain: every row against the hash it was given when it was written.

        Args:
            public_key: The public key's file: checks signatures, on the chain and in ``checkpoints``.
            checkpoints: A file of checkpoints that was kept elsewhere, where who edits the trail cannot reach it.

        Returns:
            What was found. ``ok`` is False if anything is wrong; ``breaks`` names everything that is.

        Raises:
            AuditError: There is no trail, or a file cannot be read.
        """
        from aegis_core.audit.checkpoint import load_statements  # noqa: PLC0415 - who writes does without
        from aegis_core.audit.signing import PublicKey  # noqa: PLC0415 - who writes does without
        from aegis_core.audit.verify import verify_rows  # noqa: PLC0415 - who writes does without

        key = PublicKey.load(public_key) if public_key is not None else None
        kept = load_statements(checkpoints) if checkpoints is not None else []
        self._is_there()
        return verify_rows(self.reader.rows(), public_key=key, checkpoints=kept, cut=self.reader.cut())

    def checkpoint(self, key: str | os.PathLike[str]) -> Statement:
        """Sign the state of the chain. The statement goes on the chain; keep a copy elsewhere.

        Args:
            key: The private key's file.

        Raises:
            AuditError: The key cannot be used, or the trail cannot be written.
        """
        from aegis_core.audit.checkpoint import make_checkpoint  # noqa: PLC0415 - who writes does without
        from aegis_core.audit.signing import SigningKey  # noqa: PLC0415 - who writes does without

        signer = SigningKey.load(key)
        return self.transact(lambda transaction: make_checkpoint(transaction, signer))

    def prune(self, before: Time, key: str | os.PathLike[str]) -> list[Statement]:
        """Remove what is older than ``before``, and leave a signed record of it. Calls still running stay.

        Args:
            before: A point in time.
            key: The private key's file.

        Returns:
            What was cut of each chain (a file has one); nothing if nothing is that old.

        Raises:
            AuditError: The key cannot be used, or the trail cannot be written.
        """
        from aegis_core.audit.checkpoint import cut  # noqa: PLC0415 - who writes does without
        from aegis_core.audit.filters import moment  # noqa: PLC0415 - who writes does without
        from aegis_core.audit.signing import SigningKey  # noqa: PLC0415 - who writes does without

        signer, limit = SigningKey.load(key), moment(before)
        running = frozenset(entry["call_id"] for entry in self.get_log(status="running", until=before))
        statement = self.transact(lambda transaction: cut(transaction, limit, signer, keep=running))
        return [] if statement is None else [statement]

    def export_chain(self, path: str | os.PathLike[str]) -> int:
        """Write every row of the chain to a file that `chainfile.verify_file` checks alone; return how many.

        Raises:
            AuditError: The trail cannot be read or the file cannot be written.
        """
        from aegis_core.audit.chainfile import write_chain  # noqa: PLC0415 - who writes does without

        self._is_there()
        spare(self.path, path)
        with private_file(path) as file:
            return write_chain(file, self.reader.rows(), self.reader.cut())

    def history(self, session_id: str, *, after: int = 0) -> list[tuple[int, str, str]]:
        """``(position, type, target)`` of every call begun in a session after a position, oldest first."""
        return self.reader.history(self._session(session_id), after) if self._is_there() else []

    def upgrade(self) -> tuple[int, int]:
        """Create the trail's tables or bring them up to date; return the schema's version before and after.

        Raises:
            AuditError: The trail was written by a newer Aegis, or cannot be written.
        """
        before = VERSION if is_there(self.path) else 0
        self.transact(lambda _: None)
        return before, VERSION

    def _filters(self, **filters: Unpack[FilterOptions]) -> Filters:
        from aegis_core.audit.filters import Filters  # noqa: PLC0415 - who writes does without

        if (session_id := filters.get("session_id")) is not None:
            filters["session_id"] = self._session(session_id)
        return Filters(**filters)

    def _session(self, session_id: str) -> str:
        """A session's id as the trail has it."""
        return session_name(session_id, REDACTOR, self._digest)

    def _is_there(self) -> bool:
        """Whether there is a trail to read, once everything posted so far is on it."""
        if self._finalizer.alive:
            self._writer.flush()
        return is_there(self.path)

    # --- approvals and other tables --------------------------------------------------------------------------------

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` inside a write transaction, in turn with everybody else's writes.

        What it did through its `Transaction` is kept as a whole, or not at all if it raises. It must be short, must not
        write to this logger, and may run on another thread.

        Raises:
            AuditError: The transaction failed.
        """
        return self._writer.run(Job(function=work))  # type: ignore[no-any-return]

    async def atransact(self, work: Callable[[Transaction], T]) -> T:
        """`transact` from a coroutine, without blocking its event loop."""
        return await self._writer.arun(Job(function=work))  # type: ignore[no-any-return]

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which reads any of the trail's tables. It must be short."""
        return self.reader.read(work)

    def watch(self) -> Watch:
        """Something to wait on until anybody may have written to the trail. Whoever takes it closes it."""
        return FileWatch(self.path)

    def changes(self) -> int:
        """A number that changes whenever any process commits to the trail: a cheap thing to look at while waiting."""
        return self.reader.changes()


def _file(db_path: str) -> str:
    """The absolute path of a trail's file."""
    if db_path in ("", ":memory:"):
        raise NotATrail(
            f"{db_path!r} names no file, and a trail must outlive its program; "
            "for tests there is aegis.testing.MemoryAuditLogger()"
        )
    path = os.path.realpath(db_path)
    if Path(path).is_dir():
        raise NotATrail(f"{path!r} is a folder, not an audit trail; name a file in it")
    return path


def _release(writer: Writer, reader: Reader) -> None:
    try:
        writer.close()
    finally:
        reader.close()


def spare(trail: str, path: str | os.PathLike[str]) -> None:
    """Refuse to write anything else over a trail.

    Args:
        trail: The trail's file.
        path: What is about to be written.

    Raises:
        AuditError: It is the trail, or a file that belongs to it.
    """
    for end in ("", "-wal", "-shm", ".lock", ".key"):
        with contextlib.suppress(OSError):  # one of the two is not there
            if Path(path).samefile(trail + end):
                raise AuditError(f"{os.fspath(path)!r} belongs to the audit trail and is not written over")


@contextlib.contextmanager
def private_file(path: str | os.PathLike[str]) -> Generator[IO[bytes]]:
    """A new file for an export, readable by its owner only."""
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            yield file
    except OSError as error:
        raise AuditError(f"cannot export to {os.fspath(path)!r}: {error.strerror or error}") from error
