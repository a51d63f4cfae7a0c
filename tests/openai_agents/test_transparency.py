"""Under a policy that allows everything a governed agent is the agent: models, tools and programs see no difference."""

import dataclasses
from typing import Any

import pytest

pytest.importorskip("agents")

from agents import (
    Agent,
    AgentHooks,
    FunctionTool,
    ModelSettings,
    RunContextWrapper,
    RunHooks,
    Runner,
    ToolOutputImage,
    ToolOutputText,
    function_tool,
    handoff,
    tool_namespace,
)
from agents.models.openai_responses import Converter
from agents.testing import ScriptedModel
from pydantic import BaseModel, Field

from aegis import Policy, governed
from aegis.adapters.openai_agents import govern_agent
from tests.mcp.connections import connected, make_server
from tests.openai_agents.scripted import OFFLINE, SessionServer, World, model

EVERYTHING = Policy.from_dict({"version": "1", "rules": [{"name": "all", "match": {"type": "*"}, "approval": "auto"}]})


class Place(BaseModel):
    """A place."""

    name: str = Field(description="What it is called.")
    height: float = 0.0


@function_tool
def climb(place: Place, times: int = 1) -> str:
    """Climb.

    Args:
        place: Where.
        times: How often.
    """
    return f"climbed {place.name} {times} times"


@function_tool(strict_mode=False)
async def picture(place: str, *, large: bool = False) -> list[Any]:
    """Take a picture."""
    return [ToolOutputText(text=place), ToolOutputImage(image_url="data:image/png;base64,AA==")]


@function_tool
def structured() -> Place:
    """Structured output."""
    return Place(name="K2", height=8611)


@function_tool
def failing() -> str:
    """Fail."""
    raise ValueError("boom")


async def by_hand(_context: Any, text: str) -> Any:
    return {"given": text}


RAW = FunctionTool("raw", "By hand.", {"type": "object", "properties": {}}, by_hand, strict_json_schema=False)


def echo(text: str) -> str:
    """Echo."""
    return text


CALLS: list[Any] = [
    [("climb", {"place": {"name": "K2"}}), ("picture", {"place": "K2", "large": True})],
    ("structured", {}),
    ("failing", {}),
    ("raw", '{ "a" : 1 }'),
    ("echo", {"text": "hello"}),
    ("climb", {"place": "nowhere"}),
    ("ask", {"input": "how?"}),
    ("pass_on", {}),
    ("climb", {"place": {"name": "K3"}, "times": 2}),
]


class Diary(AgentHooks[Any]):
    """Everything that an agent's hooks are told."""

    def __init__(self) -> None:
        self.pages: list[Any] = []

    async def on_start(self, context: Any, agent: Any) -> None:
        self.pages.append(("start", agent.name))

    async def on_end(self, context: Any, agent: Any, output: Any) -> None:
        self.pages.append(("end", agent.name, output))

    async def on_handoff(self, context: Any, agent: Any, source: Any) -> None:
        self.pages.append(("handoff", agent.name, source.name))

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.pages.append(("tool", agent.name, tool.name, context.tool_call_id, context.tool_arguments))

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: object) -> None:
        self.pages.append(("tool end", agent.name, tool.name, repr(result)))

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        self.pages.append(("llm", agent.name, system_prompt, repr(input_items)))


class RunDiary(RunHooks[Any]):
    """The same for a run's."""

    def __init__(self) -> None:
        self.pages: list[Any] = []

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: object) -> None:
        self.pages.append((agent.name, tool.name, repr(result)))


