"""The cage rule for a server a client starts: our own files, and the settings of clients that put us in front of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aegis.clients.locations import ours_in_reach, settings_files
from aegis_core.text import visible
from aegis_mcp.proxy.cage import own_files, reachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["breaches", "explained"]


def breaches(
    command: Sequence[str],
    policy: Iterable[str | os.PathLike[str]],
    db: str,
    *,
    environment: Mapping[str, str] | None = None,
    settings: Iterable[Path] = (),
) -> list[tuple[Path, Path]]:
    """What a server is given that would let its tools rewrite what governs them.

    Args:
        command: The server's command and arguments.
        policy: The policy's files.
        db: The trail.
        environment: The variables it is given. One that names a file of ours is a breach; our own do not count.
        settings: Settings that count besides those of this user's clients which name Aegis.

    Returns:
        Pairs of a file of ours and the folder or file that the server is given. Empty if all is well.
    """
    environment = {name: value for name, value in (environment or {}).items() if not name.startswith("AEGIS_")}
    own = own_files(policy, db)
    within = reachable(command, [*own, *settings, *settings_files()], environment=environment)
    always = {os.path.realpath(file) for file in (*own, *settings)}
    others = {file for file, _ in within if str(file) not in always}
    ours = {os.path.realpath(file) for file in ours_in_reach(sorted(others))}
    found = [(file, folder) for file, folder in within if str(file) in always | ours]
    return list(dict.fromkeys(found))


def explained(file: Path, folder: Path) -> str:
    """A breach as a sentence that says what to do."""
    if file == folder:
        what = f"the server is given {visible(str(file))} itself"
    else:
        what = f"the server is given {visible(str(folder))}, in which {visible(str(file))} lies"
    return (
        f"{what}: its tools could rewrite what governs them. Move that file elsewhere, "
        "or start with --allow-writable-policy (which goes on record)."
    )
