"""A governed function tool: what is judged, what the function gets, and what the model reads."""

import asyncio
import copy
import dataclasses
import enum
import json
import math
from pathlib import Path
from typing import Annotated, Any

import pytest

pytest.importorskip("agents")

from agents import Agent, FunctionTool, RunContextWrapper, function_tool, tool_namespace
from agents.exceptions import UserError
from agents.tool_context import ToolContext
from pydantic import AfterValidator, BaseModel, Field

from aegis import Policy
from aegis.adapters.openai_agents import govern_tool, govern_tools
from aegis.errors import AuditError
from aegis_core.request import ApprovalAnswer
from tests.openai_agents.scripted import World, as_tool, model, outputs, run


def agent(*tools: FunctionTool) -> Agent[Any]:
    return Agent("clerk", tools=list(tools))


async def call(tool: FunctionTool, arguments: dict[str, Any] | str, **options: Any) -> Any:
    """What the model reads after one call."""
    (output,) = outputs(await run(agent(tool), model=model((tool.name, arguments)), **options))
    return output


# --- what is judged ---


async def test_what_is_judged_are_the_arguments_the_function_gets_with_its_defaults():
    got: list[Any] = []

    def move(ctx: RunContextWrapper[Any], source: str, target: str = "/trash", force: bool = False) -> str:
        got.append((source, target, force))
        return "moved"

    world = World({"move": "auto"})
    await call(govern_tool(as_tool(move, strict_mode=False), world.runtime), {"source": "/a", "force": "true"})
    assert got == [("/a", "/trash", True)]
    assert world.last["action_params"] == {"source": "/a", "target": "/trash", "force": True}


async def test_a_rule_sees_a_default_that_the_model_left_out():
    def delete(path: str, recursive: bool = True) -> str:
        return "deleted"

    careful = {"name": "no_trees", "match": {"type": "delete"}, "conditions": {"param_eq": {"recursive": True}}}
    rules = [{**careful, "approval": "block"}, {"name": "rest", "match": {"type": "delete"}, "approval": "auto"}]
    world = World(Policy.from_dict({"version": "1", "rules": rules}))
    told = await call(govern_tool(as_tool(delete, strict_mode=False), world.runtime), {"path": "/a"})
    assert "no_trees" in told


class Kind(enum.Enum):
    FILE = "file"


class Item(BaseModel):
    path: Annotated[str, AfterValidator(lambda path: path.replace("..", "up"))]
    kind: Kind = Kind.FILE


async def test_the_function_gets_the_very_objects_whose_data_was_judged():
    validated: list[str] = []

    def once(path: str) -> str:
        validated.append(path)
        return f"{path}#{len(validated)}"

    got: list[Any] = []

    def send(item: Item, path: Annotated[str, AfterValidator(once)]) -> str:
        got.append((item, path))
        return "sent"

    world = World({"send": "auto"})
    tool = govern_tool(as_tool(send, strict_mode=False), world.runtime)
    await call(tool, {"item": {"path": "../x"}, "path": "/a"})
    assert got == [(Item.model_construct(path="up/x", kind=Kind.FILE), "/a#1")]
    assert world.last["action_params"] == {"item": {"path": "up/x", "kind": "file"}, "path": "/a#1"}


async def test_positional_and_keyword_rests_are_judged_under_their_names():
    got: list[Any] = []

    def many(first: int, *rest: int, **more: str) -> str:
        got.append((first, rest, more))
        return "ok"

    world = World({"many": "auto"})
    arguments = {"first": 1, "rest": [2, 3], "more": {"a": "b"}}
    await call(govern_tool(as_tool(many, strict_mode=False), world.runtime), arguments)
    assert got == [(1, (2, 3), {"a": "b"})]
    assert world.last["action_params"] == arguments


async def test_the_context_is_given_to_the_function_and_to_nobody_else():
    seen: list[Any] = []

    def whoami(ctx: ToolContext[dict[str, str]], greeting: str) -> str:
        seen.append((ctx.context, ctx.tool_call_id, ctx.tool_name))
        return greeting

    world = World({"whoami": "auto"})
    await call(govern_tool(as_tool(whoami), world.runtime), {"greeting": "hi"}, context={"secret": "s3cret"})
    assert seen == [({"secret": "s3cret"}, "call_1", "whoami")]
    assert world.last["action_params"] == {"greeting": "hi"}
    assert "s3cret" not in str(world.trail.get_log())


