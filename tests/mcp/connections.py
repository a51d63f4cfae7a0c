"""Real MCP servers and clients for the tests, in both major versions of the SDK."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

MAJOR = int(version("mcp").partition(".")[0])
ERAS = ["handshake", "stateless"] if MAJOR == 2 else ["handshake"]
"""Protocol eras the installed SDK speaks: with an initialize handshake, and (2026-07-28) without."""
IS_ERROR = "is_error" if MAJOR == 2 else "isError"


def make_server(*tools: Callable[..., Any], name: str = "notes") -> Any:
    """A server of the SDK's high-level kind with these functions as tools."""
    if MAJOR == 2:
        from mcp.server.mcpserver import MCPServer

        server: Any = MCPServer(name, log_level="CRITICAL")
    else:
        from importlib import import_module

        server = import_module("mcp.server.fastmcp").FastMCP(name, log_level="CRITICAL")
    for tool in tools:
        server.add_tool(tool)
    return server


@asynccontextmanager
async def connected(server: Any, era: str = "handshake", **options: Any) -> AsyncGenerator[Any]:
    """A client session to an in-process server, initialized."""
    if MAJOR == 2:
        from mcp import Client

        async with Client(server, mode="legacy" if era == "handshake" else "2026-07-28", **options) as client:
            yield client.session
    else:
        from importlib import import_module

        connect = import_module("mcp.shared.memory").create_connected_server_and_client_session
        async with connect(server, **options) as session:
            yield session


def tool_error(message: str) -> Exception:
    """What a tool raises to have its message shown; the SDK hides the messages of other exceptions."""
    if MAJOR == 2:
        from mcp.server.mcpserver.exceptions import ToolError

        return ToolError(message)
    return RuntimeError(message)


def text_of(result: Any) -> str:
    """The text in a tool's result."""
    return "\n".join(block.text for block in result.content if block.type == "text")


def is_error(result: Any) -> bool:
    """Whether a tool's result says that it failed."""
    return bool(getattr(result, IS_ERROR))
