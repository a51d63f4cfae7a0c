"""What a run says that no tool hears: what its user said, and which calls were rejected through its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wrapt
from agents import AgentHooks
from agents.tool_context import ToolContext

from aegis_core.enclosing import ENCLOSING
from aegis_openai_agents.door import conversation
from aegis_openai_agents.sdk import run_state_says
from aegis_openai_agents.tools import record_rejection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents import Agent, FunctionTool, RunContextWrapper

    from aegis_core.runtime import Runtime

__all__ = ["Listening", "hear"]


def hear(context: RunContextWrapper[Any], runtime: Runtime) -> None:
    """Tell the session what the user said. An agent that a tool runs is spoken to by a model, not by the user."""
    if isinstance(context, ToolContext) or ENCLOSING.get() is not None:
        return
    with runtime.session(conversation() or runtime.principal()[2]) as session:
        for item in context.turn_input:
            for text in _said_by_user(item):
                session.add_user_text(text)


def _said_by_user(item: Any) -> Iterator[str]:
    if item.get("role") != "user":
        return
    content = item.get("content")
    for part in [content] if isinstance(content, str) else content or ():
        text = part if isinstance(part, str) else part.get("text")
        if isinstance(text, str):
            yield text


class Listening(wrapt.ObjectProxy):
    """An agent's hooks, which also hear of the calls that were rejected through the run's state."""

    def __init__(self, hooks: AgentHooks[Any] | None) -> None:
        super().__init__(AgentHooks[Any]() if hooks is None else hooks)

    async def on_llm_start(
        self, context: RunContextWrapper[Any], agent: Agent[Any], system_prompt: str | None, input_items: list[Any]
    ) -> None:
        """The model is about to be told of the rejections."""
        tools: dict[str, FunctionTool] = getattr(agent, "_aegis_listed", {})
        for call in _answered(input_items):
            name, call_id = call["name"], call["call_id"]
            if name in tools and run_state_says(context, call_id) is False:
                await record_rejection(tools[name], call["arguments"], call_id)
        await self.__wrapped__.on_llm_start(context, agent, system_prompt, input_items)


def _answered(items: list[Any]) -> Iterator[dict[str, Any]]:
    """The function calls whose outputs the model has not seen yet: those at the end."""
    ids: set[str] = set()
    for item in reversed(items):
        if not str(item.get("type", "")).endswith("_output"):
            break
        ids.add(item.get("call_id", ""))
    return (item for item in items if item.get("type") == "function_call" and item["call_id"] in ids)
