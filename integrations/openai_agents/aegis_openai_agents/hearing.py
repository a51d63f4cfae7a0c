"""What a run says that no tool hears: what its user said, and which calls were rejected through its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wrapt
from agents import AgentHooks, ShellTool
from agents.tool_context import ToolContext

from aegis_core.enclosing import ENCLOSING
from aegis_openai_agents.door import conversation
from aegis_openai_agents.sdk import run_state_says

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents import Agent, RunContextWrapper, Tool

    from aegis_core.runtime import Runtime

__all__ = ["Listening", "hear"]


def hear(context: RunContextWrapper[Any], runtime: Runtime) -> None:
    """Tell the session what the user said. An agent that a tool runs is spoken to by a model, not by the user."""
    outer = ENCLOSING.get()  # a call begun for a framework stays there after it has ended
    if isinstance(context, ToolContext) or (outer is not None and outer.reaches_here()):
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
        tools = {_key(tool): tool for tool in getattr(agent, "_aegis_listed", ())}
        for call in _answered(input_items):
            rejected = getattr(tools.get(call.get("name", call["type"])), "_aegis_rejected", None)
            if rejected is not None and run_state_says(context, call["call_id"]) is False:
                await rejected(call)
        await self.__wrapped__.on_llm_start(context, agent, system_prompt, input_items)


def _key(tool: Tool) -> str:
    """How a model's call says which tool it means."""
    return "shell_call" if isinstance(tool, ShellTool) else tool.name


def _answered(items: list[Any]) -> Iterator[dict[str, Any]]:
    """The calls whose outputs the model has not seen yet: those at the end."""
    ids: set[str] = set()
    for item in reversed(items):
        if not str(item.get("type", "")).endswith("_output"):
            break
        ids.add(item.get("call_id", ""))
    return (item for item in items if str(item.get("type", "")).endswith("_call") and item.get("call_id") in ids)
