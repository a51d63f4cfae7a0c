"""The AuditLogger of a PostgreSQL database: one trail for any number of hosts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg

from aegis_core.audit.chainfile import write_chains
from aegis_core.audit.chains import cut_chains, verify_chains
from aegis_core.audit.checkpoint import Statement, load_statements, make_checkpoint
from aegis_core.audit.digest import Digest
from aegis_core.audit.filters import moment
from aegis_core.audit.postgres.database import PostgresDatabase, claim_heads
from aegis_core.audit.postgres.reader import PostgresReader, PostgresWatch
from aegis_core.audit.postgres.schema import connect, describe, place, upgrade
from aegis_core.audit.schema import NotATrail
from aegis_core.audit.signing import PublicKey, SigningKey
from aegis_core.audit.sqlite import AuditLogger, private_file
from aegis_core.errors import AuditError

if TYPE_CHECKING:
    from aegis_core.audit.filters import Time
    from aegis_core.audit.transaction import Transaction
    from aegis_core.audit.verify import Verification

__all__ = ["PostgresAuditLogger"]


class PostgresAuditLogger(AuditLogger):
    """A trail in a PostgreSQL database, written to by any number of processes on any number of hosts.

    It behaves as `AuditLogger` does. When a write returns, the server has the record on its disk
    (``synchronous_commit`` is on), and on its synchronous standbys if there are any. While the server is away, writes
    fail, so that nothing runs unwritten; they succeed again when it is back.

    Every host needs the same key, in the file that AEGIS_KEY_FILE names.

    Args:
        db_path: The database, as ``postgresql://user@host/name``; everything libpq knows may be said.
        durable: False: as for a file, and ``synchronous_commit`` is off.

    Attributes:
        path: The URL without the password.

    Raises:
        AuditError: It is not such a URL, or AEGIS_KEY_FILE is not set.
    """

    reader: PostgresReader

    def __init__(self, db_path: str | os.PathLike[str] = "postgresql:///", *, durable: bool = True) -> None:
        self._url = os.fspath(db_path)
        self.path = place(self._url)
        if not os.environ.get("AEGIS_KEY_FILE"):
            raise AuditError(
                "a trail in PostgreSQL needs AEGIS_KEY_FILE: a file with the trail's key (32 random bytes, made if it"
                " is not there), the same on every host"
            )
        digest = Digest(self.path)
        database = PostgresDatabase(self._url, self.path, durable=durable, digest=digest)
        self._open(PostgresReader(self._url, self.path), database, digest, durable=durable)

    def verify(
        self, *, public_key: str | os.PathLike[str] | None = None, checkpoints: str | os.PathLike[str] | None = None
    ) -> Verification:
        """Check the chains of all writers, and what each says about the others; see `AuditLogger.verify`."""
        key = PublicKey.load(public_key) if public_key is not None else None
        kept = load_statements(checkpoints) if checkpoints is not None else []
        self._is_there()
        reader = self.reader
        rows, cuts = reader.rows(), reader.cuts()
        return verify_chains(reader.trail(), rows, reader.hashes, public_key=key, checkpoints=kept, cuts=cuts)

    def checkpoint(self, key: str | os.PathLike[str]) -> Statement:
        """Sign the state of our chain, right after a row that holds the ends of all others; see `AuditLogger`."""
        signer = SigningKey.load(key)

        def work(transaction: Transaction) -> Statement:
            transaction.note("heads", {"heads": claim_heads(transaction)})
            return make_checkpoint(transaction, signer)

        return self.transact(work)

    def prune(self, before: Time, key: str | os.PathLike[str]) -> list[Statement]:
        """Remove the oldest rows of every chain, and leave a signed record of each cut; see `AuditLogger.prune`.

        The role needs the right to ``DELETE`` on ``records``.
        """
        signer, limit = SigningKey.load(key), moment(before)
        running = frozenset(entry["call_id"] for entry in self.get_log(status="running", until=before))

        def work(transaction: Transaction) -> list[Statement]:
            transaction.execute("SET LOCAL statement_timeout TO 0")
            return cut_chains(transaction, limit, signer, keep=running)

        return self.transact(work)

    def export_chain(self, path: str | os.PathLike[str]) -> int:
        """Write every row of every chain, as they were at one moment, to a file; see `AuditLogger.export_chain`."""
        self._is_there()
        with private_file(path) as file, self.reader.frozen() as (trail, rows, cuts):
            return write_chains(file, trail, rows, cuts)

    def upgrade(self) -> tuple[int, int]:
        """Create the tables or bring them up to date; see `AuditLogger.upgrade`. The role needs the rights for it."""
        try:
            session = connect(self._url)
            try:
                return upgrade(session, self.path)
            finally:
                session.close()
        except psycopg.Error as error:
            raise AuditError(f"the audit trail {self.path!r} cannot be upgraded: {describe(error)}") from error

    def watch(self) -> PostgresWatch:
        """Something to wait on until approvals may have changed. Whoever takes it closes it."""
        return PostgresWatch(self._url)

    def _is_there(self) -> bool:
        if self._finalizer.alive:
            self._writer.flush()
        try:
            self.reader.last_row()
        except NotATrail as error:
            if "there is no" not in str(error):
                raise
            return False
        return True
