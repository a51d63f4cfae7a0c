"""`govern_session` and `govern_server`: every ``tools/call`` of an MCP session, or of a server, is governed."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, TypeVar

from aegis_mcp.tool_calls import ToolCalls

if TYPE_CHECKING:
    from aegis_core.runtime import Runtime

__all__ = ["govern_server", "govern_session"]

T = TypeVar("T")


def govern_session(session: T, runtime: Runtime, *, server: str) -> T:
    """Govern every tool call of an MCP client session, in place, whichever way it is made.

    A refused call does not raise: its result has ``isError`` set and a text that says why. Everything else is as
    without Aegis: other requests, results, a tool's own errors, timeouts, progress, cancellation.

    Args:
        session: An ``mcp.ClientSession`` or (mcp 2.x) ``mcp.Client``, before or after it is entered. Of a
            ``ClientSessionGroup``, govern each session as ``connect_to_server`` returns it, under a name of its own.
        runtime: Judges the calls, asks people, writes the trail.
        server: What the policy knows the server as (``match.target``). It is for you to say: what a server calls
            itself proves nothing.

    Returns:
        The same object. Governing it again by the same runtime under the same name changes nothing.

    Raises:
        TypeError: If it is not a session.
        ValueError: If it is already governed by another runtime or under another name.
        ImportError: If the MCP SDK is missing, or is of a version that Aegis does not know.
    """
    _hooks().govern_session(session, ToolCalls(runtime, server, remember=True))
    return session


def govern_server(server: T, runtime: Runtime, *, target: str | None = None) -> T:
    """Govern every tool call that an MCP server receives, in place. Everything else passes untouched.

    Govern a server when it is complete. A tool called in the process itself (``await server.call_tool(...)``) does not
    pass here: put ``@governed`` on its function for that.

    Args:
        server: An ``MCPServer`` (mcp 2.x), ``FastMCP`` (mcp 1.x) or lowlevel ``Server`` (both) of the official SDK.
        runtime: Judges the calls, asks people, writes the trail. A server on stdio has no terminal to ask on: give the
            runtime an ``approval_handler``.
        target: What the policy knows the server as (``match.target``); default its own name.

    Returns:
        The same object. Governing it again by the same runtime under the same name changes nothing.

    Raises:
        TypeError: If it is not such a server.
        ValueError: If it is already governed by another runtime or under another name, or is a lowlevel server of
            mcp 1.x without a ``call_tool`` handler.
        ImportError: If the MCP SDK is missing, or is of a version that Aegis does not know.
    """
    hooks = _hooks()
    lowlevel = hooks.lowlevel(server)
    hooks.govern_server(lowlevel, ToolCalls(runtime, lowlevel.name if target is None else target))
    return server


def _hooks() -> Any:
    """The module for the installed SDK. It imports the SDK, and so is loaded only when something is governed.

    Both majors are in use and cannot share an environment. A newer one may have ways to call a tool that nobody has
    looked at yet, and is refused.
    """
    try:
        installed = version("mcp")
    except PackageNotFoundError:
        raise ImportError("governing MCP needs the MCP SDK: pip install 'aegis-agents[mcp]'", name="mcp") from None
    major = installed.partition(".")[0]
    if major not in ("1", "2"):
        raise ImportError(
            f"this version of Aegis knows the MCP SDK 1.24 to 2.x, and {installed} is installed", name="mcp"
        )
    return import_module(f"aegis_mcp.v{major}")
