"""Every way into governed calls through OpenAI Agents passes the conformance list, streamed too."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

pytest.importorskip("agents")

from agents import Agent

from aegis import Runtime
from aegis.adapters.openai_agents import aegis_guardrails, govern_agent, govern_mcp_server, govern_tool
from tests.integrations.conformance import Answer, Behaviour, Door, conformance
from tests.mcp.connections import connected, make_server, text_of, tool_error
from tests.openai_agents.scripted import SessionServer, as_tool, model, outputs, run


class FunctionTools(Door):
    """A governed function tool of an agent that is not governed."""

    target = "openai-agents"
    raises = False
    holes: frozenset[str] = frozenset()

    def __init__(self, *, sync: bool = False, stream: bool = False) -> None:
        self.sync = sync
        self.cancellable = not sync
        self.stream = stream

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        tools: Any = [govern_tool(as_tool(tool), runtime)]
        return await self.answer(Agent("notes", tools=tools), ("send_note", dict(arguments)))

    async def answer(self, agent: Agent[Any], *calls: tuple[str, dict[str, Any]]) -> Answer:
        try:
            result = await run(agent, stream=self.stream, model=model(*calls))
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)  # The SDK does not wait for the tools that it cancels.
            raise
        except Exception as error:  # noqa: BLE001 - whatever comes back is the answer
            return Answer(error=error)
        assert result.final_output == "done"
        (output,) = outputs(result)
        return Answer(output["text"] if isinstance(output, dict) else output)


class Agents(FunctionTools):
    """A governed agent."""

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        agent = Agent("notes", tools=[as_tool(tool)])
        return await self.answer(govern_agent(agent, runtime, interrupt=False), ("send_note", dict(arguments)))


class Handoffs(FunctionTools):
    """The agent that a governed agent hands over to."""

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        second = Agent("notes", tools=[as_tool(tool)])
        agent = govern_agent(Agent("first", handoffs=[second]), runtime, interrupt=False)
        return await self.answer(agent, ("transfer_to_notes", {}), ("send_note", dict(arguments)))


class Guardrails(FunctionTools):
    """Guardrails on a function tool; the tool runs outside the governed call."""

    edits = False
    encloses = False
    holes = frozenset(  # Of a tool that fails or is cancelled the SDK tells no guardrail.
        ("a_failing_tool_is_recorded_and_its_failure_comes_back", "a_cancelled_call_is_recorded_as_cancelled")
    )

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        guardrails = aegis_guardrails(runtime)
        guarded = as_tool(tool, tool_input_guardrails=[guardrails.input], tool_output_guardrails=[guardrails.output])
        return await self.answer(Agent("notes", tools=[guarded]), ("send_note", dict(arguments)))


class MCPTools(FunctionTools):
    """A tool of an MCP server that a governed agent has."""

    target = "notes"
    encloses = False

    def failure(self, message: str) -> Exception:
        return tool_error(message)

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        async with connected(make_server(tool)) as session:
            agent = Agent("notes", mcp_servers=[SessionServer(session)])
            return await self.answer(govern_agent(agent, runtime, interrupt=False), ("send_note", dict(arguments)))


class MCPServers(MCPTools):
    """A governed MCP server, called by the program itself."""

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        async with connected(make_server(tool)) as session:
            server = govern_mcp_server(SessionServer(session), runtime)
            try:
                return Answer(text_of(await server.call_tool("send_note", dict(arguments))))
            except Exception as error:  # noqa: BLE001 - whatever comes back is the answer
                return Answer(error=error)


DOORS: list[FunctionTools] = [
    FunctionTools(),
    FunctionTools(sync=True),
    FunctionTools(stream=True),
    Agents(),
    Agents(stream=True),
    Handoffs(),
    Handoffs(stream=True),
    Guardrails(),
    Guardrails(stream=True),
    MCPTools(),
    MCPTools(stream=True),
    MCPServers(),
]


def name_of(door: FunctionTools) -> str:
    return type(door).__name__ + ("-sync" if door.sync else "") + ("-streamed" if door.stream else "")


@pytest.mark.parametrize(
    ("door", "behaviour"),
    [
        pytest.param(door, behaviour, id=f"{name_of(door)}-{behaviour.__name__}")
        for door in DOORS
        for behaviour in conformance(door)
        if behaviour.__name__ not in door.holes
    ],
)
async def test_openai_agents(door: Door, behaviour: Behaviour):
    await behaviour(door)
