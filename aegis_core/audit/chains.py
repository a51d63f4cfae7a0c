"""A trail of many chains, one a writer: checking each for itself and what it says of the others, and cutting them."""

from __future__ import annotations

import contextlib
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson

from aegis_core.audit.checkpoint import Statement
from aegis_core.audit.schema import ALL
from aegis_core.audit.verify import Break, Verification, verify_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from aegis_core.audit.signing import PublicKey, SigningKey
    from aegis_core.audit.transaction import Connection, Transaction

__all__ = ["cut_chains", "latest_cuts", "verify_chains"]

_WRITER, _KIND, _DATA = ALL.index("writer"), ALL.index("kind"), ALL.index("data")
_UNVOUCHED = "no checkpoint vouches for this chain"

Place = tuple[int, int]
"""A writer, and the number of a row in its chain."""


def verify_chains(
    trail: str,
    rows: Iterable[Sequence[Any]],
    hashes: Callable[[Collection[Place]], Mapping[Place, bytes]],
    *,
    public_key: PublicKey | None = None,
    checkpoints: Iterable[Statement] = (),
    cuts: Iterable[Statement] = (),
) -> Verification:
    """Check all chains of a trail.

    Args:
        trail: The trail's id.
        rows: Every row, chain by chain.
        hashes: The stored hashes of the rows at some places, as far as they are there.
        public_key: Checks the signatures of checkpoints and cuts.
        checkpoints: Statements about any of the chains that were kept elsewhere.
        cuts: What the store says was removed by retention; believed only if a chain has it.

    Returns:
        What was found, in all chains together. Rows are numbered within their chain, which the messages name.
    """
    found = Verification(chain=trail)
    kept: dict[str, list[Statement]] = {}
    for statement in checkpoints:
        kept.setdefault(statement.chain, []).append(statement)
    removed = {statement.chain: statement for statement in cuts}
    told = _Told()
    seen: set[str] = set()
    for writer, chain in groupby(rows, key=itemgetter(_WRITER)):
        name = f"{trail}.{writer}"
        seen.add(name)
        cut = removed.get(name)
        heard = _listening(chain, told)
        one = verify_rows(heard, public_key=public_key, checkpoints=kept.pop(name, ()), cut=cut, cut_elsewhere=True)
        if one.chain != name:
            one.breaks.append(Break("foreign", one.first, one.first, f"its first row does not begin chain {name}"))
        _include(found, one, writer)
    gone = {name: list[Statement]() for name in removed if name not in seen}
    for name, statements in {**gone, **kept}.items():
        owner, _, writer = name.rpartition(".")
        cut = removed.get(name)
        one = verify_rows((), public_key=public_key, checkpoints=statements, cut=cut, cut_elsewhere=True)
        if owner != trail:
            one.breaks = [Break("foreign", 0, 0, f"a checkpoint is of trail {owner}, but this is trail {trail}")]
        _include(found, one, writer)
    for name, cut in removed.items():
        if cut not in told.cuts:
            message = f"chain {name.rpartition('.')[2]}: rows 1 to {cut.seq} are missing, and no chain accounts for it"
            found.breaks.append(Break("missing", 1, cut.seq, message))
    _compare(found, told.claims, hashes, {name.rpartition(".")[2]: cut for name, cut in removed.items()})
    if found.checkpoints:
        found.notes = [note for note in found.notes if not note.startswith(_UNVOUCHED)]
    return found


class _Told:
    """What the rows of chains say about other chains."""

    def __init__(self) -> None:
        self.claims: dict[tuple[Place, str], None] = {}
        self.cuts: list[Statement] = []


def _compare(
    found: Verification,
    claims: Iterable[tuple[Place, str]],
    hashes: Callable[[Collection[Place]], Mapping[Place, bytes]],
    removed: Mapping[str, Statement],
) -> None:
    """Hold what chains said about the ends of others against what is there now."""
    stored = hashes([place for place, _ in claims])
    for (writer, number), claimed in claims:
        cut = removed.get(str(writer))
        if cut is not None and number < cut.seq:
            continue  # retention removed it
        is_now = cut.hash if cut is not None and number == cut.seq else None
        if is_now is None and (there := stored.get((writer, number))) is not None:
            is_now = there.hex()
        if is_now is None:
            message = f"chain {writer}: row {number} is missing, and a row of another chain says that it was there"
            found.breaks.append(Break("truncated", number, number, message))
        elif is_now != claimed:
            message = f"chain {writer}: row {number} is not the row that another chain speaks of: it was recomputed"
            found.breaks.append(Break("recomputed", number, number, message))


