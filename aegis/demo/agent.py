"""The demo's agent: no model, a script. It does what an agent might: looks, writes, and goes too far."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from mcp import ClientSession

__all__ = ["FILES", "Step", "connect", "steps", "text_of"]

FILES = {
    "notes.txt": "The launch is on Thursday. Tell nobody yet.\n",
    "plan.txt": "1. Write it down.\n2. Ask.\n3. Do it.\n",
}
"""What lies in the folder before the agent comes."""


class Step(NamedTuple):
    """Something the agent sets out to do, and the call it makes for it."""

    intention: str
    tool: str
    arguments: dict[str, Any]


def steps(folder: Path) -> list[Step]:
    """The script."""
    notes, plan, summary = (str(folder / name) for name in ("notes.txt", "plan.txt", "summary.txt"))
    outside = f"{folder}/{os.path.relpath('/etc/passwd', folder)}"  # <folder>/../../etc/passwd
    return [
        Step("What is here?", "list_directory", {"path": str(folder)}),
        Step("Read the notes.", "read_text_file", {"path": notes}),
        Step("Write a summary.", "write_file", {"path": summary, "content": "Launch: Thursday.\n"}),
        Step("Improve the plan.", "write_file", {"path": plan, "content": "1. Do it.\n"}),
        Step("Tidy up.", "delete_file", {"path": notes}),
        Step("Look around outside.", "read_text_file", {"path": outside}),
    ]


@asynccontextmanager
async def connect() -> AsyncGenerator[ClientSession]:
    """Start the server as a process of its own and connect the official client to it."""
    from mcp import ClientSession, StdioServerParameters, stdio_client  # noqa: PLC0415 - the script itself needs no SDK

    command = StdioServerParameters(command=sys.executable, args=["-m", "aegis.demo.server"], env=dict(os.environ))
    async with stdio_client(command) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield session


def text_of(result: Any) -> str:
    """The text of a tool's result."""
    return "\n".join(block.text for block in result.content if block.type == "text")
