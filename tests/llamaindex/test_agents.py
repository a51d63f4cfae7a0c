"""The whole loop of an agent whose tools are governed, in every kind of agent."""

import asyncio
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCall, ToolCallResult
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent

from aegis import Runtime
from aegis.adapters.llamaindex import govern_tools
from aegis.runtime.approval import QueueApprovalHandler
from aegis.runtime.audit import AuditLogger
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from aegis_core.approval.store import ApprovalStore
from tests.llamaindex.scripted import AGENTS, ALLOW_ALL, agent, model, outputs, policy

# LlamaIndex's agents look at every attribute of themselves and ask their context what is deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]

waiting: Any = lambda what: InputRequiredEvent(prefix=what)  # type: ignore[call-arg]  # noqa: E731
answered: Any = lambda said: HumanResponseEvent(response=said)  # type: ignore[call-arg]  # noqa: E731
POLICY = policy({"read": "auto", "send": "approve", "delete": "block"})
TURNS = [[("read", {"path": "a"})], [("send", {"to": "bob"})], [("delete", {"path": "a"})], [("read", {"path": "b"})]]


class Tools:
    """Three tools that note when they run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

        def read(path: str) -> str:
            """Read a file."""
            self.ran.append(f"read {path}")
            return f"contents of {path}"

        async def send(ctx: Context, to: str, text: str = "hello") -> str:
            """Send a message."""
            self.ran.append(f"send {to}")
            await ctx.store.set("sent", to)
            return f"sent {text!r} to {to}"

        def delete(path: str) -> str:
            """Delete a file."""
            self.ran.append(f"delete {path}")
            return "deleted"

        self.all = [FunctionTool.from_defaults(each) for each in (read, send, delete)]


@pytest.fixture
def trail() -> MemoryAuditLogger:
    return MemoryAuditLogger()


def runtime(trail: Any, policy: Any = POLICY, **options: Any) -> Runtime:
    options.setdefault("approval_handler", ScriptedApprovalHandler())
    return Runtime(policy=policy, audit_logger=trail, **options)


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("kind", AGENTS)
async def test_an_agent_reads_sends_when_approved_and_never_deletes(
    trail: MemoryAuditLogger, kind: str, approved: bool
):
    tools = Tools()
    governing = runtime(trail, approval_handler=ScriptedApprovalHandler([approved]))
    said = await outputs(agent(kind, govern_tools(tools.all, governing), *TURNS))
    assert said[0] == (False, "contents of a")
    assert said[1][0] is not approved
    assert ("sent 'hello' to bob" if approved else "denied by script") in said[1][1]
    assert said[2] == (True, "delete: blocked by rule 'block_2'. The call did not run.")
    assert said[3] == (False, "contents of b")
    assert tools.ran == ["read a", *(["send bob"] if approved else []), "read b"]
    log = trail.get_log()
    assert {entry["agent"] for entry in log} == {"clerk"}
    assert len({entry["session_id"] for entry in log}) == 1, "a run is a session"
    assert log[1]["action_params"] == {"to": "bob", "text": "hello"}, "the context is no argument"


async def test_an_approval_nobody_gives_in_time_is_a_no_and_the_agent_goes_on(trail: MemoryAuditLogger):
    class Silent:
        async def ask(self, request: Any) -> Any:
            await asyncio.Event().wait()

    governing = runtime(trail, approval_handler=Silent(), approval_timeout=0.05)
    said = await outputs(agent("FunctionAgent", govern_tools(Tools().all, governing), *TURNS))
    assert "denied (timeout)" in said[1][1]


async def test_a_call_that_waits_in_the_queue_runs_when_it_is_made_again_after_a_restart(tmp_path: Any):
    tools = Tools()
    for attempt in range(2):
        with AuditLogger(tmp_path / "audit.db", durable=False) as trail:
            governing = runtime(trail, approval_handler=QueueApprovalHandler(trail, wait=False))
            said = await outputs(agent("FunctionAgent", govern_tools(tools.all, governing), TURNS[1]))
            if attempt == 0:
                assert "pending" in said[0][1]
                (asked,) = ApprovalStore(trail).requests(pending=True)
                ApprovalStore(trail).answer(asked.id, approved=True, approver="alice", via="cli")
    assert said == [(False, "sent 'hello' to bob")]
    assert tools.ran == ["send bob"]


async def test_a_session_that_the_program_entered_is_the_session(trail: MemoryAuditLogger):
    governing = runtime(trail)
    with governing.session("conversation-7", user="ann"):
        await outputs(agent("FunctionAgent", govern_tools(Tools().all, governing), TURNS[0]))
    (entry,) = trail.get_log()
    assert (entry["session_id"], entry["user"], entry["agent"]) == ("conversation-7", "ann", "clerk")


async def test_each_agent_of_a_workflow_calls_under_its_own_name(trail: MemoryAuditLogger):
    tools = govern_tools(Tools().all, runtime(trail, ALLOW_ALL))
    handoff = ("handoff", {"to_agent": "second", "reason": "its turn"})
    first = FunctionAgent(name="first", description="1", tools=tools, llm=model(TURNS[0], [handoff]))
    second = FunctionAgent(name="second", description="2", tools=tools, llm=model(TURNS[1]))
    await outputs(AgentWorkflow(agents=[first, second], root_agent="first"))
    assert [(entry["agent"], entry["action_type"]) for entry in trail.get_log()] == [
        ("first", "read"),
        ("second", "send"),
    ]


@pytest.mark.parametrize("approved", [True, False])
async def test_a_tool_that_waits_for_an_event_is_asked_about_once(trail: MemoryAuditLogger, approved: bool):
    started: list[str] = []

    async def confirm(ctx: Context, what: str) -> str:
        """Have the user confirm something."""
        started.append(what)
        said = await ctx.wait_for_event(HumanResponseEvent, waiter_id=what, waiter_event=waiting(what))
        return f"{what}: {said.response}"

    handler = ScriptedApprovalHandler([approved])
    governing = runtime(trail, policy({"*": "approve"}), approval_handler=handler)
    tools = govern_tools([FunctionTool.from_defaults(confirm)], governing)
    run = agent("FunctionAgent", tools, [("confirm", {"what": "lunch"})]).run(user_msg="go")
    said = ""
    async for event in run.stream_events():
        if isinstance(event, InputRequiredEvent):
            run.ctx.send_event(answered("yes"))
        if isinstance(event, ToolCallResult):
            said = event.tool_output.content
    await run
    assert len(handler.requests) == 1
    assert started == (["lunch", "lunch"] if approved else []), "LlamaIndex starts it again when the event is there"
    assert ("lunch: yes" if approved else "denied") in said
    if approved:
        first, second = trail.get_log()
        assert (first["result_status"], second["result_status"]) == ("failed", "success")
        assert second["approver"] == f"call:{first['call_id']}"


async def test_the_yes_to_a_call_that_waits_covers_no_other_call(trail: MemoryAuditLogger):
    async def confirm(ctx: Context, what: str) -> str:
        """Have the user confirm something."""
        said = await ctx.wait_for_event(HumanResponseEvent, waiter_id=what, waiter_event=waiting(what))
        return f"{what}: {said.response}"

    handler = ScriptedApprovalHandler([True, False, False])
    governing = runtime(trail, policy({"*": "approve"}), approval_handler=handler)
    tools = govern_tools([FunctionTool.from_defaults(confirm)], governing)
    turns = [[("confirm", {"what": "lunch"})], [("confirm", {"what": "lunch"})], [("confirm", {"what": "tea"})]]
    run = agent("FunctionAgent", tools, *turns).run(user_msg="go")
    async for event in run.stream_events():
        if isinstance(event, InputRequiredEvent):
            run.ctx.send_event(answered("yes"))
    await run
    assert len(handler.requests) == 3


@pytest.mark.parametrize("kind", AGENTS)
async def test_what_an_agent_streams_is_the_same(trail: MemoryAuditLogger, kind: str):
    async def stream(tools: Any) -> list[Any]:
        handler = agent(kind, tools, *TURNS).run(user_msg="go")
        events = [event async for event in handler.stream_events()]
        await handler
        return [
            (type(event).__name__, event.model_dump(exclude={"tool_id", "raw"}) if isinstance(event, kept) else None)
            for event in events
        ]

    kept = (ToolCall, ToolCallResult)
    assert await stream(govern_tools(Tools().all, runtime(trail, ALLOW_ALL))) == await stream(Tools().all)
