"""Checking the chains of all writers: each for itself, and what each says about the others."""

from __future__ import annotations

import contextlib
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson

from aegis_core.audit.schema import ALL
from aegis_core.audit.verify import Break, Verification, verify_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from aegis_core.audit.checkpoint import Statement
    from aegis_core.audit.signing import PublicKey

__all__ = ["verify_chains"]

_WRITER, _KIND, _DATA = ALL.index("writer"), ALL.index("kind"), ALL.index("data")
_UNVOUCHED = "no checkpoint vouches for this chain"

Claim = tuple[int, int, str]
"""A writer, a row of its chain, and the hash it had, hex, when another writer's row was written."""


def verify_chains(
    trail: str,
    rows: Iterable[Sequence[Any]],
    hash_of: Callable[[int, int], bytes | None],
    *,
    public_key: PublicKey | None = None,
    checkpoints: Iterable[Statement] = (),
) -> Verification:
    """Check all chains of a trail.

    Args:
        trail: The trail's id.
        rows: Every row, chain by chain.
        hash_of: The stored hash of a row, by its writer and its number in the chain.
        public_key: Checks the signatures of checkpoints.
        checkpoints: Statements about any of the chains that were kept elsewhere.

    Returns:
        What was found, in all chains together. Rows are numbered within their chain, which the messages name.
    """
    found = Verification(chain=trail)
    kept: dict[str, list[Statement]] = {}
    for statement in checkpoints:
        kept.setdefault(statement.chain, []).append(statement)
    claims: list[Claim] = []
    for writer, chain in groupby(rows, key=itemgetter(_WRITER)):
        name = f"{trail}.{writer}"
        one = verify_rows(_listening(chain, claims), public_key=public_key, checkpoints=kept.pop(name, ()))
        if one.chain != name:
            one.breaks.append(Break("foreign", one.first, one.first, f"its first row does not begin chain {name}"))
        _include(found, one, writer)
    for name, statements in kept.items():
        owner, _, writer = name.rpartition(".")
        one = verify_rows((), public_key=public_key, checkpoints=statements)
        if owner != trail:
            one.breaks = [Break("foreign", 0, 0, f"a checkpoint is of trail {owner}, but this is trail {trail}")]
        _include(found, one, writer)
    for writer, number, claimed in dict.fromkeys(claims):
        stored = hash_of(writer, number)
        if stored is None:
            message = f"chain {writer}: row {number} is missing, and a row of another chain says that it was there"
            found.breaks.append(Break("truncated", number, number, message))
        elif stored.hex() != claimed:
            message = f"chain {writer}: row {number} is not the row that another chain speaks of: it was recomputed"
            found.breaks.append(Break("recomputed", number, number, message))
    if found.checkpoints:
        found.notes = [note for note in found.notes if not note.startswith(_UNVOUCHED)]
    return found


def _listening(rows: Iterable[Sequence[Any]], claims: list[Claim]) -> Iterator[Sequence[Any]]:
    """The rows of a chain; what they say about the ends of other chains is noted."""
    for row in rows:
        if row[_KIND] in ("chain_started", "heads") and row[_DATA] is not None:
            with contextlib.suppress(ValueError, TypeError, KeyError):  # it was edited, and is reported
                heads = orjson.loads(row[_DATA])["heads"]
                claims += [(int(writer), int(number), str(last)) for writer, number, last in heads]
        yield row


def _include(found: Verification, one: Verification, writer: object) -> None:
    found.rows += one.rows
    found.checkpoints += one.checkpoints
    found.breaks += [Break(b.kind, b.first, b.last, f"chain {writer}: {b.message}") for b in one.breaks]
    found.notes += [note for note in one.notes if note not in found.notes]
