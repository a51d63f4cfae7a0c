"""LlamaIndex. Loads it when one of these names is used, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aegis_llamaindex

if TYPE_CHECKING:
    from aegis_llamaindex import govern_mcp_client as govern_mcp_client
    from aegis_llamaindex import govern_tool as govern_tool
    from aegis_llamaindex import govern_tools as govern_tools

__all__ = ["govern_mcp_client", "govern_tool", "govern_tools"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(aegis_llamaindex, name)
