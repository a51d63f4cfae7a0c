"""`AegisMiddleware`: every tool that an agent of ``create_agent`` runs, governed, with approval through the graph's own pause."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware

from aegis_core.errors import ActionRefused
from aegis_langchain.door import TARGET, Door, action, refusal
from aegis_langchain.pause import GraphPause
from aegis_langchain.tools import door_of, govern

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langchain.agents.middleware import ToolCallRequest
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import BaseTool
    from langgraph.types import Command

    from aegis_core.action import Action
    from aegis_core.runtime import Runtime

__all__ = ["AegisMiddleware"]

_TOOLS = 1024
"""Governed copies that are kept. An agent has a few tools; one that makes new ones all the time must not fill the memory."""


class AegisMiddleware(AgentMiddleware):
    """Governs every tool call of an agent: ``create_agent(model, tools, middleware=[..., AegisMiddleware(runtime)])``.

    Put it last: then what is judged is what runs, whatever other middleware made of the call. The agent's tools run as if each had been wrapped with
    `govern_tool`; a refused call gives the model a ``ToolMessage`` with ``status="error"``, and the agent goes on.

    Where the agent has a checkpointer, a call that needs approval pauses the graph with an ``interrupt`` (see `GraphPause`); elsewhere the
    runtime's approval handler is asked.

    Args:
        runtime: Judges the calls, asks people, writes the trail.
        target: The name for the policy (``match.target``) of every tool that `govern_tool` has not given another.
    """

    def __init__(self, runtime: Runtime, *, target: str = TARGET) -> None:
        super().__init__()
        self._door = Door(runtime, target, lambda: GraphPause.here(runtime))
        self._copies: dict[int, tuple[BaseTool, BaseTool]] = {}

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Govern one call."""
        request = self._governed(request)
        if request.tool is not None:
            return handler(request)
        try:
            return self._door.call(self._unknown(request), lambda given: handler(_with(request, given)))  # type: ignore[no-any-return]
        except ActionRefused as refused:
            return refusal(request.tool_call["name"], request.tool_call["id"], refused)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """`wrap_tool_call` for the agent's async methods."""
        request = self._governed(request)
        if request.tool is not None:
            return await handler(request)
        try:
            return await self._door.acall(self._unknown(request), lambda given: handler(_with(request, given)))  # type: ignore[no-any-return]
        except ActionRefused as refused:
            return refusal(request.tool_call["name"], request.tool_call["id"], refused)

    def _governed(self, request: ToolCallRequest) -> ToolCallRequest:
        """The request for the governed tool, with the others governed too: middleware after this one may redirect the call to one of them."""
        tool, runtime = request.tool, request.runtime
        if runtime is not None:
            runtime = dataclasses.replace(runtime, tools=[self._copy(other) for other in runtime.tools])
        return dataclasses.replace(request, tool=tool and self._copy(tool), runtime=runtime)

    def _copy(self, tool: BaseTool) -> BaseTool:
        kept = self._copies.get(id(tool))
        if kept is not None and kept[0] is tool:
            return kept[1]
        present = door_of(tool)
        if present is not None and present.runtime is not self._door.runtime:
            raise ValueError(f"the tool {tool.name!r} is governed by another runtime than the AegisMiddleware of its agent")
        target = self._door.target if present is None else present.target
        copy = govern(tool, dataclasses.replace(self._door, target=target))
        if len(self._copies) >= _TOOLS:
            self._copies.clear()
        self._copies[id(tool)] = tool, copy
        return copy

    def _unknown(self, request: ToolCallRequest) -> Action:
        """A call of a tool that the agent does not list: middleware after this one brings it, and its arguments come as the model wrote them."""
        call = request.tool_call
        return action(call["name"], self._door.target, call["args"], call["id"])


def _with(request: ToolCallRequest, arguments: dict[str, Any]) -> ToolCallRequest:
    return request.override(tool_call={**request.tool_call, "args": arguments})