async def test_the_record_says_which_agent_called_and_which_call_it_was():
    world = World({"ping": "auto"})
    await call(govern_tool(as_tool(ping), world.runtime), {})
    assert (world.last["agent"], world.last["labels"]) == ("clerk", {"tool_call_id": "call_1"})


async def test_a_tool_made_by_hand_gets_its_text_as_the_model_wrote_it():
    got: list[str] = []

    async def invoke(_context: RunContextWrapper[Any], text: str) -> str:
        got.append(text)
        return "ok"

    text = '{ "b" : 1.50, "a" : "\\u00e9" }'
    world = World({"raw": "auto"})
    tool = FunctionTool("raw", "", {"type": "object", "properties": {}}, invoke, strict_json_schema=False)
    await call(govern_tool(tool, world.runtime), text)
    assert got == [text]
    assert world.last["action_params"] == {"a": "é", "b": 1.5}


def ping() -> str:
    """Ping."""
    return "pong"


async def test_no_text_at_all_is_no_arguments():
    world = World({"ping": "auto"})
    assert await call(govern_tool(as_tool(ping), world.runtime), "") == "pong"


# --- what cannot be read ---


@pytest.mark.parametrize(
    "text",
    [
        "rm -rf /",
        "{",
        "[]",
        '"text"',
        "null",
        '{"path": "/safe", "path": "/etc/passwd"}',
        '{"n": NaN}',
        '{"n": -Infinity}',
        " ",
    ],
)
async def test_malformed_arguments_are_refused_on_record_whatever_the_policy_says(text: str):
    got: list[str] = []

    async def invoke(_context: Any, given: str) -> str:
        got.append(given)
        return "ran"

    world = World({"raw": "auto"})
    tool = FunctionTool("raw", "", {"type": "object", "properties": {}}, invoke, strict_json_schema=False)
    told = await call(govern_tool(tool, world.runtime), text)
    assert got == []
    assert told.startswith("raw: its arguments are")
    assert told.endswith("The call did not run.")
    assert world.log() == [("raw", "blocked")]


async def test_arguments_nested_too_deep_are_refused_like_other_malformed_ones():
    world = World({"ping": "auto"})
    context: Any = ToolContext(None, tool_name="ping", tool_call_id="c", tool_arguments="")
    for text in ("[" * 100_000, '{"a":' * 100_000):  # the SDK's run loop itself chokes on these
        assert "The call did not run." in await govern_tool(as_tool(ping), world.runtime).on_invoke_tool(context, text)
    assert world.log() == [("ping", "blocked")] * 2


async def test_in_observe_mode_malformed_arguments_reach_the_tool_as_without_us():
    got: list[str] = []

    async def invoke(_context: Any, given: str) -> str:
        got.append(given)
        return "ran"

    world = World({"raw": "auto"}, mode="observe")
    tool = FunctionTool("raw", "", {"type": "object", "properties": {}}, invoke, strict_json_schema=False)
    assert await call(govern_tool(tool, world.runtime), "not json") == "ran"
    assert got == ["not json"]


@pytest.mark.parametrize("governed", [False, True])
async def test_arguments_that_do_not_fit_fail_as_without_us(governed: bool):
    def double(number: int) -> int:
        return 2 * number

    world = World({"double": "auto"})
    tool = as_tool(double)
    told = await call(govern_tool(tool, world.runtime) if governed else tool, {"number": "many"})
    assert told == "failed: Invalid JSON input for tool double"
    if governed:
        assert world.log() == [("double", "failed")]
        assert world.last["action_params"] == {"number": "many"}


# --- what comes back ---


async def test_a_refusal_is_a_text_for_the_model_and_the_run_goes_on():
    world = World({"ping": "block"})
    result = await run(agent(govern_tool(as_tool(ping), world.runtime)), model=model(("ping", {})))
    assert result.final_output == "done"
    assert outputs(result) == ["ping: blocked by rule 'block_ping'. The call did not run."]


class Report(BaseModel):
    lines: int


