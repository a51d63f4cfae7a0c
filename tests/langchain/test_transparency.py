"""Under a policy that allows everything, a governed tool cannot be told from the tool."""

from typing import Annotated, Any

import pytest

pytest.importorskip("langchain")

from langchain.agents import AgentState, create_agent
from langchain.tools import InjectedState, InjectedStore, ToolRuntime
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, Tool, ToolException, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.prebuilt import ToolNode
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from pydantic import BaseModel

from aegis import Runtime
from aegis.adapters.langchain import AegisCallbackHandler, AegisMiddleware, govern_tool, govern_tools
from aegis.testing import MemoryAuditLogger
from tests.langchain.scripted import ALLOW_ALL, ask, model


class Query(BaseModel):
    """What to look for."""

    text: str
    limit: int = 3


@tool(args_schema=Query, return_direct=True, extras={"defer_loading": True})
def find(text: str, limit: int) -> str:
    """Find something."""
    return f"{limit} x {text}"


@tool(response_format="content_and_artifact")
def draw(shape: str) -> tuple[str, dict[str, str]]:
    """Draw a shape."""
    return f"a {shape}", {"svg": f"<{shape}/>"}


@tool
async def remember(
    note: str,
    state: Annotated[dict[str, Any], InjectedState],
    store: Annotated[Any, InjectedStore()],
    runtime: ToolRuntime,
) -> str:
    """Remember a note."""
    await store.aput(("notes",), note, {"seen": len(state["messages"])})
    return f"{note} after {len(state['messages'])} messages, call {runtime.tool_call_id}"


@tool
def go(runtime: ToolRuntime) -> Command[Any]:
    """Change the graph's state."""
    message = ToolMessage("went", tool_call_id=runtime.tool_call_id)
    return Command(update={"messages": [message], "place": "there"})


@tool
def fail(how: str) -> str:
    """Fail, one way or another."""
    if how == "handled":
        raise ToolException("out of ink")
    raise OSError(how)


fail.handle_tool_error = True
fail.handle_validation_error = "no such argument"
fail.metadata = {"team": "ops"}
fail.tags = ["risky"]


class Legacy(BaseTool):
    name: str = "legacy"
    description: str = "A tool of the class kind."

    def _run(self, a: int, b: int = 2) -> int:
        return a * b


TOOLS: list[BaseTool] = [find, draw, remember, go, fail, Legacy(), Tool("plain", str.upper, "Shout.")]


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(policy=ALLOW_ALL, audit_logger=MemoryAuditLogger())


@pytest.mark.parametrize("original", TOOLS, ids=lambda each: each.name)
def test_everything_that_can_be_asked_of_a_tool_is_the_same(runtime: Runtime, original: BaseTool):
    governed = govern_tool(original, runtime)
    assert isinstance(governed, type(original))
    assert type(governed).__name__ == type(original).__name__
    assert type(governed).__doc__ == type(original).__doc__
    for fact in (
        lambda it: it.model_dump(exclude={"args_schema", "func", "coroutine"}),
        lambda it: it.args,
        lambda it: it.args_schema,
        convert_to_openai_tool,
        lambda it: it.tool_call_schema.model_json_schema(),
        lambda it: it.get_output_jsonschema(),
        lambda it: it.is_single_input,
        lambda it: it.lc_id(),
        lambda it: it._injected_args_keys,
        lambda it: getattr(it, "func", None),
        lambda it: getattr(it, "coroutine", None),
    ):
        assert fact(governed) == fact(original)
    assert str(governed) == str(original)


CALLS = [
    ("find", {"text": "cats"}),
    ("find", {"text": "cats", "limit": "many"}),
    ("draw", {"shape": "circle"}),
    ("remember", {"note": "milk"}),
    ("go", {}),
    ("fail", {"how": "handled"}),
    ("fail", {}),
    ("legacy", {"a": 4}),
    ("plain", {"tool_input": "hey"}),
    ("nobody", {}),
]


class State(AgentState[Any]):
    place: str


def agents(runtime: Runtime, name: str, args: dict[str, Any]) -> dict[str, Any]:
    """The same agent without Aegis and behind each of its doors."""
    governed: list[Any] = govern_tools(TOOLS, runtime)

    def agent(tools: list[Any], *middleware: Any) -> Any:
        return create_agent(
            model([(name, args)]), tools, middleware=middleware, store=InMemoryStore(), state_schema=State
        )

    callback = {"callbacks": [AegisCallbackHandler(runtime)]}
    return {
        "without": agent(TOOLS),
        "tools": agent(governed),
        "middleware": agent(TOOLS, AegisMiddleware(runtime)),
        "both": agent(governed, AegisMiddleware(runtime)),
        "callback": agent(TOOLS).with_config(callback),
    }


RANDOM = {"id", "run_id", "parent_ids", "checkpoint_ns", "langgraph_checkpoint_ns"}


def plain(value: Any) -> Any:
    """Without what differs from run to run."""
    if isinstance(value, BaseModel):
        value = {"class": type(value).__name__, **dict(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in RANDOM}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return repr(value) if isinstance(value, Exception) else value


@pytest.mark.parametrize(("name", "args"), CALLS)
async def test_what_an_agent_returns_and_streams_is_the_same(runtime: Runtime, name: str, args: dict[str, Any]):
    for mode in "values", "updates", "messages", "custom", "events":
        seen: dict[str, Any] = {}
        for door, agent in agents(runtime, name, args).items():
            if mode == "events":
                stream = [event async for event in agent.astream_events(ask(), version="v2")]
                stream = [event for event in stream if event["event"].startswith("on_tool")]
            else:
                stream = [part async for part in agent.astream(ask(), stream_mode=mode)]
            seen[door] = plain(stream)
        for door, stream in seen.items():
            assert stream == seen["without"], (door, mode)


async def test_what_a_tool_node_returns_is_the_same(runtime: Runtime):
    from langgraph.graph import StateGraph

    for name, args in CALLS:
        message = {"role": "assistant", "content": "", "tool_calls": [{"name": name, "args": args, "id": "1"}]}
        answers = []
        for tools in TOOLS, govern_tools(TOOLS, runtime):
            graph: Any = StateGraph(State).add_node("tools", ToolNode(tools)).set_entry_point("tools")
            answers.append(plain(await graph.compile(store=InMemoryStore()).ainvoke({"messages": [message]})))
        assert answers[0] == answers[1]


async def test_a_tools_own_exception_ends_the_run_as_it_would_have(runtime: Runtime):
    for agent in agents(runtime, "fail", {"how": "the disk is gone"}).values():
        with pytest.raises(OSError, match="the disk is gone"):
            await agent.ainvoke(ask())


async def test_a_tool_that_answers_directly_ends_the_conversation_all_the_same(runtime: Runtime):
    for agent in agents(runtime, "find", {"text": "cats"}).values():
        assert isinstance((await agent.ainvoke(ask()))["messages"][-1], ToolMessage)


def test_a_governed_tool_is_made_of_any_class_once(runtime: Runtime):
    assert type(govern_tool(find, runtime)) is type(govern_tool(draw, runtime))
    assert issubclass(type(govern_tool(find, runtime)), StructuredTool)
