"""LlamaIndex: tools and MCP clients, governed. Loads LlamaIndex when one of the names below is used, not before."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aegis_llamaindex.mcp_client import govern_mcp_client as govern_mcp_client
    from aegis_llamaindex.tools import govern_tool as govern_tool
    from aegis_llamaindex.tools import govern_tools as govern_tools

__all__ = ["govern_mcp_client", "govern_tool", "govern_tools"]

_HOME = {
    "govern_mcp_client": "aegis_llamaindex.mcp_client",
    "govern_tool": "aegis_llamaindex.tools",
    "govern_tools": "aegis_llamaindex.tools",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("llama_index", "workflows", "mcp"):
            raise
        raise ImportError(
            f"{name} needs LlamaIndex ({error.name} is missing): pip install 'aegis-agents[llamaindex]'",
            name=error.name,
        ) from None