async def test_a_refusal_need_not_fit_the_output_schema():
    def report() -> Report:
        return Report(lines=3)

    world = World({"report": "block"})
    told = await call(govern_tool(as_tool(report, output_type=Report), world.runtime), {})
    assert "block_report" in told
    world.runtime.update_policy(World({"report": "auto"}).runtime.policy)
    assert await call(govern_tool(as_tool(report, output_type=Report), world.runtime), {}) == Report(lines=3)


@pytest.mark.parametrize("governed", [False, True])
async def test_a_failing_tool_is_explained_by_its_own_failure_function(governed: bool):
    def explode() -> str:
        raise ValueError("boom")

    world = World({"explode": "auto"})
    for tool, expected in (
        (as_tool(explode), "failed: boom"),
        (function_tool(explode), "An error occurred while running the tool. Please try again."),
    ):
        assert await call(govern_tool(tool, world.runtime) if governed else tool, {}) == expected
    if governed:
        assert world.log() == [("explode", "failed")] * 2
        assert world.last["error"] == "ValueError: boom"


@pytest.mark.parametrize("governed", [False, True])
async def test_an_exception_without_a_failure_function_ends_the_run_with_the_very_same_object(governed: bool):
    error = ValueError("boom")

    def explode() -> str:
        raise error

    world = World({"explode": "auto"})
    tool = function_tool(explode, failure_error_function=None)
    with pytest.raises(UserError) as raised:
        await call(govern_tool(tool, world.runtime) if governed else tool, {})
    assert raised.value.__cause__ is error


async def test_a_trail_that_cannot_be_written_stops_the_run_and_not_just_the_call():
    world = World({"ping": "auto"})
    world.trail.fail = AuditError("the disk is full")
    with pytest.raises(UserError, match="the disk is full") as raised:
        await call(govern_tool(as_tool(ping), world.runtime), {})
    assert isinstance(raised.value.__cause__, AuditError)


@pytest.mark.parametrize("governed", [False, True])
async def test_a_tool_that_takes_too_long_is_told_of_as_without_us(governed: bool):
    async def sleep() -> str:
        await asyncio.sleep(5)
        return "slept"

    world = World({"sleep": "auto"})
    tool = as_tool(sleep, timeout=0.05)
    told = await call(govern_tool(tool, world.runtime) if governed else tool, {})
    assert told == "Tool 'sleep' timed out after 0.05 seconds."
    if governed:
        assert world.log() == [("sleep", "cancelled")]


async def test_a_cancelled_function_in_a_thread_is_on_record_as_unknown():
    started, go = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> str:
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(5)
        return "done"

    world = World({"work": "auto"})
    task = asyncio.create_task(call(govern_tool(as_tool(work), world.runtime), {}))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.01)
    go.set()
    await asyncio.sleep(0.01)
    assert world.log() == [("work", "unknown")]


# --- edits ---


def _edit(**edits: Any) -> Any:
    def answer(request: Any) -> ApprovalAnswer:
        pointers = {f"/{name}": value for name, value in edits.items()}
        return ApprovalAnswer(request.id, request.digest, approved=True, approver="alice", edits=pointers)

    return answer


async def test_a_tool_runs_with_what_an_approver_made_of_its_arguments():
    got: list[Any] = []

    def send(ctx: ToolContext[Any], item: Item) -> str:
        got.append((item, json.loads(ctx.tool_arguments)))
        return "sent"

    world = World({"send": "approve"}, _edit(item={"path": "/b", "kind": "file"}), True)
    await call(govern_tool(as_tool(send, strict_mode=False), world.runtime), {"item": {"path": "/a"}})
    assert got == [(Item(path="/b"), {"item": {"path": "/b", "kind": "file"}})]


@pytest.mark.parametrize(
    ("edits", "why"),
    [
        ({"path": "../b"}, "makes something else of the changed arguments"),
        ({"path": 7}, "makes something else of the changed arguments"),
    ],
)
async def test_a_change_that_the_tool_would_change_again_does_not_run(edits: dict[str, Any], why: str):
    got: list[str] = []

    def send(path: Annotated[str, AfterValidator(lambda path: path.replace("..", "up"))]) -> str:
        got.append(path)
        return "sent"

    world = World({"send": "approve"}, _edit(**edits), True)
    told = await call(govern_tool(as_tool(send, strict_mode=False), world.runtime), {"path": "/a"})
    assert got == []
    assert why in told


# --- the copy ---


