"""The cage rule: a program is not governed by files that the tools it governs may write.

A server that is given folders can usually write in them. If the policy, the trail, its key, the lock or the settings
that put Aegis in front of it lie in one of them, the agent could rewrite its own rules or its own record; so nothing
starts. What a server may reach that its command does not name cannot be known here.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

__all__ = ["own_files", "reachable"]

LINKS = 64
"""How many links are followed to learn where a file can be replaced from."""
_APART = re.compile(r"[\s,;:=\"'|&<>()\[\]]+")


def own_files(policy: Iterable[str | os.PathLike[str]], db: str) -> list[Path]:
    """What must be out of reach whatever else: the policy's files, its lock, and the trail with what lies beside it.

    Args:
        policy: The policy's files.
        db: The trail's file, or the URL of a database, whose place is its own.
    """
    files = [Path(file) for file in policy]
    files += [file.with_name(f"aegis.lock{end}") for file in files for end in ("", ".seen", ".turn")]
    if "://" not in db:
        files += [Path(db + end) for end in ("", "-wal", ".key", ".lock")]
    if key := os.environ.get("AEGIS_KEY_FILE"):
        files.append(Path(key))
    return list(dict.fromkeys(files))


def reachable(
    command: Sequence[str],
    protected: Iterable[str | os.PathLike[str]],
    *,
    environment: Mapping[str, str] | None = None,
) -> list[tuple[Path, Path]]:
    """Which protected files a server's command gives it a folder around.

    Files and folders are told apart by what they are, not by how they are written: links, ``..``, a home's ``~`` and
    the letter case of a file system that ignores it change nothing.

    Args:
        command: The server's command and arguments.
        protected: Files that must be out of its reach.
        environment: Variables meant for the server. One that names a protected file counts; a folder does not.

    Returns:
        Pairs of a protected file and the folder (or the file itself) that an argument names.
    """
    files = [Path(file) for file in protected]
    names = {file.name for file in files}
    identity = functools.cache(_identity)  # most protected files lie in a few folders
    named = {identity(path): path for word in command[1:] for path in _paths(word, names)}
    written = {identity(path): path for value in (environment or {}).values() for path in _paths(value, names)}
    found: list[tuple[Path, Path]] = []
    for file in files:
        places = _places(file)
        own = {key for place in places if (key := identity(place)) is not None}
        around = own | {key for place in places for parent in place.parents if (key := identity(parent)) is not None}
        given = {key: path for key, path in named.items() if key in around}
        given |= {key: path for key, path in written.items() if key in own}
        # The same folder may have been named twice; the narrowest says it best.
        found += [
            (Path(os.path.realpath(file)), path) for path in sorted(given.values(), key=lambda path: -len(str(path)))
        ]
    return found


def _identity(path: Path) -> tuple[int, int] | tuple[int, int, str] | str | None:
    """What makes a file or folder the same as another: also of a file that can be made yet. None if it cannot."""
    name = ""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        name = os.path.normcase(path.name)
        try:
            stat = path.parent.stat()
        except (OSError, ValueError):
            return None
    if not stat.st_ino:
        return os.path.normcase(os.path.realpath(path))
    return (stat.st_dev, stat.st_ino, name) if name else (stat.st_dev, stat.st_ino)


def _places(file: Path) -> set[Path]:
    """Every path from which what is found at ``file`` could be replaced: as written, and after each of its links."""
    waiting, places = [Path(os.path.abspath(file)), Path(os.path.realpath(file))], set[Path]()  # noqa: PTH100 - keeps links
    while waiting and len(places) < LINKS:
        place = waiting.pop()
        if place in places:
            continue
        places.add(place)
        for part in (place, *place.parents):
            if part.is_symlink():
                led = os.path.normpath(part.parent / os.readlink(part) / place.relative_to(part))  # noqa: PTH115 - text
                waiting.append(Path(led))
    return places


def _paths(word: str, names: Collection[str]) -> Iterator[Path]:
    """The existing files and folders that an argument may name, and files of these names that can be made yet.

    As it stands, after ``--option=`` or ``-o``, in a list, in a volume (``/data:/work``), in a line for a shell, as a
    file URL.
    """
    if "\0" in word:
        return
    if word[:5].lower() == "file:":
        yield from _meant(unquote(urlsplit(word).path), names)
    elif re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", word):
        return
    glued = word[2:] if word[:1] == "-" != word[1:2] else ""
    for text in dict.fromkeys([word, glued, word.partition("=")[2], *_APART.split(word)]):
        if text and not text.startswith("//"):
            yield from _meant(os.path.expandvars(text), names)


def _meant(text: str, names: Collection[str]) -> Iterator[Path]:
    path = os.path.expanduser(text)  # noqa: PTH111 - leaves an unknown user's home as it is
    # `exists` is false, not an error, for what cannot be looked at; and few texts are paths.
    if os.path.basename(path) in names or os.path.exists(path):  # noqa: PTH110, PTH119 - cheaper than a Path each
        yield Path(os.path.realpath(path))
