"""Govern the Model Context Protocol: a client session, a server, or single calls. Loads no SDK before it is needed.

The names below are loaded when they are first used: the proxy and the hook, which live here too, start often.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aegis_mcp.govern import govern_server as govern_server
    from aegis_mcp.govern import govern_session as govern_session
    from aegis_mcp.precheck import AegisMCPToolFilter as AegisMCPToolFilter
    from aegis_mcp.precheck import govern_mcp_tool_call as govern_mcp_tool_call

__all__ = ["AegisMCPToolFilter", "govern_mcp_tool_call", "govern_server", "govern_session"]

_HOME = {
    "AegisMCPToolFilter": "aegis_mcp.precheck",
    "govern_mcp_tool_call": "aegis_mcp.precheck",
    "govern_server": "aegis_mcp.govern",
    "govern_session": "aegis_mcp.govern",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
