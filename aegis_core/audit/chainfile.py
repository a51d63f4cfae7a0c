"""A chain as a file that can be checked without its store: a header line, then a row a line, all JSON."""

from __future__ import annotations

import os
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import orjson

from aegis_core.audit.checkpoint import Statement
from aegis_core.audit.schema import ALL
from aegis_core.audit.verify import Verification, verify_rows
from aegis_core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aegis_core.audit.signing import PublicKey

__all__ = ["verify_file", "write_chain"]

_FORMAT = "aegis-chain-1"


def write_chain(file: IO[bytes], rows: Iterable[Sequence[Any]], cut: Statement | None) -> int:
    """Write a chain; return the number of rows. Each line is the array that was hashed, with its hash at the end."""
    header = {"format": _FORMAT, "columns": [*ALL, "hash"], "cut": cut.as_dict() if cut else None}
    file.write(orjson.dumps(header, option=orjson.OPT_APPEND_NEWLINE))
    count = 0
    rows = iter(rows)
    while chunk := list(islice(rows, 1_000)):
        file.writelines(orjson.dumps([*row[:-1], row[-1].hex()], option=orjson.OPT_APPEND_NEWLINE) for row in chunk)
        count += len(chunk)
    return count


def verify_file(
    path: str | os.PathLike[str], *, public_key: PublicKey | None = None, checkpoints: Iterable[Statement] = ()
) -> Verification:
    """Check a chain from the file that `write_chain` made.

    Raises:
        AuditError: It cannot be read or is not such a file.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - any kind of path
            try:
                header = orjson.loads(file.readline())
                columns, said = header["columns"], header["cut"]
                cut = Statement.of(said) if said is not None else None
            except (ValueError, KeyError, TypeError):
                columns = None
                cut = None
            if columns != [*ALL, "hash"]:
                raise AuditError(f"{name!r} is not the export of a chain (aegis audit export --chain)")
            return verify_rows(_rows(file), public_key=public_key, checkpoints=checkpoints, cut=cut)
    except OSError as error:
        raise AuditError(f"{name!r} cannot be read: {error.strerror or error}") from error


def _rows(file: IO[bytes]) -> Iterator[tuple[Any, ...]]:
    for line in file:
        try:
            *columns, stored = orjson.loads(line)
            yield (*columns, bytes.fromhex(stored))
        except (ValueError, TypeError):
            yield (None,) * (len(ALL) + 1)  # a line that nobody wrote: a row that matches nothing
