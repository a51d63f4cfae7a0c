"""LangChain: tools, callbacks and agents, governed. Loads LangChain when one of the names below is used, not before."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aegis_langchain.callback import AegisCallbackHandler as AegisCallbackHandler
    from aegis_langchain.middleware import AegisMiddleware as AegisMiddleware
    from aegis_langchain.tools import govern_tool as govern_tool
    from aegis_langchain.tools import govern_tools as govern_tools

__all__ = ["AegisCallbackHandler", "AegisMiddleware", "govern_tool", "govern_tools"]

_HOME = {
    "AegisCallbackHandler": "aegis_langchain.callback",
    "AegisMiddleware": "aegis_langchain.middleware",
    "govern_tool": "aegis_langchain.tools",
    "govern_tools": "aegis_langchain.tools",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("langchain", "langchain_core", "langgraph"):
            raise
        raise ImportError(
            f"{name} needs LangChain ({error.name} is missing): pip install 'aegis-agents[langchain]'", name=error.name
        ) from None
