"""The chain: every row carries a hash over its own columns and the hash of the row before it.

What is hashed is the previous hash followed by the row, all columns but the hash itself in order, as a JSON array:
UTF-8, no spaces, null for what is null. Python's ``json`` gives the same bytes (``ensure_ascii=False,
separators=(",", ":")``), so anybody can check a chain with the standard library.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GENESIS", "link"]

GENESIS = bytes(32)
"""What the first row of a chain finds in place of a previous hash."""


def link(previous: bytes, columns: Sequence[Any]) -> bytes:
    """The hash of a row.

    Args:
        previous: The hash of the row before it.
        columns: Its values, in the order of ``schema.ALL``: integers, text and None.

    Raises:
        TypeError: A value is of another kind (orjson.JSONEncodeError); only in a row that somebody edited.
    """
    return hashlib.sha256(previous + orjson.dumps(columns)).digest()