def _listening(rows: Iterable[Sequence[Any]], told: _Told) -> Iterator[Sequence[Any]]:
    """The rows of a chain; what they say about other chains is noted."""
    for row in rows:
        if row[_KIND] in ("chain_started", "heads", "cut") and row[_DATA] is not None:
            with contextlib.suppress(ValueError, TypeError, KeyError):  # it was edited, and is reported
                facts = orjson.loads(row[_DATA])
                if row[_KIND] == "cut":
                    told.cuts.append(Statement.of(facts))
                else:
                    heads = facts["heads"]
                    told.claims |= {((int(writer), int(number)), str(last)): None for writer, number, last in heads}
        yield row


def _include(found: Verification, one: Verification, writer: object) -> None:
    found.rows += one.rows
    found.checkpoints += one.checkpoints
    found.breaks += [Break(b.kind, b.first, b.last, f"chain {writer}: {b.message}") for b in one.breaks]
    found.notes += [note for note in one.notes if note not in found.notes]


def latest_cuts(database: Connection) -> list[Statement]:
    """What retention has removed last of each chain, as the chains say."""
    found: dict[str, Statement] = {}
    for (data,) in database.execute("SELECT data FROM records WHERE kind = 'cut' ORDER BY seq").fetchall():
        with contextlib.suppress(ValueError, TypeError):  # it was edited; `verify` will say so
            statement = Statement.of(orjson.loads(data))
            if statement.chain not in found or found[statement.chain].seq <= statement.seq:
                found[statement.chain] = statement
    return list(found.values())


def cut_chains(
    transaction: Transaction, before: int, key: SigningKey, *, keep: frozenset[str] = frozenset()
) -> list[Statement]:
    """Remove the oldest rows of every chain; say on ours, signed, what the last of each was.

    Args:
        transaction: A write transaction of one of the writers.
        before: Rows older than this (microseconds since the epoch) go, as far as no younger row of their chain stands
            before them.
        key: Signs the cuts.
        keep: Ids of calls whose rows must stay: those still running.

    Returns:
        What was cut, one statement a chain.
    """
    trail = transaction.chain.rpartition(".")[0]
    kept = _kept(transaction, keep)
    known = {statement.chain: statement for statement in latest_cuts(transaction)}
    cuts: list[Statement] = []
    for (writer,) in transaction.execute("SELECT seq FROM writers ORDER BY seq").fetchall():
        row = transaction.execute(_LAST_OLD, (writer, writer, before, kept.get(writer, _NO_LIMIT))).fetchone()
        if row is not None:
            number, last = row
            cuts.append(Statement("cut", f"{trail}.{writer}", number, last.hex(), transaction.now).signed(key))
    if not cuts:
        return []
    # What was said of the other chains is said again: the row that said it may be among those that go.
    for statement in {**known, **{cut.chain: cut for cut in cuts}}.values():
        transaction.note("cut", statement.as_dict())
    for cut in cuts:
        writer = int(cut.chain.rpartition(".")[2])
        transaction.execute("DELETE FROM records WHERE writer = ? AND number <= ?", (writer, cut.seq))
    return cuts


_NO_LIMIT = (1 << 63) - 1
_LAST_OLD = """
SELECT number, hash FROM records WHERE writer = ? AND number < least(
    coalesce((SELECT number FROM records WHERE writer = ? AND at >= ? ORDER BY number LIMIT 1), 9223372036854775807), ?
) ORDER BY number DESC LIMIT 1
"""


def _kept(transaction: Transaction, keep: frozenset[str]) -> dict[int, int]:
    """The first row of each chain that belongs to a call whose rows must stay."""
    kept: dict[int, int] = {}
    for call_id in keep:
        found = transaction.execute("SELECT writer, min(number) FROM records WHERE call_id = ? GROUP BY 1", (call_id,))
        for writer, number in found.fetchall():
            kept[writer] = min(number, kept.get(writer, number))
    return kept
