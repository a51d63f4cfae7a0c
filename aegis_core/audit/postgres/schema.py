"""What a trail looks like in PostgreSQL, how it is created and upgraded, and how a connection to it is made.

Everything is in the schema ``aegis``. ``seq`` is a row's place on the trail, ``number`` its place in the chain of the
process that wrote it, ``xid`` the transaction: rows of several writers become visible in another order than ``seq``.
"""

from __future__ import annotations

import functools
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import IntLoader

from aegis_core.audit.render import COLUMNS
from aegis_core.audit.schema import NotATrail
from aegis_core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_core.audit.render import Row

__all__ = [
    "LOCKS",
    "VERSION",
    "Session",
    "connect",
    "describe",
    "place",
    "prepare",
    "storable",
    "upgrade",
    "version",
    "without_nul",
]

VERSION = 1
LOCKS = 0x41454749
"""The class of our advisory locks: 0 is held while the schema changes, a writer's number while the writer lives."""

_INTEGERS = {"at", "enforced", "duration_us"}
_MIGRATIONS = (
    f"""
CREATE SCHEMA IF NOT EXISTS aegis;
CREATE TABLE meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE writers (
    seq integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    process text NOT NULL,
    claimed bigint NOT NULL DEFAULT 0
);
CREATE TABLE records (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    number bigint NOT NULL,
    writer bigint NOT NULL,
    {", ".join(f'"{column}" {"bigint" if column in _INTEGERS else "text"}' for column in COLUMNS)},
    hash bytea NOT NULL,
    UNIQUE (writer, number)
);
CREATE INDEX records_by_xid ON records USING brin (xid);
CREATE INDEX records_by_call ON records (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX records_by_session ON records (session_id) WHERE kind = 'intent' AND session_id IS NOT NULL;
CREATE TABLE approvals (
    id text PRIMARY KEY,
    digest text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'denied', 'withdrawn')),
    call_id text,
    request text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    answered_at bigint,
    approver text,
    reason text,
    via text,
    edits text,
    withdrawn text,
    consumed_by text,
    consumed_at bigint
);
CREATE INDEX approvals_by_digest ON approvals (digest);
CREATE INDEX approvals_by_state ON approvals (state, created_at);
CREATE TABLE approval_waiters (request_id text, call_id text, PRIMARY KEY (request_id, call_id));
CREATE INDEX approval_waiters_by_call ON approval_waiters (call_id);
CREATE TABLE budgets (key text NOT NULL, at bigint NOT NULL);
CREATE INDEX budgets_by_key ON budgets (key, at);
""",
)
"""What leads from each version to the next."""

