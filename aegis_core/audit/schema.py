"""What the SQLite file of a trail looks like, and how one is created, recognised and refused."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_core.audit.render import COLUMNS, SHAPES
from aegis_core.errors import AuditError
from aegis_core.portability import create_private

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["ALL", "APPLICATION_ID", "INSERT", "VERSION", "NotATrail", "connect", "connect_reader", "describe"]


class NotATrail(AuditError):  # noqa: N818 - what it is, not what went wrong with it
    """There is no trail at a path, or it is something else, or was written by a newer Aegis."""


APPLICATION_ID = 0x41454749
"""``AEGI``: what ``file`` and SQLite's header say the file is."""
VERSION = 1
BUSY_SECONDS = 5.0
"""How long a stranger's lock is waited for. Processes of ours take turns and do not meet here."""

ALL = ("seq", "writer", *COLUMNS)
"""Every column of ``records`` but the hash, in order: what the hash is taken of."""

_INTEGERS = {"writer", "at", "enforced", "duration_us"}

_SCHEMA = f"""
CREATE TABLE records (
    seq INTEGER PRIMARY KEY,
    {", ".join(f'"{column}" {"INTEGER" if column in _INTEGERS else "TEXT"}' for column in ALL[1:])},
    hash BLOB NOT NULL
);
CREATE INDEX records_by_call ON records (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX records_by_session ON records (session_id) WHERE kind = 'intent' AND session_id IS NOT NULL;
CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'denied', 'withdrawn')),
    call_id TEXT,
    request TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    answered_at INTEGER,
    approver TEXT,
    reason TEXT,
    via TEXT,
    edits TEXT,
    withdrawn TEXT,
    consumed_by TEXT,
    consumed_at INTEGER
) WITHOUT ROWID;
CREATE INDEX approvals_by_digest ON approvals (digest);
CREATE INDEX approvals_by_state ON approvals (state, created_at);
CREATE TABLE approval_waiters (
    request_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    PRIMARY KEY (request_id, call_id)
) WITHOUT ROWID;
CREATE INDEX approval_waiters_by_call ON approval_waiters (call_id);
CREATE TABLE budgets (key TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX budgets_by_key ON budgets (key, at);
CREATE TABLE writers (seq INTEGER PRIMARY KEY, process TEXT NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


def _insert(columns: tuple[str, ...], rows: int) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    marks = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO records ({names}) VALUES {', '.join([marks] * rows)}"  # noqa: S608 - our own names


INSERT: dict[tuple[str, ...], dict[int, str]] = {
    columns: {rows: _insert(("seq", "writer", *columns, "hash"), rows) for rows in (32, 4, 1)} for columns in SHAPES
}
"""Statements by the columns of a kind of row. Binding the nulls of all other columns would take twice as long, and a
statement per row lets go of the interpreter once per row."""


def describe(error: BaseException) -> str:
    """An error of the store in words that say what to do."""
    text = str(error)
    if "database or disk is full" in text or "No space left" in text:
        return f"the disk is full ({text})"
    if "readonly" in text or "Read-only" in text or "Permission denied" in text or "unable to open" in text:
        return f"it cannot be written; check its permissions and those of its folder ({text})"
    if "locked" in text:
        return f"another program keeps it locked ({text})"
    return text or type(error).__name__


def connect(path: str) -> sqlite3.Connection:
    """Open a trail for writing; create it if there is none. Call it while holding the processes' turn.

    Raises:
        AuditError: It is not a trail, was written by a newer Aegis, or cannot be opened.
    """
    try:
        create_private(path)
        connection = _open(path, "rwc")
    except OSError as error:
        raise AuditError(f"the audit trail {path!r} cannot be created: {error}") from error
    with _explained(connection, path, "opened"):
        if _is_empty(connection, path):
            with contextlib.suppress(PermissionError):  # somebody made it for us
                Path(path).chmod(0o600)
            _create(connection)
        _recognise(connection, path)
        connection.execute("PRAGMA synchronous = NORMAL")  # see `database`
        connection.execute("PRAGMA checkpoint_fullfsync = 1")  # macOS: fsync alone leaves the data in the drive's cache
    return connection


def _is_empty(connection: sqlite3.Connection, path: str) -> bool:
    """Whether this is a new file, or one whose creation was cut short."""
    if Path(path).stat().st_size == 0:
        return True
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return not application and not objects


def _create(connection: sqlite3.Connection) -> None:
    import secrets  # noqa: PLC0415 - only a new trail needs it

    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN EXCLUSIVE")
    for statement in _SCHEMA.strip().split(";\n"):
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('chain', ?)", (secrets.token_hex(16),))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def is_there(path: str) -> bool:
    """Whether anything was ever written to a trail: a file may be made, empty, before it is one."""
    try:
        return Path(path).stat().st_size > 0
    except OSError:
        return False


def connect_reader(path: str) -> sqlite3.Connection:
    """Open a trail for reading only.

    Raises:
        AuditError: There is no such file, it is not a trail, or it cannot be read.
    """
    if not is_there(path):
        yet = " yet: the file is empty" if Path(path).exists() else ""
        raise NotATrail(f"there is no audit trail at {path!r}{yet}")
    connection = _open(path, "ro")
    with _explained(connection, path, "read"):
        _recognise(connection, path)
    return connection


@contextlib.contextmanager
def _explained(connection: sqlite3.Connection, path: str, verb: str) -> Generator[None]:
    """Close the connection on any error, and put errors into words."""
    try:
        yield
    except sqlite3.Error as error:
        connection.close()
        if "not a database" in str(error):
            raise NotATrail(f"{path!r} is not an audit trail but some other file") from error
        raise AuditError(f"the audit trail {path!r} cannot be {verb}: {describe(error)}") from error
    except BaseException:
        connection.close()
        raise


def _open(path: str, mode: str) -> sqlite3.Connection:
    uri = f"{Path(path).as_uri()}?mode={mode}"
    try:
        return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise AuditError(f"the audit trail {path!r} cannot be opened: {describe(error)}") from error


def _recognise(connection: sqlite3.Connection, path: str) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise NotATrail(f"{path!r} is a SQLite database of another program, not an audit trail")
    if version > VERSION:
        raise NotATrail(
            f"the audit trail {path!r} was written by a newer Aegis (schema {version}, known here: {VERSION}); upgrade"
        )
    connection.execute("PRAGMA trusted_schema = OFF")
