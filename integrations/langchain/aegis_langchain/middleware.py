"""`AegisMiddleware`: every tool that an agent of ``create_agent`` runs, governed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.config import get_config

from aegis_core.errors import ActionRefused
from aegis_langchain.door import TARGET, Door, current_action, refusal
from aegis_langchain.pause import GraphPause
from aegis_langchain.tools import door_of, govern

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from langchain.agents.middleware import ToolCallRequest
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import BaseTool
    from langgraph.types import Command

    from aegis_core.action import Action
    from aegis_core.runtime import Runtime

__all__ = ["AegisMiddleware"]

_TOOLS = 1024
"""Governed copies that are kept: an agent that makes new tools all the time must not fill the memory."""


class AegisMiddleware(AgentMiddleware):
    """Governs every tool call of an agent: ``create_agent(model, tools, middleware=[..., AegisMiddleware(runtime)])``.

    Put it last: then what is judged is what runs, whatever other middleware made of the call. The agent's tools run as
    if each had been wrapped with `govern_tool`. A refused call gives the model a ``ToolMessage`` with
    ``status="error"``, and the agent goes on.

    Where the agent has a checkpointer and the runtime's trail can hold approvals (`AuditLogger`), a call that needs
    approval pauses the graph with an ``interrupt`` (see `GraphPause`); elsewhere the runtime's approval handler is
    asked.

    Args:
        runtime: Judges the calls, asks people, writes the trail.
        target: The name for the policy (``match.target``) of every tool that `govern_tool` has not given another.
    """

    def __init__(self, runtime: Runtime, *, target: str = TARGET) -> None:
        super().__init__()
        self._door = Door(runtime, target, lambda: GraphPause.here(runtime))
        self._copies: dict[int, tuple[BaseTool, BaseTool]] = {}  # by id of the tool, which is kept alive

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Govern one call."""
        governed = self._governed(request)
        if governed.tool is not None:
            return handler(governed)
        try:
            answer: ToolMessage = self._door.call(self._unlisted(request), lambda args: handler(_with(governed, args)))
        except ActionRefused as refused:
            return refusal(request.tool_call["name"], request.tool_call["id"], refused)
        return answer

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """`wrap_tool_call` for the agent's async methods."""
        governed = self._governed(request)
        if governed.tool is not None:
            return await handler(governed)
        action = self._unlisted(request)
        try:
            answer: ToolMessage = await self._door.acall(action, lambda args: handler(_with(governed, args)))
        except ActionRefused as refused:
            return refusal(request.tool_call["name"], request.tool_call["id"], refused)
        return answer

    def _governed(self, request: ToolCallRequest) -> ToolCallRequest:
        """The request for the governed tool, among governed tools: later middleware may redirect it to one of those."""
        self._hear(request.state)
        tools = [self._copy(tool) for tool in request.runtime.tools]
        tool = None if request.tool is None else self._copy(request.tool)
        return dataclasses.replace(request, tool=tool, runtime=dataclasses.replace(request.runtime, tools=tools))

    def _copy(self, tool: BaseTool) -> BaseTool:
        kept = self._copies.get(id(tool))
        if kept is not None and kept[0] is tool:
            return kept[1]
        present = door_of(tool)
        if present is not None and present.runtime is not self._door.runtime:
            raise ValueError(f"the tool {tool.name!r} is governed by another runtime than its agent's AegisMiddleware")
        target = self._door.target if present is None else present.target
        copy = govern(tool, dataclasses.replace(self._door, target=target))
        if len(self._copies) >= _TOOLS:
            self._copies.clear()
        self._copies[id(tool)] = tool, copy
        return copy

    def _unlisted(self, request: ToolCallRequest) -> Action:
        """A call of a tool the agent does not list, for later middleware to bring. Its arguments are raw."""
        call = request.tool_call
        return current_action(call["name"], self._door.target, call["args"], call["id"])

    def _hear(self, state: Any) -> None:
        """Tell the session what the user said. An agent that a tool runs is spoken to by a model, not by the user."""
        config = get_config().get("configurable", {})
        if "|" in config.get("checkpoint_ns", ""):
            return
        runtime = self._door.runtime
        messages = state.get("messages", ()) if isinstance(state, dict) else getattr(state, "messages", ())
        with runtime.session(str(config.get("thread_id") or runtime.principal()[2])) as session:
            for text in _said_by_user(messages):
                session.add_user_text(text)


def _with(request: ToolCallRequest, arguments: dict[str, Any]) -> ToolCallRequest:
    return request.override(tool_call={**request.tool_call, "args": arguments})


def _said_by_user(messages: Iterable[Any]) -> Iterator[str]:
    """Human messages where a turn begins. In the middle of one they are put there by tools and middleware."""
    turn_begins = True
    for message in messages:
        if isinstance(message, HumanMessage):
            if turn_begins and "lc_source" not in message.additional_kwargs:
                yield message.text
        elif not isinstance(message, SystemMessage):
            turn_begins = isinstance(message, AIMessage) and not message.tool_calls
