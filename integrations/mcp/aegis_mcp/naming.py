"""What people call a server, where nobody says."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["server_name"]


def server_name(command: Sequence[str]) -> str:
    """The name in a server's command: ``filesystem`` for ``npx -y @modelcontextprotocol/server-filesystem /data``."""
    program = PurePath(command[0]).name
    for word in (program, *command[1:]):
        found = re.fullmatch(r"(?:@[\w.-]+/)?(?:mcp[-_])?server[-_]([\w-]+?)(?:@[\w.]+)?", word) or re.fullmatch(
            r"(?:@[\w.-]+/)?([\w-]+?)[-_](?:mcp[-_]server|mcp|server)(?:@[\w.]+)?", word
        )
        if found:
            return found[1].replace("_", "-")
    return program