async def lived(*, ruled: bool, stream: bool) -> dict[str, Any]:
    """All that a run with everything in it shows."""
    diary, run_diary, scripted = Diary(), RunDiary(), model(*CALLS)
    inner = Agent("inner", tools=[climb], model=model(("climb", {"place": {"name": "K4"}})))
    second = Agent("second", tools=[climb], instructions="Go on.", model=scripted, hooks=diary)
    async with connected(make_server(echo)) as session:
        agent: Agent[Any] = Agent(
            "first",
            instructions="Do it.",
            tools=[
                climb,
                picture,
                structured,
                failing,
                RAW,
                inner.as_tool("ask", "Asks."),
                *tool_namespace(name="deep", description="Deep.", tools=[climb]),
            ],
            mcp_servers=[SessionServer(session)],
            handoffs=[handoff(second, tool_name_override="pass_on")],
            model=scripted,
            model_settings=ModelSettings(temperature=0.5),
            hooks=diary,
        )
        if ruled:
            agent = govern_agent(agent, World(EVERYTHING).runtime)
        events: list[Any] = []
        if stream:
            result: Any = Runner.run_streamed(agent, "go", run_config=OFFLINE, hooks=run_diary)
            events = [_shown(event) async for event in result.stream_events()]
        else:
            result = await Runner.run(agent, "go", run_config=OFFLINE, hooks=run_diary)
    return {
        "events": events,
        "items": [_shown(item) for item in result.new_items],
        "input": result.to_input_list(),
        "output": result.final_output,
        "agent": result.last_agent.name,
        "diary": diary.pages,
        "run diary": run_diary.pages,
        "model": [_told(call) for call in scripted.calls],
        "state": _without_ids(result.to_state().to_json()) if not stream else None,
    }


def _shown(thing: Any) -> Any:
    if hasattr(thing, "item"):
        return (type(thing).__name__, thing.name, _shown(thing.item))
    raw = getattr(thing, "raw_item", getattr(thing, "data", None))
    return (
        type(thing).__name__,
        repr(raw),
        repr(getattr(thing, "output", None)),
        repr(getattr(thing, "tool_origin", None)),
    )


def _told(call: Any) -> Any:
    """What a model is sent."""
    tools = Converter.convert_tools(call.tools, call.handoffs)
    return (call.system_instructions, repr(call.input), repr(tools), repr(call.model_settings))


def _without_ids(value: Any) -> Any:
    """What a run's state says, but for what is new in every run."""
    if isinstance(value, dict):
        return {key: _without_ids(item) for key, item in value.items() if key not in ("id", "approvals", "usage")}
    if isinstance(value, list):
        return [_without_ids(item) for item in value]
    return value


@pytest.mark.parametrize("stream", [False, True])
async def test_a_run_shows_no_difference(stream: bool):
    plain = await lived(ruled=False, stream=stream)
    ruled = await lived(ruled=True, stream=stream)
    assert plain["output"] == "done"
    assert plain["agent"] == "second"
    assert len(plain["items"]) > 2 * len(CALLS)
    for name, shown in plain.items():
        assert ruled[name] == shown, name


def test_an_agent_has_the_same_fields():
    agent: Agent[Any] = Agent("clerk", tools=[climb], instructions="Do it.", model=ScriptedModel())
    governed = govern_agent(agent, World(EVERYTHING).runtime)
    assert isinstance(governed, type(agent))
    assert type(governed).__name__ == "Agent"
    for field in dataclasses.fields(agent):
        if field.name not in ("tools", "hooks"):
            assert getattr(governed, field.name) == getattr(agent, field.name), field.name
    assert [tool.name for tool in governed.tools] == [tool.name for tool in agent.tools]


@pytest.mark.parametrize("kind", ["sync", "async", "context"])
def test_a_governed_function_innermost_makes_the_same_tool(kind: str):
    def plain(place: Place, times: int = 1) -> str:
        """Climb."""
        return place.name

    async def later(place: Place, times: int = 1) -> str:
        """Climb."""
        return place.name

    def told(context: RunContextWrapper[Any], place: Place, times: int = 1) -> str:
        """Climb."""
        return place.name

    function: Any = {"sync": plain, "async": later, "context": told}[kind]
    runtime = World(EVERYTHING).runtime
    bare, ruled = function_tool(function), function_tool(governed(runtime)(function))
    for name in ("name", "description", "params_json_schema", "strict_json_schema"):
        assert getattr(ruled, name) == getattr(bare, name), name
