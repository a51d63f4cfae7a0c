"""`aegis_guardrails`: what a pair of guardrails can do, and what it says it cannot."""

import asyncio
import gc
from typing import Any

import pytest

pytest.importorskip("agents")

from agents import Agent, RunConfig, ToolExecutionConfig, ToolGuardrailFunctionOutput, ToolInputGuardrail, function_tool
from agents.exceptions import ToolInputGuardrailTripwireTriggered

from aegis import Policy
from aegis.adapters.openai_agents import aegis_guardrails
from aegis.errors import PolicyError
from aegis_core.record import Intent, Outcome
from tests.openai_agents.scripted import World, as_tool, model, outputs, policy, run

BEFORE_APPROVAL = RunConfig(
    tracing_disabled=True, tool_execution=ToolExecutionConfig(pre_approval_tool_input_guardrails=True)
)


def guarded(world: World, function: Any, **options: Any) -> Any:
    guardrails = aegis_guardrails(world.runtime)
    return as_tool(
        function, tool_input_guardrails=[guardrails.input], tool_output_guardrails=[guardrails.output], **options
    )


def agent(tool: Any, *calls: Any) -> Agent[Any]:
    return Agent("clerk", tools=[tool], model=model(*calls))


def write(path: str) -> str:
    """Write."""
    return f"wrote {path}"


async def test_malformed_arguments_which_guardrails_get_as_they_are_do_not_reach_the_tool():
    world = World({"write": "auto"})
    result = await run(agent(guarded(world, write), ("write", '{"path": "/safe", "path": "/etc/passwd"}')))
    assert "a name occurs twice" in outputs(result)[0]
    assert world.log() == [("write", "blocked")]


async def test_the_guardrails_of_one_tool_run_one_after_another_and_calls_of_it_at_the_same_time():
    order: list[str] = []
    both = asyncio.Barrier(2)

    async def first(data: Any) -> ToolGuardrailFunctionOutput:
        order.append("first")
        return ToolGuardrailFunctionOutput.allow()

    async def wait(path: str) -> str:
        order.append("ran")
        await asyncio.wait_for(both.wait(), 5)
        return path

    world = World({"wait": "auto"})
    tool = guarded(world, wait)
    tool.tool_input_guardrails.insert(0, ToolInputGuardrail(first))
    result = await run(agent(tool, [("wait", {"path": "a"}), ("wait", {"path": "b"})]))
    assert outputs(result) == ["a", "b"]
    assert order == ["first", "first", "ran", "ran"]
    ends = {entry["action_params"]["path"]: entry["result"] for entry in world.trail.get_log()}
    assert ends == {"a": "a", "b": "b"}


@pytest.mark.parametrize("approve", [True, False])
async def test_guardrails_that_the_sdk_runs_twice_decide_once(approve: bool):
    world = World({"write": "auto"})
    clerk = agent(guarded(world, write, needs_approval=True), ("write", {"path": "/x"}))
    result = await run(clerk, run_config=BEFORE_APPROVAL)
    assert world.log() == [], "nothing has run and nothing was decided"
    state = result.to_state()
    (interruption,) = state.get_interruptions()
    if approve:
        state.approve(interruption)
    else:
        state.reject(interruption)
    result = await run(clerk, state, run_config=BEFORE_APPROVAL)
    kinds = [type(record) for record in world.trail.records]
    assert kinds == ([Intent, Outcome] if approve else [])


async def test_a_call_that_is_blocked_before_approval_bothers_nobody_and_is_on_record_once():
    world = World({"write": "block"})
    clerk = agent(guarded(world, write, needs_approval=True), ("write", {"path": "/x"}))
    result = await run(clerk, run_config=BEFORE_APPROVAL)
    assert result.interruptions == []
    assert "block_write" in outputs(result)[0]
    assert world.log() == [("write", "blocked")]


