"""The cage rule: a program is not governed by files that the tools it governs may write.

A server that is given folders can usually write in them. If the policy, the trail or its key lies in one of them, the
agent could rewrite its own rules or its own record; so nothing starts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["reachable"]


def reachable(command: Sequence[str], protected: Iterable[str | os.PathLike[str]]) -> list[tuple[Path, Path]]:
    """Which protected files a server's command gives it a folder around.

    Args:
        command: The server's command and arguments.
        protected: Files that must be out of its reach.

    Returns:
        Pairs of a protected file and the folder (or the file itself) that an argument names.
    """
    folders = [folder for word in command[1:] for folder in _paths(word)]
    found: list[tuple[Path, Path]] = []
    for file in protected:
        real = Path(os.path.realpath(file))
        found += [(real, folder) for folder in folders if real == folder or folder in real.parents]
    return found


def _paths(word: str) -> list[Path]:
    """The existing files and folders that an argument may name: as it stands, after ``--option=``, as a file URL."""
    candidates = [word, word.partition("=")[2], *word.split(",")]
    if word.startswith("file:"):
        candidates.append(unquote(urlsplit(word).path))
    real = {os.path.realpath(Path(text).expanduser()) for text in candidates if text and "\0" not in text}
    return [Path(path) for path in sorted(real) if Path(path).exists()]
