"""OpenAI Agents. Loads the SDK when one of these names is used, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aegis_openai_agents

if TYPE_CHECKING:
    from aegis_openai_agents import aegis_guardrails as aegis_guardrails
    from aegis_openai_agents import govern_agent as govern_agent
    from aegis_openai_agents import govern_mcp_server as govern_mcp_server
    from aegis_openai_agents import govern_tool as govern_tool
    from aegis_openai_agents import govern_tools as govern_tools

__all__ = ["aegis_guardrails", "govern_agent", "govern_mcp_server", "govern_tool", "govern_tools"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(aegis_openai_agents, name)