async def test_a_call_that_needs_approval_is_put_to_the_handler_when_it_is_about_to_run():
    world = World({"write": "approve"}, True)
    clerk = agent(guarded(world, write, needs_approval=True), ("write", {"path": "/x"}))
    state = (await run(clerk, run_config=BEFORE_APPROVAL)).to_state()
    assert world.handler.requests == []
    state.approve(state.get_interruptions()[0])
    assert outputs(await run(clerk, state, run_config=BEFORE_APPROVAL)) == ["wrote /x"]
    assert len(world.handler.requests) == 1


async def test_of_a_sibling_that_another_guardrail_cancels_the_trail_does_not_claim_an_end():
    started = asyncio.Event()

    async def wait(path: str) -> str:
        started.set()
        await asyncio.Event().wait()
        return path

    async def trip(data: Any) -> ToolGuardrailFunctionOutput:
        await asyncio.wait_for(started.wait(), 5)
        return ToolGuardrailFunctionOutput.raise_exception()

    world = World({"wait": "auto"})
    tripping = as_tool(write, tool_input_guardrails=[ToolInputGuardrail(trip)])
    clerk: Agent[Any] = Agent(
        "clerk",
        tools=[guarded(world, wait), tripping],
        model=model([("wait", {"path": "a"}), ("write", {"path": "b"})]),
    )
    with pytest.raises(ToolInputGuardrailTripwireTriggered):
        await run(clerk)
    gc.collect()
    assert [type(record) for record in world.trail.records] == [Intent], "known to have begun; not known how it ended"


async def test_of_a_tool_that_raises_the_trail_does_not_claim_an_end():
    def explode() -> str:
        raise ValueError("boom")

    world = World({"explode": "auto"})
    guardrails = aegis_guardrails(world.runtime)
    tool = function_tool(
        explode,
        failure_error_function=None,
        tool_input_guardrails=[guardrails.input],
        tool_output_guardrails=[guardrails.output],
    )
    with pytest.raises(Exception, match="boom"):
        await run(agent(tool, ("explode", {})))
    assert [type(record) for record in world.trail.records] == [Intent]


async def test_a_tool_that_handles_its_failure_counts_as_a_success():
    def explode() -> str:
        raise ValueError("boom")

    world = World({"explode": "auto"})
    await run(agent(guarded(world, explode), ("explode", {})))
    assert (world.last["result_status"], world.last["result"]) == ("success", "failed: boom")


async def test_guardrails_judge_what_the_model_wrote_without_the_functions_defaults():
    def write_more(path: str, mode: str = "append") -> str:
        return mode

    world = World({"write_more": "auto"})
    tool = guarded(world, write_more, strict_mode=False)
    assert outputs(await run(agent(tool, ("write_more", {"path": "/x"})))) == ["append"]
    assert world.last["action_params"] == {"path": "/x"}


def test_a_policy_with_result_rules_is_refused_by_guardrails_now_and_later():
    rules = {"version": "1", "results": [{"name": "short", "match": {"type": "*"}, "max_bytes": 5}]}
    with pytest.raises(PolicyError, match="aegis_guardrails cannot alter what tools return"):
        aegis_guardrails(World(Policy.from_dict(rules)).runtime)
    world = World({})
    aegis_guardrails(world.runtime)
    with pytest.raises(PolicyError, match="short"):
        world.runtime.update_policy(Policy.from_dict(rules))
    world.runtime.update_policy(policy(write="auto"))


async def test_guardrails_name_their_tools_as_the_program_says():
    world = World({"write": "auto"})
    guardrails = aegis_guardrails(world.runtime, target="disk")
    tool = as_tool(write, tool_input_guardrails=[guardrails.input], tool_output_guardrails=[guardrails.output])
    await run(agent(tool, ("write", {"path": "/x"})))
    entry = world.last
    assert (entry["action_target"], entry["agent"], entry["labels"]) == ("disk", "clerk", {"tool_call_id": "call_1"})
    assert [entry["result_status"]] == ["success"]
