"""Every LangChain door passes the conformance list: governed tools, agents and callbacks; sync, async, streamed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("langchain")

from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import StructuredTool

from aegis.adapters.langchain import AegisCallbackHandler, AegisMiddleware, govern_tool
from tests.integrations.conformance import Answer, Behaviour, Door, conformance
from tests.langchain.scripted import ask, model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aegis import Runtime


def structured(tool: Callable[..., Any]) -> StructuredTool:
    if asyncio.iscoroutinefunction(tool):
        return StructuredTool.from_function(coroutine=tool)
    return StructuredTool.from_function(tool)


class Tool(Door):
    """A governed tool, called as an agent calls it."""

    target = "langchain"

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        governed = govern_tool(structured(tool), runtime)
        try:
            return Answer(text(await self.invoke(governed, tool_call(arguments))))
        except Exception as error:  # noqa: BLE001 - what came back is what is tested
            return Answer(error=error)

    async def invoke(self, tool: Any, call: dict[str, Any]) -> Any:
        return await tool.ainvoke(call)


class SyncTool(Tool):
    sync = True
    cancellable = False

    async def invoke(self, tool: Any, call: dict[str, Any]) -> Any:
        return await asyncio.to_thread(tool.invoke, call)


class SyncToolOfAnAsyncProgram(Tool):
    """LangChain runs it in a worker thread, and a cancelled caller leaves it there."""

    sync = True
    cancellable = False


class Callback(Tool):
    """A callback on an ungoverned tool. It hears nothing of a cancellation, and cannot change arguments."""

    cancellable = False
    edits = False

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        config = {"callbacks": [AegisCallbackHandler(runtime)]}
        try:
            return Answer(text(await self.invoke_with(structured(tool), tool_call(arguments), config)))
        except Exception as error:  # noqa: BLE001 - what came back is what is tested
            return Answer(error=error)

    async def invoke_with(self, tool: Any, call: dict[str, Any], config: dict[str, Any]) -> Any:
        return await tool.ainvoke(call, config)


class SyncCallback(Callback):
    sync = True

    async def invoke_with(self, tool: Any, call: dict[str, Any], config: dict[str, Any]) -> Any:
        return await asyncio.to_thread(tool.invoke, call, config)


class Agent(Door):
    """An agent whose middleware governs its tools."""

    target = "langchain"

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        agent = self.agent(runtime, structured(tool), model([("send_note", dict(arguments))]))
        try:
            messages = await self.run(agent)
        except Exception as error:  # noqa: BLE001 - what came back is what is tested
            return Answer(error=error)
        return Answer(text(next(message for message in messages if isinstance(message, ToolMessage))))

    def agent(self, runtime: Runtime, tool: StructuredTool, llm: Any) -> Any:
        return create_agent(llm, [tool], middleware=[AegisMiddleware(runtime)], name="clerk")

    async def run(self, agent: Any) -> list[Any]:
        return (await agent.ainvoke(ask()))["messages"]


class AgentOfGovernedTools(Agent):
    def agent(self, runtime: Runtime, tool: StructuredTool, llm: Any) -> Any:
        return create_agent(llm, [govern_tool(tool, runtime)])


class AgentOfBoth(Agent):
    """Tools governed by hand under the middleware are governed once."""

    def agent(self, runtime: Runtime, tool: StructuredTool, llm: Any) -> Any:
        return create_agent(llm, [govern_tool(tool, runtime)], middleware=[AegisMiddleware(runtime)])


class SyncAgent(Agent):
    sync = True
    cancellable = False

    async def run(self, agent: Any) -> list[Any]:
        return (await asyncio.to_thread(agent.invoke, ask()))["messages"]


class StreamedAgent(Agent):
    async def run(self, agent: Any) -> list[Any]:
        return [message async for part in agent.astream(ask(), stream_mode="updates") for message in messages_in(part)]


class SyncStreamedAgent(SyncAgent):
    async def run(self, agent: Any) -> list[Any]:
        parts = await asyncio.to_thread(lambda: list(agent.stream(ask(), stream_mode="updates")))
        return [message for part in parts for message in messages_in(part)]


class AgentSeenByEvents(Agent):
    async def run(self, agent: Any) -> list[Any]:
        events = [event async for event in agent.astream_events(ask(), version="v2")]
        return events[-1]["data"]["output"]["messages"]


def tool_call(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "tool_call", "name": "send_note", "args": dict(arguments), "id": "1"}


def messages_in(update: Mapping[str, Any]) -> list[Any]:
    return [message for node in update.values() for message in node["messages"]]


def text(message: ToolMessage) -> str:
    return message.text


DOORS: list[Door] = [
    Tool(),
    SyncTool(),
    SyncToolOfAnAsyncProgram(),
    Callback(),
    SyncCallback(),
    Agent(),
    AgentOfGovernedTools(),
    AgentOfBoth(),
    SyncAgent(),
    StreamedAgent(),
    SyncStreamedAgent(),
    AgentSeenByEvents(),
]


@pytest.mark.parametrize(
    ("door", "behaviour"),
    [
        pytest.param(door, behaviour, id=f"{type(door).__name__}-{behaviour.__name__}")
        for door in DOORS
        for behaviour in conformance(door)
    ],
)
async def test_langchain(door: Door, behaviour: Behaviour):
    await behaviour(door)
