"""Approval by the SDK's own interruption: answered through the run's state, here or in another process."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agents")

from agents import Agent, RunState

from aegis import Policy
from aegis.adapters.openai_agents import govern_agent
from aegis.runtime.audit import AuditLogger
from aegis_core.approval.store import ApprovalStore
from tests.openai_agents import office
from tests.openai_agents.scripted import World, as_tool, model, outputs, policy, run

WRITE = ("write_file", {"path": "/out", "text": "hello"})
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _nothing_done():
    office.DONE.clear()


@pytest.fixture(params=["memory", "file"])
def world(request: pytest.FixtureRequest, tmp_path: Path):
    """A trail that holds no approvals, and one that does."""
    if request.param == "memory":
        yield World(office.RULES)
    else:
        trail = AuditLogger(tmp_path / "audit.db")
        yield World(office.RULES, audit_logger=trail)
        trail.close()


async def test_a_call_that_needs_approval_interrupts_the_run_and_does_not_run(world: World):
    result = await run(govern_agent(office.clerk(model(WRITE)), world.runtime))
    (interruption,) = result.interruptions
    assert (interruption.tool_name, json.loads(interruption.arguments)) == WRITE
    assert office.DONE == []
    assert world.log() == [("write_file", "pending_approval")]
    assert world.handler.requests == [], "the run asks, and nobody else"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_approved_call_runs_once_when_the_run_goes_on(world: World, stream: bool):
    agent = govern_agent(office.clerk(model(WRITE)), world.runtime)
    state = (await run(agent, stream=stream)).to_state()
    state.approve(state.get_interruptions()[0])
    result = await run(agent, state, stream=stream)
    assert result.final_output == "done"
    assert outputs(result) == ["wrote /out"]
    assert office.DONE == ["wrote 'hello' to /out"]
    assert world.log() == [("write_file", "pending_approval"), ("write_file", "success")]
    assert (world.last["human_decision"], world.last["approver"]) == ("approved", "RunState")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_rejected_call_does_not_run_and_its_rejection_is_on_record(world: World, stream: bool):
    agent = govern_agent(office.clerk(model(WRITE)), world.runtime)
    state = (await run(agent, stream=stream)).to_state()
    state.reject(state.get_interruptions()[0], rejection_message="not today")
    result = await run(agent, state, stream=stream)
    assert outputs(result) == ["not today"]
    assert office.DONE == []
    assert world.log() == [("write_file", "pending_approval"), ("write_file", "denied")]
    assert world.last["human_decision"] == "denied"


async def test_of_several_calls_those_that_may_run_do_and_each_answer_counts_for_its_own(world: World):
    calls = [*office.CALLS, ("write_file", {"path": "/other"})]
    agent = govern_agent(office.clerk(model(calls)), world.runtime)
    result = await run(agent)
    assert office.DONE == ["read /in"]
    state = result.to_state()
    first, second = state.get_interruptions()
    state.approve(first)
    state.reject(second)
    result = await run(agent, state)
    assert office.DONE == ["read /in", "wrote 'hello' to /out"]
    told = outputs(result)
    assert told[0] == "the contents of /in"
    assert any("block_delete_file" in output for output in told)
    ends = sorted(world.log())
    assert ends == [
        ("delete_file", "blocked"),
        ("read_file", "success"),
        ("write_file", "denied"),
        ("write_file", "pending_approval"),
        ("write_file", "pending_approval"),
        ("write_file", "success"),
    ]


async def test_an_unanswered_call_interrupts_again(world: World):
    agent = govern_agent(office.clerk(model(WRITE)), world.runtime)
    state = (await run(agent)).to_state()
    result = await run(agent, state)
    assert len(result.interruptions) == 1
    assert office.DONE == []


async def test_what_was_approved_is_judged_again_when_the_run_goes_on(world: World):
    agent = govern_agent(office.clerk(model(WRITE)), world.runtime)
    state = (await run(agent)).to_state()
    state.approve(state.get_interruptions()[0])
    world.runtime.update_policy(policy(write_file="block"))
    result = await run(agent, state)
    assert office.DONE == []
    assert "block_write_file" in outputs(result)[0]


async def test_approving_a_tool_for_good_approves_no_call(world: World):
    agent = govern_agent(office.clerk(model(WRITE, ("write_file", {"path": "/etc/passwd"}))), world.runtime)
    state = (await run(agent)).to_state()
    state.approve(state.get_interruptions()[0], always_approve=True)
    result = await run(agent, state)
    assert office.DONE == []
    assert all("approval required by rule 'approve_write_file'" in output for output in outputs(result))


async def test_a_state_whose_arguments_were_changed_after_the_yes_is_refused(world: World):
    agent = govern_agent(office.clerk(model(WRITE)), world.runtime)
    state = (await run(agent)).to_state()
    state.approve(state.get_interruptions()[0])
    text = state.to_string()
    assert "/out" in text
    tampered: Any = None
    with pytest.raises(Exception, match=r".") as refused:  # noqa: PT012 - the SDK refuses it sooner or later
        tampered = await RunState.from_string(agent, text.replace("/out", "/etc/passwd"))
        await run(agent, tampered)
    assert office.DONE == [], refused.value


async def test_a_run_in_observe_mode_is_not_interrupted():
    world = World(office.RULES, mode="observe")
    result = await run(govern_agent(office.clerk(model(list(office.CALLS))), world.runtime))
    assert result.interruptions == []
    assert len(office.DONE) == 3


async def test_a_tools_own_need_of_approval_is_kept(world: World):
    tool = as_tool(office.read_file, needs_approval=True)
    governed = govern_agent(Agent("clerk", tools=[tool], model=model(("read_file", {"path": "/in"}))), world.runtime)
    state = (await run(governed)).to_state()
    assert len(state.get_interruptions()) == 1
    assert world.log() == [], "the policy asks nobody"
    state.approve(state.get_interruptions()[0])
    await run(governed, state)
    assert office.DONE == ["read /in"]


async def test_a_tool_and_the_policy_can_both_ask_and_one_answer_is_enough(world: World):
    agent = Agent("clerk", tools=[as_tool(office.write_file, needs_approval=True)], model=model(WRITE))
    governed = govern_agent(agent, world.runtime)
    state = (await run(governed)).to_state()
    state.approve(state.get_interruptions()[0])
    await run(governed, state)
    assert office.DONE == ["wrote 'hello' to /out"]


async def test_arguments_the_sdk_would_ask_a_person_about_are_left_to_the_policy(world: World):
    # The SDK takes a needs_approval function for doubt about every call whose arguments validation changes.
    result = await run(govern_agent(office.clerk(model(("read_file", {"path": "/in", "more": 1}))), world.runtime))
    assert result.interruptions == []
    assert office.DONE == ["read /in"]


async def test_a_nested_agents_call_interrupts_the_outer_run(world: World):
    scripted = model(("ask_clerk", {"input": "write it"}))
    inner_model = model(WRITE)
    outer = Agent("boss", tools=[office.clerk(inner_model).as_tool("ask_clerk", "Asks the clerk.")], model=scripted)
    world.runtime.update_policy(policy(ask_clerk="auto", **office.RULES))
    governed = govern_agent(outer, world.runtime)
    state = (await run(governed)).to_state()
    (interruption,) = state.get_interruptions()
    assert interruption.tool_name == "write_file"
    state.approve(interruption)
    result = await run(governed, state)
    assert result.final_output == "done"
    assert office.DONE == ["wrote 'hello' to /out"]
    assert [end for end in world.log() if end[0] == "write_file"] == [
        ("write_file", "pending_approval"),
        ("write_file", "success"),
    ]


# --- with a trail that holds the request ---


@pytest.fixture
def filed(tmp_path: Path):
    trail = AuditLogger(tmp_path / "audit.db")
    yield World(office.RULES, audit_logger=trail)
    trail.close()


async def test_the_request_is_filed_and_the_answer_used_up_with_the_call(filed: World):
    agent = govern_agent(office.clerk(model(WRITE)), filed.runtime)
    state = (await run(agent)).to_state()
    store = ApprovalStore(filed.trail)
    (ticket,) = store.requests(pending=True)
    assert ticket.request["params"] == WRITE[1]
    state.approve(state.get_interruptions()[0])
    await run(agent, state)
    used = store.get(ticket.id)
    assert (used.state, used.approver, used.via) == ("used", "RunState", "openai-agents")
    assert used.consumed_by == filed.last["call_id"]


async def test_a_rejection_answers_the_request_that_was_filed(filed: World):
    agent = govern_agent(office.clerk(model(WRITE)), filed.runtime)
    state = (await run(agent)).to_state()
    state.reject(state.get_interruptions()[0])
    await run(agent, state)
    (ticket,) = ApprovalStore(filed.trail).requests()
    assert (ticket.state, ticket.approver) == ("denied", "RunState")


async def test_a_yes_to_another_rule_is_no_yes(filed: World):
    agent = govern_agent(office.clerk(model(WRITE)), filed.runtime)
    state = (await run(agent)).to_state()
    state.approve(state.get_interruptions()[0])
    stricter = {"name": "two_people", "match": {"type": "write_file"}, "approval": "approve", "risk_level": "critical"}
    filed.runtime.update_policy(Policy.from_dict({"version": "1", "rules": [stricter]}))
    result = await run(agent, state)
    assert office.DONE == []
    assert "two_people" in outputs(result)[0]
    assert filed.last["result_status"] == "pending_approval"


async def test_a_yes_after_the_request_has_expired_is_no_yes(filed: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(filed.runtime, "request_lifetime", 1.0)
    agent = govern_agent(office.clerk(model(WRITE)), filed.runtime)
    state = (await run(agent)).to_state()
    await asyncio.sleep(1.1)
    state.approve(state.get_interruptions()[0])
    await run(agent, state)
    assert office.DONE == []


async def test_a_call_approved_where_the_trail_is_read_runs_when_it_is_made_again(filed: World):
    await run(govern_agent(office.clerk(model(WRITE)), filed.runtime))
    store = ApprovalStore(filed.trail)
    store.answer(store.requests(pending=True)[0].id, approved=True, approver="alice", via="cli")
    result = await run(govern_agent(office.clerk(model(WRITE)), filed.runtime))
    assert result.interruptions == []
    assert office.DONE == ["wrote 'hello' to /out"]
    assert filed.last["approver"] == "alice"


async def test_a_no_where_the_trail_is_read_is_stronger_than_a_yes_in_the_state(filed: World):
    agent = govern_agent(office.clerk(model(WRITE)), filed.runtime)
    state = (await run(agent)).to_state()
    store = ApprovalStore(filed.trail)
    store.answer(store.requests(pending=True)[0].id, approved=False, approver="alice", via="cli")
    state.approve(state.get_interruptions()[0])
    await run(agent, state)
    assert office.DONE == []
    assert (filed.last["result_status"], filed.last["approver"]) == ("denied", "alice")


async def test_of_two_identical_calls_one_yes_runs_one(filed: World):
    agent = govern_agent(office.clerk(model([WRITE, WRITE])), filed.runtime)
    state = (await run(agent)).to_state()
    for interruption in state.get_interruptions():
        state.approve(interruption)
    await run(agent, state)
    assert len(office.DONE) == 1, "identical calls wait for one request, which one of them uses up"


# --- in another process ---


@pytest.mark.parametrize(
    ("answer", "done", "log"),
    [
        ("approve", ["wrote 'hello' to /out"], ["success"]),
        ("reject", [], ["denied"]),
        ("nothing", [], []),
    ],
)
async def test_a_run_goes_on_in_another_process(tmp_path: Path, answer: str, done: list[str], log: list[str]):
    database = tmp_path / "audit.db"
    trail = AuditLogger(database)
    world = World(office.RULES, audit_logger=trail)
    result = await run(govern_agent(office.clerk(model(list(office.CALLS))), world.runtime))
    written = tmp_path / "state.json"
    written.write_text(result.to_state().to_string(), encoding="utf-8")
    before = world.log()
    assert before.count(("write_file", "pending_approval")) == 1
    rules = json.dumps({"version": "1", "rules": [_rule(*item) for item in office.RULES.items()]})
    command = [sys.executable, "-m", "tests.openai_agents.office", str(database), rules, str(written), answer]
    finished = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert finished.returncode == 0, finished.stderr
    there = json.loads(finished.stdout)
    assert there["done"] == done
    assert there["interruptions"] == (1 if answer == "nothing" else 0)
    assert [end for _, end in world.log()[len(before) :]] == log
    assert trail.verify().ok
    trail.close()


def _rule(tool: str, approval: str) -> dict[str, Any]:
    return {"name": f"{approval}_{tool}", "match": {"type": tool}, "approval": approval}
