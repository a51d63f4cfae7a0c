"""Wrapping and unwrapping the servers of some settings, one after another, and what became of each."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aegis.clients.jsontext import parse
from aegis.clients.servers import Server, other_options, servers, unwrapped, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Fate", "own_program", "unwrap_all", "wrap_all"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a server.

    Attributes:
        server: The server, as it was.
        done: ``wrapped``, ``unwrapped``, ``unchanged`` (it runs through the proxy as asked already) or ``left``.
        why: Why it was left as it is.
    """

    server: Server
    done: str
    why: str | None = None


def wrap_all(
    text: str,
    chosen: Iterable[Server],
    *,
    program: Sequence[str],
    options: Sequence[tuple[str, ...]],
    refusal: Callable[[Server], str | None],
) -> tuple[str, list[Fate]]:
    """The settings with the chosen servers run through the proxy.

    Args:
        text: The settings.
        chosen: Some of their servers. One that runs through a proxy already gets these options in place of its own, and
            keeps those that are not among them.
        program: The command that runs `aegis`.
        options: The proxy's options but for ``--server``.
        refusal: Why a server must not be run through the proxy as it is; None if it may.
    """
    fates: list[Fate] = []
    for server in chosen:
        why = server.problem or refusal(server)
        if why is not None:
            fates.append(Fate(server, "left", why))
            continue
        new = text if server.behind is None else unwrapped(text, _again(text, server))
        others = other_options(server.options)
        new = wrapped(new, _again(new, server), program, [*options, others] if others else options)
        fates.append(Fate(server, "unchanged" if new == text else "wrapped"))
        text = new
    return text, fates


def unwrap_all(text: str, chosen: Iterable[Server]) -> tuple[str, list[Fate]]:
    """The settings with those of the chosen servers that run through the proxy started by themselves."""
    fates: list[Fate] = []
    for server in chosen:
        if server.behind is not None:
            text = unwrapped(text, _again(text, server))
            fates.append(Fate(server, "unwrapped"))
    return text, fates


def _again(text: str, server: Server) -> Server:
    """The same server where it stands now."""
    return next(now for now in servers(parse(text)) if (now.place, now.name) == (server.place, server.name))


def own_program() -> tuple[str, ...]:
    """The command that runs this very Aegis, by its absolute path: desktop programs start with a short PATH."""
    script = Path(sys.executable).with_name("aegis.exe" if sys.platform == "win32" else "aegis")
    if script.exists():
        return (str(script),)
    found = shutil.which("aegis")
    return (os.path.abspath(found),) if found else (sys.executable, "-m", "aegis")  # noqa: PTH100 - links stay
