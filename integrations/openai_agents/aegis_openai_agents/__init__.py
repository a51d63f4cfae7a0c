"""OpenAI Agents: tools, agents and guardrails, governed. Loads the SDK when a name below is used, not before."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aegis_openai_agents.agent import govern_agent as govern_agent
    from aegis_openai_agents.guardrails import aegis_guardrails as aegis_guardrails
    from aegis_openai_agents.mcp import govern_mcp_server as govern_mcp_server
    from aegis_openai_agents.tools import govern_tool as govern_tool
    from aegis_openai_agents.tools import govern_tools as govern_tools

__all__ = ["aegis_guardrails", "govern_agent", "govern_mcp_server", "govern_tool", "govern_tools"]

_HOME = {
    "aegis_guardrails": "aegis_openai_agents.guardrails",
    "govern_agent": "aegis_openai_agents.agent",
    "govern_mcp_server": "aegis_openai_agents.mcp",
    "govern_tool": "aegis_openai_agents.tools",
    "govern_tools": "aegis_openai_agents.tools",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("agents", "openai"):
            raise
        raise ImportError(
            f"{name} needs the OpenAI Agents SDK: pip install 'aegis-agents[openai-agents]'", name=error.name
        ) from None
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "agents":
            raise
        raise ImportError(
            f"{name} knows openai-agents 0.24, and {version('openai-agents')} is installed: {error}", name=error.name
        ) from error
