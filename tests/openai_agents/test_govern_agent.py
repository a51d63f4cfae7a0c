"""A governed agent: everything it has, can hand over to, and is given later; and what it is refused for."""

import copy
import dataclasses
from typing import Any

import pytest

pytest.importorskip("agents")

from agents import (
    Agent,
    AgentHooks,
    CodeInterpreterTool,
    FileSearchTool,
    Handoff,
    ImageGenerationTool,
    RunContextWrapper,
    ShellTool,
    Tool,
    ToolSearchTool,
    WebSearchTool,
    handoff,
)
from agents.realtime import RealtimeAgent
from agents.run_config import SandboxRunConfig
from agents.sandbox import SandboxAgent
from agents.sandbox.capabilities import Shell
from agents.testing import scripted_sandbox_session
from agents.tool import ProgrammaticToolCallingTool

from aegis.adapters.openai_agents import govern_agent, govern_tool
from aegis.errors import AegisError
from tests.openai_agents.scripted import OFFLINE, World, as_tool, model, outputs, run

HOSTED: list[Any] = [
    WebSearchTool(),
    FileSearchTool(["vs_1"]),
    CodeInterpreterTool({"type": "code_interpreter", "container": "auto"}),
    ImageGenerationTool({"type": "image_generation"}),
    ToolSearchTool(),
    ProgrammaticToolCallingTool(),
    ShellTool(environment={"type": "container_auto"}),
]


def ping() -> str:
    """Ping."""
    return "pong"


def agent(name: str = "clerk", **options: Any) -> Agent[Any]:
    return Agent(name, **{"tools": [as_tool(ping)], **options})


async def told(governed: Agent[Any], *calls: tuple[str, dict[str, Any]], stream: bool = False) -> list[Any]:
    return outputs(await run(governed, model=model(*(calls or [("ping", {})])), stream=stream))


async def asked(governed: Agent[Any], *, stream: bool = False) -> list[Any]:
    """What is told of a call of the tool ``ask``, by agents that have models of their own."""
    governed.model = model(("ask", {"input": "ping!"}))
    return outputs(await run(governed, stream=stream))


BLOCKED = ["ping: blocked by rule 'block_ping'. The call did not run."]


# --- everything it has ---


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plain_handoff_target_is_governed(stream: bool):
    world = World({"ping": "block"})
    governed = govern_agent(agent("first", tools=[], handoffs=[agent("second")]), world.runtime)
    assert await told(governed, ("transfer_to_second", {}), ("ping", {}), stream=stream) == BLOCKED
    assert world.last["agent"] == "second"


async def test_a_handoff_object_hands_over_to_a_governed_agent():
    world = World({"ping": "block"})
    heard: list[Any] = []

    async def on_handoff(_context: RunContextWrapper[Any]) -> None:
        heard.append("over")

    to_second = handoff(agent("second"), on_handoff=on_handoff, tool_name_override="pass_on")
    governed = govern_agent(agent("first", tools=[], handoffs=[to_second]), world.runtime)
    assert await told(governed, ("pass_on", {}), ("ping", {})) == BLOCKED
    assert heard == ["over"]


async def test_a_handoff_that_picks_its_target_when_it_happens_hands_over_to_a_governed_agent():
    world = World({"ping": "block"})

    async def pick(_context: RunContextWrapper[Any], _text: str) -> Agent[Any]:
        return agent("picked")

    somewhere: Any = Handoff("somewhere", "", {}, pick, "picked")
    governed = govern_agent(agent("first", tools=[], handoffs=[somewhere]), world.runtime)
    assert await told(governed, ("somewhere", {}), ("ping", {})) == BLOCKED


async def test_agents_that_hand_over_to_each_other_are_governed_once():
    world = World({"ping": "block"})
    first, second = agent("first"), agent("second")
    first.handoffs.append(second)
    second.handoffs.append(first)
    governed = govern_agent(first, world.runtime)
    (other,) = governed.handoffs
    assert isinstance(other, Agent)
    assert other.handoffs == [governed]
    assert other.handoffs[0] is governed
    calls: Any = [("transfer_to_second", {}), ("transfer_to_first", {}), ("ping", {})]
    assert await told(governed, *calls) == BLOCKED


@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_used_as_a_tool_is_governed_and_so_is_the_call_of_it(stream: bool):
    world = World({"ping": "block", "ask": "auto"})
    inner = agent("inner", model=model(("ping", {})))
    outer = agent("outer", tools=[inner.as_tool("ask", "Asks.", on_stream=(lambda _event: None) if stream else None)])
    await asked(govern_agent(outer, world.runtime), stream=stream)
    assert world.log() == [("ask", "success"), ("ping", "blocked")]
    assert [entry["agent"] for entry in world.trail.get_log()] == ["outer", "inner"]
    world.runtime.update_policy(World({"ping": "auto", "ask": "block"}).runtime.policy)
    (refusal,) = await asked(govern_agent(outer, world.runtime))
    assert "block_ask" in refusal


