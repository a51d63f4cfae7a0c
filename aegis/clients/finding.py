"""What a check-up is about, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Finding", "Patient"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: What was looked at.
        state: ``ok``, ``note`` (worth knowing, nothing to mend), ``problem``, or ``failed`` (a server or a store that
            does not work).
        said: What was found.
        mend: What to do about it; empty where nothing is to be done.
    """

    check: str
    state: str
    said: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """A server as it is run through the proxy.

    Attributes:
        server: Its name for the policy.
        start: The command of the proxy up to and including ``proxy``; empty for this very Aegis.
        policy: The policy's file.
        db: The trail.
        command: The server's own command and arguments.
        options: The proxy's options, all of them.
        environment: Variables its entry sets.
        settings: The settings it was found in.
    """

    server: str
    start: tuple[str, ...]
    policy: Path
    db: str
    command: tuple[str, ...]
    options: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: tuple[Path, ...] = ()
