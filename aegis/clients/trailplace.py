"""Whether there can be a trail in a place, seen without opening it: what is cheap enough to look at on every start."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["unusable"]

_SQLITE = b"SQLite format 3\0"


def unusable(db: str) -> str | None:
    """Why a file can certainly not be a trail, nor become one; None if it may, or if the trail is no file.

    What only opening it would tell (that it is another program's database, or a newer Aegis's) is not looked at:
    another process may be making it at this moment.
    """
    if "://" in db:
        return None
    file = Path(db).absolute()
    try:
        with file.open("rb") as opened:
            head = opened.read(len(_SQLITE))
    except FileNotFoundError:
        if not file.parent.is_dir():
            return f"there is no folder {file.parent}"
        return None if os.access(file.parent, os.W_OK | os.X_OK) else f"{file.parent} is not writable"
    except OSError as error:
        return error.strerror or str(error)
    return None if head in (b"", _SQLITE) else "it is some other file"
