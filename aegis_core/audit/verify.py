"""Checking a chain: row by row, in constant memory, from a store or from an export alone.

Nothing is rebuilt from the rows themselves: every row is checked against the hash that was stored when it was written,
and the chain as a whole against statements that were signed and, best, kept elsewhere. What was cut off or recomputed
after the last of those cannot be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from aegis_core.audit.chain import GENESIS, link
from aegis_core.audit.checkpoint import Statement
from aegis_core.audit.schema import ALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aegis_core.audit.signing import PublicKey

__all__ = ["Break", "Verification", "verify_rows"]

_KIND, _DATA = ALL.index("kind"), ALL.index("data")
_MANY = 1_000
_FEW = 16


@dataclass(frozen=True, slots=True)
class Break:
    """One thing that is wrong with a chain.

    Attributes:
        kind: ``edited``, ``missing``, ``reordered``, ``truncated``, ``recomputed``, ``foreign``, ``unsigned`` or
            ``damaged``.
        first: The first row concerned.
        last: The last row concerned.
        message: One sentence.
    """

    kind: str
    first: int
    last: int
    message: str


@dataclass(slots=True)
class Verification:
    """What a check found.

    Attributes:
        chain: The chain's id, as far as its rows or its statements tell.
        rows: Rows checked.
        first: Number of the first row, or 0.
        last: Number of the last row, or 0.
        head: The last row's hash, hex.
        breaks: Everything that is wrong (at most 1,000 things).
        checkpoints: Signed statements that were found to hold.
        notes: What could not be checked, and why.
    """

    chain: str = ""
    rows: int = 0
    first: int = 0
    last: int = 0
    head: str = ""
    breaks: list[Break] = field(default_factory=list[Break])
    checkpoints: int = 0
    notes: list[str] = field(default_factory=list[str])

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.breaks


def verify_rows(
    rows: Iterable[Sequence[Any]],
    *,
    public_key: PublicKey | None = None,
    checkpoints: Iterable[Statement] = (),
    cut: Statement | None = None,
    cut_elsewhere: bool = False,
) -> Verification:
    """Check a chain.

    Args:
        rows: Every row in order: the columns of ``schema.ALL``, then the hash.
        public_key: Checks the signatures of checkpoints and cuts.
        checkpoints: Statements about this chain that were kept elsewhere.
        cut: What the store says was removed by retention; believed only if the chain itself has it.
        cut_elsewhere: Whether the caller has seen to that: another chain of the trail has it.

    Returns:
        What was found.
    """
    check = _Check(public_key, checkpoints, cut)
    if cut is not None and cut_elsewhere:
        check.cut_is_on_chain = check.vouched(cut)
    return check.run(rows)


class _Check:
    """One check in progress."""

    def __init__(self, public_key: PublicKey | None, checkpoints: Iterable[Statement], cut: Statement | None) -> None:
        self.key = public_key
        self.found = Verification(chain=cut.chain if cut else "")
        self.cut = cut
        self.cut_is_on_chain = False
        self.expected: dict[int, list[Statement]] = {}
        self.broken: list[_Broken] = []
        for statement in checkpoints:
            self.expected.setdefault(statement.seq, []).append(statement)

    def run(self, rows: Iterable[Sequence[Any]]) -> Verification:
        found, expected = self.found, self.expected
        seq, last = (self.cut.seq, bytes.fromhex(self.cut.hash)) if self.cut else (0, GENESIS)
        dumps = orjson.dumps
        for row in rows:
            columns, stored = row[:-1], row[-1]
            number = columns[0]
            if not isinstance(number, int):
                self.add("damaged", seq, seq, f"what comes after row {seq} is not a row")
                continue
            try:
                follows = number == seq + 1 and sha256(last + dumps(columns)).digest() == stored
            except TypeError:  # a value of a kind that is never stored
                follows = False
            if not follows:
                self.broke(columns, stored, seq, last)
            if columns[_DATA] is not None:
                self.event(columns, last)
            found.rows += 1
            found.first = found.first or number
            seq, last = number, stored if isinstance(stored, bytes) else GENESIS
            if expected and seq in expected:
                for statement in expected.pop(seq):
                    self.compare(statement, seq, last)
        if found.rows:
            found.last, found.head = seq, last.hex()
        self.finish(seq)
        return found

    def add(self, kind: str, first: int, last: int, message: str) -> None:
        if len(self.found.breaks) < _MANY:
            self.found.breaks.append(Break(kind, first, last, message))

    # --- rows --------------------------------------------------------------------------------------------------------

    def broke(self, columns: Sequence[Any], stored: Any, seq: int, last: bytes) -> None:
        """A row does not follow from the one before it."""
        number = columns[0]
        if number <= seq:
            self.add("reordered", number, seq, f"row {number} comes after row {seq}")
        elif number > seq + 1:
            which = f"row {seq + 1} is" if number == seq + 2 else f"rows {seq + 1} to {number - 1} are"
            self.add("missing", seq + 1, number - 1, f"{which} missing")
        else:
            self.add("edited", number, number, f"row {number} does not match its hash: it was edited")
            if len(self.broken) <= _FEW:
                self.broken.append(_Broken(number, columns, stored, last))

    def name_moved_rows(self) -> None:
        """Where a broken row is whole, but was written in another's place, say that instead."""
        if len(self.broken) > _FEW:
            return
        before = {broken.last for broken in self.broken}
        before |= {broken.stored for broken in self.broken if isinstance(broken.stored, bytes)}
        for broken in self.broken:
            for place in (other.number for other in self.broken if other is not broken):
                if any(_hash(last, (place, *broken.columns[1:])) == broken.stored for last in before):
                    message = f"row {broken.number} holds what was written as row {place}: rows were reordered"
                    edited = next(wrong for wrong in self.found.breaks if wrong.first == broken.number)
                    moved = Break("reordered", broken.number, broken.number, message)
                    self.found.breaks[self.found.breaks.index(edited)] = moved
                    break

    # --- statements --------------------------------------------------------------------------------------------------

    def event(self, columns: Sequence[Any], last: bytes) -> None:
        """Take note of what the chain says about itself."""
        seq, kind = columns[0], columns[_KIND]
        if kind not in ("chain_started", "checkpoint", "cut"):
            return
        try:
            facts = orjson.loads(columns[_DATA])
            if kind == "chain_started":
                self.found.chain = self.found.chain or str(facts["chain"])
                return
            statement = Statement.of(facts)
        except (ValueError, TypeError, KeyError):
            return  # it was edited, and reported
        if kind == "checkpoint" and self.vouched(statement):
            if (statement.seq, statement.hash) == (seq - 1, last.hex()):
                self.found.checkpoints += 1
            else:
                self.recomputed(statement.seq)
        elif statement == self.cut:
            self.cut_is_on_chain = self.vouched(statement)

    def vouched(self, statement: Statement) -> bool:
        """Whether a statement is to be believed: it is of this chain and nothing is wrong with its signature."""
        what = f"the {statement.kind} of row {statement.seq}"
        if self.found.chain and statement.chain != self.found.chain:
            message = f"{what} is of chain {statement.chain}, but this is chain {self.found.chain}"
            self.add("foreign", statement.seq, statement.seq, message)
            return False
        if self.key is None:
            self.note("signatures were not checked: no public key was given")
        elif statement.key != self.key.id:
            self.note(f"{what} was signed with another key ({statement.key}) and was not checked")
        elif not statement.is_signed_by(self.key):
            self.add("unsigned", statement.seq, statement.seq, f"{what} does not carry the signature it claims")
            return False
        return True

    def compare(self, statement: Statement, seq: int, last: bytes) -> None:
        """A statement kept elsewhere, now that its row is reached."""
        if self.vouched(statement):
            if statement.hash == last.hex():
                self.found.checkpoints += 1
            else:
                self.recomputed(seq)

    def recomputed(self, seq: int) -> None:
        self.add("recomputed", seq, seq, f"row {seq} is not the row that was signed: what led to it was recomputed")

    def finish(self, seq: int) -> None:
        self.name_moved_rows()
        if self.cut is not None and not self.cut_is_on_chain:
            message = f"rows 1 to {self.cut.seq} are missing, and nothing on the chain accounts for it"
            self.add("missing", 1, self.cut.seq, message)
        for statement in (statement for group in self.expected.values() for statement in group):
            if not self.vouched(statement):
                continue
            if statement.seq > seq:
                which = f"rows {seq + 1} to {statement.seq} were cut off"
                self.add("truncated", seq + 1, statement.seq, f"the trail ends with row {seq}: {which}")
            elif self.cut is not None and statement.seq <= self.cut.seq:
                self.note(f"the checkpoint of row {statement.seq} speaks of rows that retention removed")
        if not self.found.checkpoints:
            self.note("no checkpoint vouches for this chain: a chain recomputed as a whole would look the same")

    def note(self, text: str) -> None:
        if text not in self.found.notes:
            self.found.notes.append(text)


class _Broken(NamedTuple):
    number: int
    columns: Sequence[Any]
    stored: Any
    last: bytes


def _hash(last: bytes, columns: Sequence[Any]) -> bytes | None:
    try:
        return link(last, columns)
    except TypeError:
        return None
