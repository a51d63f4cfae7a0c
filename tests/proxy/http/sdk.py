"""A server on the official SDK over streamable HTTP (``python -m tests.proxy.http.sdk``), and its client."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tests.mcp.connections import MAJOR, make_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Context: Any = import_module("mcp.server.fastmcp" if MAJOR == 1 else "mcp.server.mcpserver").Context


async def echo(text: str) -> str:
    """Say it again."""
    return text


async def slow(steps: int, ctx: Context) -> str:
    """Take some steps, and tell of each."""
    for step in range(steps):
        await ctx.report_progress(step + 1, steps, f"step {step + 1}")
        await asyncio.sleep(0.01)
    return "done"


async def write(path: str) -> str:
    """Write."""
    return f"wrote {path}"


async def delete_all() -> str:
    """Delete."""
    return "deleted"


for function in (echo, slow, write, delete_all):
    function.__annotations__.update(
        {name: {"str": str, "int": int, "Context": Context}[kind] for name, kind in function.__annotations__.items()}
    )


class _Session:
    """A client's session, whose calls note their progress."""

    def __init__(self, session: Any, progress: list[Any] | None) -> None:
        self._session = session
        self._progress = progress

    async def list_tools(self) -> Any:
        return await self._session.list_tools()

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
        async def note(*step: Any) -> None:
            if self._progress is not None:
                self._progress.append(step)

        return await self._session.call_tool(name, arguments, progress_callback=note)


@asynccontextmanager
async def http_session(
    url: str,
    mode: str,
    *,
    progress: list[Any] | None = None,
    decision: str | None = None,
    asked: list[str] | None = None,
) -> AsyncGenerator[_Session]:
    """The official client, connected.

    Args:
        url: The server's.
        mode: ``legacy``, ``auto``, or a protocol version without a handshake.
        progress: Gets what the server tells of its progress.
        decision: What its user answers when asked for approval; None for a client that cannot ask.
        asked: Gets what its user is asked.
    """
    from mcp import types

    async def elicit(_context: Any, params: Any) -> Any:
        if asked is not None:
            asked.append(params.message)
        return types.ElicitResult(action="accept", content={"decision": decision or ""})

    callback: Any = None if decision is None else elicit
    if MAJOR == 1:
        from mcp import ClientSession

        connect: Any = import_module("mcp.client.streamable_http").streamable_http_client
        async with (
            connect(url) as (read, write, _),
            ClientSession(read, write, elicitation_callback=callback) as session,
        ):
            await session.initialize()
            yield _Session(session, progress)
    else:
        from mcp import Client

        async with Client(url, mode=mode, elicitation_callback=callback) as client:
            yield _Session(client, progress)


def main() -> None:
    """Serve until told to stop."""
    import uvicorn

    app = make_server(echo, slow, write, delete_all).streamable_http_app()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            print(f"at http://127.0.0.1:{port}/mcp", file=sys.stderr, flush=True)

    with contextlib.suppress(KeyboardInterrupt):
        Server(uvicorn.Config(app, port=0, log_level="error")).run()


if __name__ == "__main__":
    main()
