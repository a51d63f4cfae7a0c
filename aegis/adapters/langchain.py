"""LangChain. Loads it when one of these names is used, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aegis_langchain

if TYPE_CHECKING:
    from aegis_langchain import AegisCallbackHandler as AegisCallbackHandler
    from aegis_langchain import AegisMiddleware as AegisMiddleware
    from aegis_langchain import govern_tool as govern_tool
    from aegis_langchain import govern_tools as govern_tools

__all__ = ["AegisCallbackHandler", "AegisMiddleware", "govern_tool", "govern_tools"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(aegis_langchain, name)
