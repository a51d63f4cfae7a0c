"""Signed statements about a chain: how far it went and what its last hash was. Kept elsewhere, they show truncation.

A checkpoint says "row N of chain C has hash H". A cut says the same of the last row that retention removed. Both are
also written on the chain itself, in the row right after the one they speak of.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from aegis_core.audit.render import timestamp
from aegis_core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_core.audit.signing import PublicKey, SigningKey
    from aegis_core.audit.transaction import Transaction

__all__ = ["Statement", "cut", "load_statements", "make_checkpoint"]


@dataclass(frozen=True, slots=True)
class Statement:
    """What is signed, and the signature.

    Attributes:
        kind: ``checkpoint`` or ``cut``.
        chain: The chain's id.
        seq: The row spoken of.
        hash: Its hash, hex.
        at: When, in microseconds since the epoch.
        key: Id of the key that signed.
        signature: Hex; empty if unsigned.
    """

    kind: str
    chain: str
    seq: int
    hash: str
    at: int
    key: str = ""
    signature: str = ""

    def message(self) -> bytes:
        """The signed bytes."""
        return orjson.dumps(["aegis", self.kind, self.chain, self.seq, self.hash, self.at])

    def signed(self, key: SigningKey) -> Statement:
        """The same with a signature."""
        return Statement(self.kind, self.chain, self.seq, self.hash, self.at, key.id, key.sign(self.message()))

    def is_signed_by(self, key: PublicKey) -> bool:
        """Whether it carries that key's signature."""
        return bool(self.signature) and key.verifies(self.signature, self.message())

    def as_dict(self) -> dict[str, Any]:
        """As it stands on the chain and in checkpoint files."""
        return {**asdict(self), "time": timestamp(self.at)}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Statement:
        """Read back what `as_dict` gave.

        Raises:
            ValueError: It is no such thing.
        """
        try:
            fields = {name: facts[name] for name in ("kind", "chain", "seq", "hash", "at", "key", "signature")}
        except (KeyError, TypeError):
            raise ValueError("it is not a checkpoint") from None
        if type(fields["seq"]) is not int or not all(type(fields[name]) is str for name in ("kind", "chain", "hash")):
            raise ValueError("it is not a checkpoint")
        return cls(**fields)


def make_checkpoint(transaction: Transaction, key: SigningKey) -> Statement:
    """Sign the state of the chain as it is in a transaction, and put that on the chain too."""
    seq, last = transaction.head
    statement = Statement("checkpoint", transaction.chain, seq, last.hex(), transaction.now).signed(key)
    transaction.note("checkpoint", statement.as_dict())
    return statement


def cut(
    transaction: Transaction, before: int, key: SigningKey, *, keep: frozenset[str] = frozenset()
) -> Statement | None:
    """Remove the oldest rows, and leave a signed record of what the last of them was.

    Args:
        transaction: A write transaction.
        before: Rows older than this (microseconds since the epoch) go, as far as no younger row stands before them.
        key: Signs the cut.
        keep: Ids of calls whose rows must stay: those still running.

    Returns:
        What was cut, or None if no row is that old.
    """
    seq, _ = transaction.head
    (young,) = transaction.execute("SELECT min(seq) FROM records WHERE at >= ?", (before,)).fetchone()
    last = young - 1 if young is not None else seq
    for call_id in keep:
        (opened,) = transaction.execute("SELECT min(seq) FROM records WHERE call_id = ?", (call_id,)).fetchone()
        if opened is not None:
            last = min(last, opened - 1)
    row = transaction.execute("SELECT hash FROM records WHERE seq = ?", (last,)).fetchone()
    if row is None:
        return None
    statement = Statement("cut", transaction.chain, last, row[0].hex(), transaction.now).signed(key)
    transaction.note("cut", statement.as_dict())
    transaction.execute("PRAGMA secure_delete = ON")  # what is removed is to be gone from the file as well
    transaction.execute("DELETE FROM records WHERE seq <= ?", (last,))
    transaction.execute("PRAGMA secure_delete = OFF")
    return statement


def load_statements(path: str | os.PathLike[str]) -> list[Statement]:
    """The checkpoints of a file, one JSON object a line.

    Raises:
        AuditError: It cannot be read or holds something else.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
        return [Statement.of(orjson.loads(line)) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise AuditError(f"{os.fspath(path)!r} cannot be used as a list of checkpoints: {error}") from error