def test_a_governed_tool_is_the_tool_but_for_how_it_is_invoked():
    def send(item: Item, count: Annotated[int, Field(ge=1)] = 1) -> str:
        """Send something.

        Args:
            item: What to send.
        """
        return "sent"

    tool = function_tool(send, strict_mode=False, tool_input_guardrails=[], timeout=None)
    governed = govern_tool(tool, World({}).runtime)
    for field in dataclasses.fields(FunctionTool):
        if field.name != "on_invoke_tool":
            assert getattr(governed, field.name) == getattr(tool, field.name), field.name
    assert type(governed) is FunctionTool
    assert governed.qualified_name == tool.qualified_name
    assert not hasattr(governed, "__wrapped__"), "the function is not handed out ungoverned"
    assert hasattr(tool, "__wrapped__"), "the tool itself is as it was"


def test_governing_again_changes_nothing_and_governing_otherwise_is_refused():
    world, other = World({}), World({})
    tool = govern_tool(as_tool(ping), world.runtime, target="box")
    assert govern_tool(tool, world.runtime) is tool
    assert govern_tool(tool, world.runtime, target="box") is tool
    with pytest.raises(ValueError, match="already governed"):
        govern_tool(tool, world.runtime, target="other")
    with pytest.raises(ValueError, match="already governed"):
        govern_tool(tool, other.runtime)


@pytest.mark.parametrize("thing", [ping, "a name", None, Agent("x")])
def test_what_is_no_function_tool_is_refused(thing: Any):
    with pytest.raises(TypeError, match="FunctionTool"):
        govern_tool(thing, World({}).runtime)


async def test_a_copy_of_a_governed_tool_is_governed_and_fails_by_its_own_settings():
    def explode() -> str:
        raise ValueError("boom")

    world = World({"explode": "auto"})
    (namespaced,) = tool_namespace(name="crm", description="x", tools=[govern_tool(as_tool(explode), world.runtime)])
    assert namespaced.qualified_name == "crm.explode"
    copied = copy.copy(namespaced)
    copied._failure_error_function = lambda _context, error: f"copy: {error}"
    context: Any = ToolContext(None, tool_name="explode", tool_call_id="c", tool_arguments="{}")
    assert await copied.on_invoke_tool(context, "{}") == "copy: boom"
    assert await namespaced.on_invoke_tool(context, "{}") == "failed: boom"
    assert world.log() == [("explode", "failed")] * 2


async def test_a_tool_of_a_subclass_with_a_method_for_invoker_is_governed():
    class Counter(FunctionTool):
        def __init__(self) -> None:
            self.count = 0
            super().__init__("count", "", {"type": "object", "properties": {}}, self._invoke, strict_json_schema=False)

        async def _invoke(self, _context: Any, _text: str) -> str:
            self.count += 1
            return str(self.count)

    world = World({"count": "auto"})
    counter = Counter()
    governed = govern_tool(counter, world.runtime)
    assert type(governed) is Counter
    assert await call(governed, {}) == "1"
    assert world.log() == [("count", "success")]


async def test_tools_are_governed_together_and_under_a_name_of_the_programs():
    world = World({"ping": "auto"})
    (tool,) = govern_tools([as_tool(ping)], world.runtime, target="box")
    await call(tool, {})
    assert world.last["action_target"] == "box"


async def test_a_governed_tool_can_be_invoked_without_an_agent():
    world = World({"ping": "auto"})
    tool = govern_tool(as_tool(ping), world.runtime)
    context: Any = ToolContext(None, tool_name="ping", tool_call_id="c", tool_arguments="{}")
    assert await tool.on_invoke_tool(context, "{}") == "pong"
    assert world.last["agent"] is None


async def test_paths_and_numbers_of_a_schema_are_judged_as_what_they_say():
    got: list[Any] = []

    def store(path: Path, ratio: float) -> str:
        got.append((path, ratio))
        return "ok"

    world = World({"store": "auto"})
    await call(govern_tool(as_tool(store, strict_mode=False), world.runtime), {"path": "/data/../etc", "ratio": 1})
    assert got == [(Path("/data/../etc"), 1.0)]
    judged = world.trail.records[0].action.params
    assert (judged["path"], judged["ratio"]) == ("/data/../etc", 1.0)
    assert not math.isnan(judged["ratio"])