async def test_an_agent_deep_inside_agents_used_as_tools_is_governed():
    world = World({"ping": "block", "ask": "auto", "ask_too": "auto"})
    inner = agent("inner", model=model(("ping", {})))
    middle = agent("middle", tools=[inner.as_tool("ask_too", "Asks.")], model=model(("ask_too", {"input": "x"})))
    outer = agent("outer", tools=[middle.as_tool("ask", "Asks.")])
    await asked(govern_agent(outer, world.runtime))
    assert world.log()[-1] == ("ping", "blocked")


async def test_an_agent_behind_a_tool_that_was_governed_by_itself_is_governed_too():
    world = World({"ping": "block", "ask": "auto"})
    inner = agent("inner", model=model(("ping", {})))
    tool = govern_tool(inner.as_tool("ask", "Asks."), world.runtime, target="staff")
    await asked(govern_agent(agent("outer", tools=[tool]), world.runtime))
    assert [(entry["action_type"], entry["action_target"]) for entry in world.trail.get_log()] == [
        ("ask", "staff"),
        ("ping", "openai-agents"),
    ]


async def test_a_governed_agent_makes_a_governed_tool():
    world = World({"ping": "block"})
    inner = govern_agent(agent("inner", model=model(("ping", {}))), world.runtime)
    await asked(agent("outer", tools=[inner.as_tool("ask", "Asks.")]))
    assert world.log() == [("ping", "blocked")]


async def test_the_agent_itself_stays_as_it_was():
    world = World({"ping": "block"})
    inner, second = agent("inner"), agent("second")
    first = agent("first", tools=[as_tool(ping), inner.as_tool("ask", "Asks.")], handoffs=[second])
    before = copy.copy(first.tools), copy.copy(first.handoffs)
    govern_agent(first, world.runtime)
    assert (first.tools, first.handoffs) == before
    assert type(first) is Agent
    assert await told(first) == ["pong"]
    assert await told(second) == ["pong"]


# --- what it is given later ---


async def test_a_clone_is_governed():
    world = World({"ping": "block", "sing": "block"})

    def sing() -> str:
        return "la"

    governed = govern_agent(agent(), world.runtime)
    assert await told(governed.clone(instructions="Be kind.")) == BLOCKED
    clone = governed.clone(name="singer", tools=[as_tool(sing)], handoffs=[agent("second")])
    assert "block_sing" in (await told(clone, ("sing", {})))[0]
    assert world.last["agent"] == "singer"
    assert await told(clone, ("transfer_to_second", {}), ("ping", {})) == BLOCKED
    assert await told(dataclasses.replace(governed, name="other")) == BLOCKED
    assert await told(copy.copy(governed)) == BLOCKED


async def test_a_clone_of_another_name_calls_by_that_name():
    world = World({"ping": "approve"})
    clone = govern_agent(agent(), world.runtime).clone(name="other")
    await run(clone, model=model(("ping", {})))
    assert world.last["agent"] == "other"


async def test_tools_and_handoffs_that_are_added_later_are_governed():
    world = World({"ping": "block"})
    governed = govern_agent(agent(tools=[]), world.runtime)
    governed.tools.append(as_tool(ping))
    governed.handoffs.append(agent("second"))
    assert await told(governed) == BLOCKED
    assert await told(governed, ("transfer_to_second", {}), ("ping", {})) == BLOCKED
    governed.tools = [as_tool(ping)]
    assert await told(governed) == BLOCKED


async def test_tools_that_a_class_of_agents_brings_by_itself_are_governed():
    class Resourceful(Agent[Any]):
        async def get_all_tools(self, run_context: RunContextWrapper[Any]) -> list[Tool]:
            return [*await super().get_all_tools(run_context), as_tool(ping)]

    world = World({"ping": "block"})
    governed = govern_agent(Resourceful("clerk"), world.runtime)
    assert isinstance(governed, Resourceful)
    assert await told(governed) == BLOCKED


@pytest.mark.parametrize("approval", ["block", "approve"])
async def test_an_agent_in_a_sandbox_is_governed_with_the_tools_that_the_sandbox_brings(approval: str):
    world = World({"exec_command": approval})
    boxed = SandboxAgent("box", capabilities=[Shell()], model=model(("exec_command", {"cmd": "rm -rf /"})))
    governed = govern_agent(boxed, world.runtime)
    session = scripted_sandbox_session([{"method": "exec", "error": AssertionError("it ran")}])
    config = dataclasses.replace(OFFLINE, sandbox=SandboxRunConfig(session=session))
    result = await run(governed, run_config=config)
    if approval == "approve":
        state = result.to_state()
        state.reject(state.get_interruptions()[0], rejection_message="no")
        result = await run(governed, state, run_config=config)
        assert outputs(result) == ["no"]
    assert [end for _, end in world.log()] == (["blocked"] if approval == "block" else ["pending_approval", "denied"])


