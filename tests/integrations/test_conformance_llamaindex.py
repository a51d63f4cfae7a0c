"""Every LlamaIndex door passes the conformance list: governed tools by themselves and in every kind of agent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.agent.workflow import ToolCallResult
from llama_index.core.tools import AsyncBaseTool, FunctionTool, ToolOutput
from llama_index.core.tools.calling import acall_tool, call_tool

from aegis.adapters.llamaindex import govern_mcp_client, govern_tool
from tests.integrations.conformance import Answer, Behaviour, Door, conformance
from tests.llamaindex.scripted import AGENTS, agent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aegis import Runtime

# LlamaIndex's agents look at every attribute of themselves and ask their context what is deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]


class Tool(Door):
    """A governed tool, called by itself. A refusal is a ToolOutput; the tool's own exception is raised."""

    target = "llamaindex"

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        try:
            return answer(await self.invoke(govern_tool(self.make(tool), runtime), dict(arguments)))
        except Exception as error:  # noqa: BLE001 - what came back is what is tested
            return Answer(error=error)

    def make(self, tool: Callable[..., Any]) -> Any:
        return FunctionTool.from_defaults(tool)

    async def invoke(self, tool: Any, arguments: dict[str, Any]) -> Any:
        return await tool.acall(**arguments)


class SyncTool(Tool):
    sync = True
    cancellable = False

    async def invoke(self, tool: Any, arguments: dict[str, Any]) -> Any:
        return await asyncio.to_thread(tool.call, **arguments)


class CalledTool(SyncTool):
    async def invoke(self, tool: Any, arguments: dict[str, Any]) -> Any:
        return await asyncio.to_thread(tool, *arguments.values())


class SyncToolOfAnAsyncProgram(Tool):
    """LlamaIndex runs it in a worker thread, and a cancelled caller leaves it there."""

    sync = True
    cancellable = False


class OwnClass(Tool):
    """A tool that is a class of its own and passes from one of its methods to another."""

    def make(self, tool: Callable[..., Any]) -> Any:
        class Own(AsyncBaseTool):
            metadata = FunctionTool.from_defaults(tool).metadata

            def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
                raise NotImplementedError

            async def acall(self, **kwargs: Any) -> ToolOutput:  # type: ignore[override]
                sent = await tool(**kwargs)
                return ToolOutput("send_note", content=sent, raw_input=kwargs, raw_output=sent)

        return Own()


class ThroughCallTool(Tool):
    """LlamaIndex's own helper, which turns exceptions into outputs and retries some tools."""

    raises = False

    async def invoke(self, tool: Any, arguments: dict[str, Any]) -> Any:
        return await acall_tool(tool, arguments)


class ThroughSyncCallTool(SyncTool):
    raises = False

    async def invoke(self, tool: Any, arguments: dict[str, Any]) -> Any:
        return await asyncio.to_thread(call_tool, tool, arguments)


class Agent(Tool):
    """A governed tool in an agent, which turns exceptions into outputs, and whose run is cancelled by its handler."""

    raises = False

    def __init__(self, kind: str) -> None:
        self.kind = kind

    async def invoke(self, tool: Any, arguments: dict[str, Any]) -> Any:
        handler = agent(self.kind, [tool], [("send_note", arguments)]).run(user_msg="go")
        try:
            results = [event async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
            await handler
        except asyncio.CancelledError:
            await handler.cancel_run()
            await asyncio.gather(handler, return_exceptions=True)
            raise
        return results[0].tool_output


class Client(Tool):
    """An MCP client."""

    target = "notes"

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        pytest.importorskip("mcp")
        from mcp.types import CallToolResult

        class InProcess:
            async def call_tool(self, tool_name: str, arguments: Any = None) -> Any:
                text = {"type": "text", "text": await tool(**arguments)}
                return CallToolResult.model_validate({"content": [text]})

        client = govern_mcp_client(InProcess(), runtime, server="notes")
        try:
            result = await client.call_tool("send_note", dict(arguments))
        except Exception as error:  # noqa: BLE001 - what came back is what is tested
            return Answer(error=error)
        return Answer(result.content[0].text)


def answer(output: ToolOutput) -> Answer:
    return Answer(output.content)


DOORS: dict[str, Door] = {
    **{
        cls.__name__: cls()
        for cls in (
            Tool,
            SyncTool,
            CalledTool,
            SyncToolOfAnAsyncProgram,
            OwnClass,
            ThroughCallTool,
            ThroughSyncCallTool,
            Client,
        )
    },
    **{kind: Agent(kind) for kind in AGENTS},
}


@pytest.mark.parametrize(
    ("door", "behaviour"),
    [
        pytest.param(door, behaviour, id=f"{name}-{behaviour.__name__}")
        for name, door in DOORS.items()
        for behaviour in conformance(door)
    ],
)
async def test_llamaindex(door: Door, behaviour: Behaviour):
    await behaviour(door)