_DEFAULTS = {
    "application_name": "aegis",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_SETTINGS = """
SET search_path TO aegis;
SET client_encoding TO 'UTF8';
SET lock_timeout TO '5s';
SET statement_timeout TO '10s';
SET tcp_keepalives_idle TO 10;
SET tcp_keepalives_interval TO 5;
SET tcp_keepalives_count TO 3
"""
# The server's keepalives matter too: until it notices that we are gone, it holds the lock that says we live.


class Session:
    """A connection that takes SQL as the rest of Aegis writes it, with ``?`` for parameters.

    Attributes:
        raw: psycopg's connection, in autocommit mode.
    """

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.raw = raw

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        """Execute one statement."""
        return self.raw.execute(_dialect(sql), [storable(value) for value in parameters])

    @property
    def lost(self) -> bool:
        """Whether the connection is no more."""
        return self.raw.closed

    def close(self) -> None:
        """Close the connection."""
        self.raw.close()


@functools.lru_cache(512)
def _dialect(sql: str) -> bytes:
    return sql.replace("%", "%%").replace("?", "%s").encode()


def storable(value: Any) -> Any:
    """A value that PostgreSQL can store: its text knows no NUL."""
    return value.replace("\0", "\u2400") if type(value) is str else value


def without_nul(row: Row) -> Row:
    """A row that PostgreSQL can store: nearly every row is one already."""
    texts = [value for value in row if type(value) is str]
    return tuple(map(storable, row)) if "\0" in "".join(texts) else row


def place(url: str) -> str:
    """What a URL points to, without its password.

    Raises:
        AuditError: It is not the URL of a PostgreSQL database.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise AuditError(f"a trail is a file or a postgresql:// URL, not {url.partition('://')[0]}://")
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its message may show the password
        raise AuditError("the URL of the audit trail is not one that PostgreSQL understands") from None
    user, host = quote(str(parts.get("user", "")), safe=""), quote(str(parts.get("host", "")), safe=",:")
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://{user}{'@' if user else ''}{host}{port}/{parts.get('dbname', '')}"


def describe(error: BaseException) -> str:
    """An error of the store, in one line."""
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"the role may not do that; create the tables with its owner: aegis db upgrade ({error})"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def connect(url: str) -> Session:
    """Connect to the database of a trail, whether the trail is there or not.

    Raises:
        psycopg.Error: It cannot be reached.
        AuditError: It cannot hold a trail.
    """
    given = conninfo_to_dict(url)
    said = make_conninfo(url, **{name: value for name, value in _DEFAULTS.items() if name not in given})
    raw = psycopg.connect(said, autocommit=True)
    try:
        if raw.info.server_version < 130000:
            raise AuditError(f"the audit trail {place(url)!r} needs PostgreSQL 13 or newer")
        if raw.info.parameter_status("server_encoding") != "UTF8":
            raise AuditError(f"the audit trail {place(url)!r} needs a database whose encoding is UTF8")
        raw.adapters.register_loader("numeric", IntLoader)  # sums of integers
        raw.execute(_SETTINGS)
    except BaseException:
        raw.close()
        raise
    return Session(raw)


def version(session: Session) -> int:
    """The version of the schema; 0 if there is none."""
    (there,) = session.execute("SELECT to_regclass('aegis.meta') IS NOT NULL").fetchone() or (False,)
    if not there:
        return 0
    found = session.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    return int(found[0]) if found else 0


def prepare(session: Session, name: str, *, create: bool) -> None:
    """Make sure that the schema is the one we know.

    Args:
        session: A connection.
        name: The trail, for messages.
        create: Whether to create it where there is none.

    Raises:
        NotATrail: There is none, or it is older or newer than ours.
    """
    found = version(session)
    if found == 0 and create:
        upgrade(session, name)
    elif found == 0:
        raise NotATrail(f"there is no audit trail in {name!r}")
    elif found < VERSION:
        raise NotATrail(f"the audit trail {name!r} has schema {found}, not {VERSION}: run aegis db upgrade")
    elif found > VERSION:
        raise NotATrail(_newer(name, found))


def upgrade(session: Session, name: str) -> tuple[int, int]:
    """Create the schema or bring it up to date; of several that try at once, one does it and the others wait.

    Returns:
        The versions before and after.

    Raises:
        NotATrail: It was written by a newer Aegis.
    """
    session.execute("SET lock_timeout TO 0")
    session.execute("SET statement_timeout TO 0")
    # Before the transaction begins, or it would look at what it remembers of the catalogue from before the wait.
    session.execute("SELECT pg_advisory_lock(?, 0)", (LOCKS,))
    try:
        with session.raw.transaction():
            return _migrate(session, name), VERSION
    finally:
        if not session.lost:
            session.execute("SELECT pg_advisory_unlock(?, 0)", (LOCKS,))
            session.raw.execute(_SETTINGS)


def _migrate(session: Session, name: str) -> int:
    before = version(session)
    if before < VERSION:
        for step in _MIGRATIONS[before:]:
            session.raw.execute(step.encode())
        if before == 0:
            session.execute("INSERT INTO meta VALUES ('chain', ?)", (secrets.token_hex(16),))
        session.execute(
            "INSERT INTO meta VALUES ('version', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (str(VERSION),),
        )
    elif before > VERSION:
        raise NotATrail(_newer(name, before))
    return before


def _newer(name: str, found: int) -> str:
    return f"the audit trail {name!r} was written by a newer Aegis (schema {found}, known here: {VERSION}); upgrade"