async def test_the_programs_own_hooks_are_called_as_without_us():
    heard: list[str] = []

    class Hooks(AgentHooks[Any]):
        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            heard.append(f"start {tool.name}")

        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: object) -> None:
            heard.append(f"end {result}")

        async def on_llm_start(self, *_args: Any) -> None:
            heard.append("llm")

    governed = govern_agent(agent(hooks=Hooks()), World({"ping": "auto"}).runtime)
    await told(governed)
    assert heard == ["llm", "start ping", "end pong", "llm"]
    governed.hooks = None
    await told(governed)
    assert len(heard) == 4


# --- what cannot be governed ---


@pytest.mark.parametrize("tool", HOSTED, ids=lambda tool: tool.name)
def test_a_tool_that_runs_out_of_reach_is_refused_by_name_unless_it_is_allowed_by_name(tool: Any):
    runtime = World({}).runtime
    with pytest.raises(
        AegisError, match=rf"{type(tool).__name__} \('{tool.name}'\) of agent 'clerk' cannot be governed"
    ):
        govern_agent(agent(tools=[tool]), runtime)
    with pytest.raises(AegisError, match=tool.name):
        govern_agent(agent(tools=[tool]), runtime, allow_hosted=["something_else"])
    assert govern_agent(agent(tools=[tool]), runtime, allow_hosted=[tool.name]).tools == [tool]


def test_a_computer_is_refused():
    from agents import AsyncComputer, ComputerTool

    class Nothing(AsyncComputer):
        pass

    Nothing.__abstractmethods__ = frozenset()
    tool = ComputerTool(Nothing())  # type: ignore[abstract]
    with pytest.raises(AegisError, match="computer_use_preview"):
        govern_agent(agent(tools=[tool]), World({}).runtime)


@pytest.mark.parametrize("where", ["handoff", "handoff object", "nested"])
def test_what_cannot_be_governed_is_refused_wherever_it_can_be_reached(where: str):
    bad = agent("bad", tools=[WebSearchTool()])
    reached: Any = {
        "handoff": {"handoffs": [bad]},
        "handoff object": {"handoffs": [handoff(bad)]},
        "nested": {"tools": [bad.as_tool("ask", "Asks.")]},
    }[where]
    with pytest.raises(AegisError, match="WebSearchTool"):
        govern_agent(agent("first", **reached), World({}).runtime)


async def test_what_cannot_be_governed_and_is_added_later_ends_the_run():
    governed = govern_agent(agent(), World({"ping": "auto"}).runtime)
    governed.tools.append(WebSearchTool())
    with pytest.raises(AegisError, match="WebSearchTool"):
        await told(governed)


async def test_a_stored_prompt_is_refused_unless_it_is_allowed():
    runtime = World({"ping": "auto"}).runtime
    with pytest.raises(AegisError, match="stored prompt"):
        govern_agent(agent(prompt={"id": "pmpt_1"}), runtime)
    assert await told(govern_agent(agent(prompt={"id": "pmpt_1"}), runtime, allow_hosted=["prompt"])) == ["pong"]
    clone = govern_agent(agent(), runtime).clone(prompt={"id": "pmpt_1"})
    with pytest.raises(AegisError, match="stored prompt"):
        await told(clone)


def test_a_handoff_that_is_neither_an_agent_nor_a_handoff_is_refused():
    class Legacy:
        agent = agent("second")

    handoffs: Any = [Legacy()]
    with pytest.raises(AegisError, match="neither"):
        govern_agent(agent("first", handoffs=handoffs), World({}).runtime)


@pytest.mark.parametrize(
    "thing", [RealtimeAgent("x"), as_tool(ping), "clerk", None], ids=["realtime", "tool", "text", "none"]
)
def test_what_is_no_agent_is_refused(thing: Any):
    with pytest.raises(TypeError, match=r"agents\.Agent"):
        govern_agent(thing, World({}).runtime)


# --- twice ---


def test_governing_again_changes_nothing_and_governing_otherwise_is_refused():
    runtime, other = World({}).runtime, World({}).runtime
    governed = govern_agent(agent(), runtime)
    assert govern_agent(governed, runtime) is governed
    with pytest.raises(ValueError, match="already governed"):
        govern_agent(governed, other)
    with pytest.raises(ValueError, match="already governed"):
        govern_agent(governed, runtime, interrupt=False)
    with pytest.raises(ValueError, match="already governed by another runtime"):
        govern_agent(agent(tools=[govern_tool(as_tool(ping), other)]), runtime)


async def test_a_tool_that_was_governed_by_itself_keeps_its_terms():
    world = World({"ping": "approve"}, True)
    tool = govern_tool(as_tool(ping), world.runtime, target="box")
    assert await told(govern_agent(agent(tools=[tool]), world.runtime)) == ["pong"]
    assert len(world.handler.requests) == 1, "the runtime's handler was asked, and the run not interrupted"
    assert world.last["action_target"] == "box"
    assert len(world.trail.get_log()) == 1


async def test_a_tool_of_a_governed_agent_can_be_given_to_another_agent():
    world = World({"ping": "approve"}, True)
    first = govern_agent(agent("first"), world.runtime)
    second = govern_agent(agent("second", tools=list(first.tools)), world.runtime)
    await run(second, model=model(("ping", {})))
    assert world.last["agent"] == "second"
