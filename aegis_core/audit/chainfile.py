"""Chains as a file that can be checked without their store: a header line, then a row a line, all JSON."""

from __future__ import annotations

import os
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import orjson

from aegis_core.audit.chains import verify_chains
from aegis_core.audit.checkpoint import Statement
from aegis_core.audit.schema import ALL
from aegis_core.audit.verify import Verification, verify_rows
from aegis_core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from aegis_core.audit.signing import PublicKey

__all__ = ["verify_file", "write_chain", "write_chains"]

_ONE, _MANY = "aegis-chain-1", "aegis-chains-1"
_WRITER = ALL.index("writer")


def write_chain(file: IO[bytes], rows: Iterable[Sequence[Any]], cut: Statement | None) -> int:
    """Write a chain; return the number of rows. Each line is the array that was hashed, with its hash at the end."""
    return _write(file, {"format": _ONE, "cut": cut.as_dict() if cut else None}, rows)


def write_chains(file: IO[bytes], trail: str, rows: Iterable[Sequence[Any]], cuts: Iterable[Statement]) -> int:
    """Write the chains of a trail that has many, one after the other; return the number of rows."""
    return _write(file, {"format": _MANY, "trail": trail, "cuts": [cut.as_dict() for cut in cuts]}, rows)


def _write(file: IO[bytes], header: dict[str, Any], rows: Iterable[Sequence[Any]]) -> int:
    file.write(orjson.dumps({**header, "columns": [*ALL, "hash"]}, option=orjson.OPT_APPEND_NEWLINE))
    count = 0
    rows = iter(rows)
    while chunk := list(islice(rows, 1_000)):
        file.writelines(orjson.dumps([*row[:-1], row[-1].hex()], option=orjson.OPT_APPEND_NEWLINE) for row in chunk)
        count += len(chunk)
    return count


def verify_file(
    path: str | os.PathLike[str], *, public_key: PublicKey | None = None, checkpoints: Iterable[Statement] = ()
) -> Verification:
    """Check a chain, or all chains of a trail, from the file that `write_chain` or `write_chains` made.

    Raises:
        AuditError: It cannot be read or is not such a file.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - any kind of path
            try:
                header = orjson.loads(file.readline())
                known = header["columns"] == [*ALL, "hash"] and header["format"] in (_ONE, _MANY)
                said = [header.get("cut")] if header["format"] == _ONE else header["cuts"]
                cuts = [Statement.of(cut) for cut in said if cut is not None]
            except (ValueError, KeyError, TypeError, AttributeError):
                header, known, cuts = {}, False, []
            if not known:
                raise AuditError(f"{name!r} is not the export of a chain (aegis audit export --chain)")
            if header["format"] == _ONE:
                cut = cuts[0] if cuts else None
                return verify_rows(_rows(file), public_key=public_key, checkpoints=checkpoints, cut=cut)
            return verify_chains(
                str(header.get("trail")),
                _rows(file),
                lambda places: _hashes(file, places),
                public_key=public_key,
                checkpoints=checkpoints,
                cuts=cuts,
            )
    except OSError as error:
        raise AuditError(f"{name!r} cannot be read: {error.strerror or error}") from error


def _hashes(file: IO[bytes], places: Collection[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
    """The hashes of the rows at some places, from another look at the file."""
    wanted = set(places)
    if not wanted:
        return {}
    file.seek(0)
    file.readline()
    places_of = ((row[_WRITER], row[0], row[-1]) for row in _rows(file))
    return {(writer, number): stored for writer, number, stored in places_of
            if isinstance(writer, int) and isinstance(number, int) and (writer, number) in wanted}  # fmt: skip


def _rows(file: IO[bytes]) -> Iterator[tuple[Any, ...]]:
    for line in file:
        try:
            *columns, stored = orjson.loads(line)
            yield (*columns, bytes.fromhex(stored))
        except (ValueError, TypeError):
            yield (None,) * (len(ALL) + 1)  # a line that nobody wrote: a row that matches nothing
