"""A client that goes through a script and tells what it hears: ``python scripted.py SCRIPT``, with mcp 1.x or 2.x.

The script is a JSON file: the command of a server, and steps. What the client hears is printed as one JSON value.
Stands alone: it also runs where nothing but the SDK is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import mcp
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

types: Any = mcp.types if hasattr(mcp, "types") else __import__("mcp_types")
warnings.simplefilter("ignore")


def plain(value: Any) -> Any:
    """What was received, as it stands on the wire."""
    return value.model_dump(by_alias=True, mode="json", exclude_unset=True) if hasattr(value, "model_dump") else value


class Client:
    """Notes what it hears, in order."""

    def __init__(self, root: str) -> None:
        self.heard: list[Any] = []
        self.root = root

    async def progress(self, *step: Any) -> None:
        self.heard.append(["progress", *step])

    async def log(self, params: Any) -> None:
        self.heard.append(["log", plain(params)])

    async def sample(self, _context: Any, params: Any) -> Any:
        self.heard.append(["sampling", plain(params)])
        content = types.TextContent(type="text", text="sampled é")
        return types.CreateMessageResult(role="assistant", content=content, model="m", stopReason="endTurn")

    async def elicit(self, _context: Any, params: Any) -> Any:
        self.heard.append(["elicitation", plain(params)])
        return types.ElicitResult(action="decline")

    async def roots(self, _context: Any) -> Any:
        self.heard.append(["roots"])
        return types.ListRootsResult(roots=[types.Root(uri=self.root)])

    async def message(self, message: Any) -> None:
        root = getattr(message, "root", message)
        method = getattr(root, "method", None)
        if method is not None and method.startswith("notifications/") and "progress" not in method:
            self.heard.append(["notification", method])

    async def step(self, session: Any, kind: str, args: list[Any]) -> Any:
        """Do one step of the script."""
        if kind == "call":
            return await session.call_tool(*args, progress_callback=self.progress)
        if kind == "cancel":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    return await session.call_tool(*args)
            return "cancelled"
        if kind == "prompt":
            return await session.get_prompt(*args)
        return await getattr(session, kind)(*args)

    async def run(self, script: dict[str, Any]) -> None:
        """Go through a script."""
        command = script["command"]
        parameters = StdioServerParameters(command=command[0], args=command[1:], env=script["env"])
        callbacks: dict[str, Any] = {
            "sampling_callback": self.sample,
            "elicitation_callback": self.elicit,
            "list_roots_callback": self.roots,
            "logging_callback": self.log,
            "message_handler": self.message,
        }
        async with stdio_client(parameters) as (read, write), ClientSession(read, write, **callbacks) as session:
            self.heard.append(["initialize", plain(await session.initialize())])
            for kind, *args in script["steps"]:
                try:
                    answer = plain(await self.step(session, kind, args))
                except Exception as error:  # noqa: BLE001 - the server's errors are what is compared
                    answer = ["error", type(error).__name__, str(error), plain(getattr(error, "error", None))]
                self.heard.append([kind, args, answer])


def main() -> None:
    """Run the script and print what was heard."""
    script = json.loads(Path(sys.argv[1]).read_text())
    client = Client(script["root"])
    asyncio.run(client.run(script))
    json.dump(client.heard, sys.stdout, default=repr)


if __name__ == "__main__":
    main()
