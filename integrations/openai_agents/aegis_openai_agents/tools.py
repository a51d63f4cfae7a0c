"""`govern_tool`: a function tool whose every execution is governed, and which is otherwise the same tool."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import TYPE_CHECKING, Any

from agents import FunctionTool

from aegis_core.call import Reply
from aegis_openai_agents import sdk
from aegis_openai_agents.arguments import Arguments, Reader, Unreadable
from aegis_openai_agents.door import Door
from aegis_openai_agents.mcp import reports
from aegis_openai_agents.output import Output

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agents.tool_context import ToolContext

    from aegis_core.result import Result
    from aegis_core.runtime import Runtime

__all__ = ["door_of", "govern", "govern_tool", "govern_tools", "original_of"]


def govern_tool(tool: FunctionTool, runtime: Runtime, *, target: str | None = None) -> FunctionTool:
    """A governed copy of a function tool: judged by the runtime's policy, approved, recorded at every execution.

    Name, schemas, guardrails, timeouts, failure handling and events are those of the tool. What is judged are the
    arguments the function will get: validated, with defaults, without the context. A refused call returns a text to the
    model that says why, and the run goes on. Approval is asked for through the runtime's approval handler while the run
    waits; `govern_agent` interrupts the run instead.

    Args:
        tool: Made by ``@function_tool``, by hand, or by ``agent.as_tool()`` (the agent's own tools are not governed by
            this). It is not changed, and stays ungoverned itself.
        runtime: Judges the calls, asks people, writes the trail.
        target: The name for the policy (``match.target``); default the MCP server's name for a server's tool, else
            ``openai-agents``.

    Returns:
        The copy.

    Raises:
        TypeError: If it is not a function tool; `govern_agent` governs other kinds.
        ValueError: If it is already governed by another runtime or under another target. (The
            same again, or no target, changes nothing.)
        AegisError: If it was made by a version of the SDK that this version of Aegis does not know.
    """
    if not isinstance(tool, FunctionTool):  # pyright: ignore[reportUnnecessaryIsInstance] - not every caller is typed
        raise TypeError(f"govern_tool takes a FunctionTool, got {tool!r}; make one with @function_tool")
    present = door_of(tool)
    if present is None:
        return govern(tool, Door(runtime, target))
    if present.runtime is not runtime or target not in (None, present.target):
        raise ValueError(f"the tool {tool.name!r} is already governed, by another runtime or under another target")
    return tool


def govern_tools(tools: Iterable[FunctionTool], runtime: Runtime, *, target: str | None = None) -> list[FunctionTool]:
    """`govern_tool` for each of them."""
    return [govern_tool(tool, runtime, target=target) for tool in tools]


def door_of(tool: FunctionTool) -> Door | None:
    """What a tool's executions go through, if it is governed."""
    return tool.on_invoke_tool.door if isinstance(tool.on_invoke_tool, _Governed) else None


def original_of(tool: FunctionTool) -> FunctionTool:
    """The tool that a governed one was made of; the tool itself if it is not governed."""
    return tool.on_invoke_tool.original if isinstance(tool.on_invoke_tool, _Governed) else tool


def govern(tool: FunctionTool, door: Door) -> FunctionTool:
    """A copy of an ungoverned tool whose executions go through the door."""
    governed = copy.copy(tool)
    call = _Governed(tool, door, governed)
    governed.on_invoke_tool = call
    if door.interrupts:
        governed.needs_approval = call.needs_approval
        governed._aegis_rejected = call.rejected  # type: ignore[attr-defined]
    return governed


class _Governed:
    """Invokes a governed tool.

    Attributes:
        door: What its calls go through.
        original: The tool, not governed.
        bare: The same, raising what its work raises.
        reader: Reads its arguments.
    """

    def __init__(self, original: FunctionTool, door: Door, tool: FunctionTool) -> None:
        binding = sdk.binding(original)
        self.door = door
        self.original = original
        self._tool = tool
        self.bare = sdk.bare(original)
        self.reader = Reader(original)
        self._server = None if binding is None else binding.server
        self._name = original.name if binding is None else binding.tool

    def __agents_bind_function_tool__(self, tool: FunctionTool) -> _Governed:
        """The SDK asks for this when it copies a tool: failures are handled by the settings of the copy."""
        if tool is self._tool:
            return self
        bound = copy.copy(self)
        bound._tool = tool
        return bound

    async def __call__(self, context: ToolContext[Any], input: str) -> Any:  # noqa: A002 - as the SDK calls it
        try:
            arguments = self.reader.read(input)
        except Unreadable as error:
            if self.door.runtime.enforced:
                refusal = await self.door.refuse(context, self._name, input, error, server=self._server)
                return sdk.refuse(context, refusal)
            arguments = Arguments(input, {"arguments": input})
        action = self.door.action(context, self._name, arguments.judged, server=self._server)
        work = _Work(self, context, arguments)
        return await self._answer(await self.door.run(context, action, work.run), work)

    async def needs_approval(self, context: Any, params: dict[str, Any], call_id: str) -> bool:
        """Whether the run is to be interrupted: by the tool's own setting, or by the policy."""
        text = json.dumps(params)
        arguments = self.reader.read(text)
        action = self.door.action(None, self._name, arguments.judged, server=self._server, call_id=call_id)
        must = await self.door.must_interrupt(action)
        return must or await sdk.needs_approval_itself(self.original, context, text, call_id)

    async def rejected(self, item: dict[str, Any]) -> None:
        """Put on record that this call of the model's was rejected through the run's state."""
        try:
            arguments = self.reader.read(item["arguments"])
        except Unreadable:
            return  # It never was a call.
        call_id = item["call_id"]
        action = self.door.action(None, self._name, arguments.judged, server=self._server, call_id=call_id)
        await self.door.reject(action)

    async def _answer(self, result: Result, work: _Work) -> Any:
        """What the SDK is given for the result."""
        error = result.exception
        if result.refused:
            return sdk.refuse(work.context, result.error or "the call did not run")
        if isinstance(error, Unreadable):
            return sdk.refuse(work.context, f"{self._name}: {error}. The call did not run.")
        if isinstance(error, Exception):
            return await sdk.fail(self._tool, self.original, error, work.context, work.arguments.text)
        return work.output.after(result.data)


class _Work:
    """One execution of a tool.

    Attributes:
        context: The call's.
        arguments: The call's.
        output: What came of it, once it has run.
    """

    output: Output

    def __init__(self, call: _Governed, context: ToolContext[Any], arguments: Arguments) -> None:
        self.context = context
        self.arguments = arguments
        self._call = call

    async def run(self, judged: dict[str, Any]) -> Reply:
        """Run the tool with the arguments that were judged."""
        call, context, arguments = self._call, self.context, self.arguments
        if judged != arguments.judged:
            arguments = call.reader.rewrite(judged)
            context.tool_arguments = arguments.text
        if arguments.error is not None:
            raise arguments.error
        try:
            with reports() as failures:
                value = await sdk.invoke(call.bare, context, arguments.text, arguments.prepared)
        except asyncio.CancelledError as cancelled:
            cancelled.aegis_still_running = sdk.is_sync(call.original)  # type: ignore[attr-defined]
            raise
        self.output = Output(value)
        return Reply(self.output.known, failed=failures[0] if failures else None)
