"""A whole agent: three tools of its own, one that may run, one that needs approval and one that may not, and an MCP
server's beside them.
"""

import asyncio
import sys
import threading
from typing import Any

import pytest

pytest.importorskip("agents")

from agents import Agent, ToolGuardrailFunctionOutput, ToolInputGuardrail
from agents.exceptions import ToolInputGuardrailTripwireTriggered
from agents.mcp import MCPServerStdio

from aegis import Runtime
from aegis.adapters.openai_agents import govern_agent
from aegis.testing import MemoryAuditLogger
from tests.openai_agents import mail_server, office
from tests.openai_agents.scripted import World, as_tool, model, outputs, policy, run

RULES = {**office.RULES, "list_mail": "auto", "send_mail": "approve", "delete_mail": "block"}
CALLS: list[Any] = [
    *office.CALLS,
    ("list_mail", {"folder": "inbox"}),
    ("send_mail", {"to": "bob", "text": "hi"}),
    ("delete_mail", {"number": 1}),
]


@pytest.fixture(autouse=True)
def _nothing_done():
    office.DONE.clear()


@pytest.fixture
async def mail():
    server = MCPServerStdio(
        {"command": sys.executable, "args": [mail_server.__file__]}, name="mail", client_session_timeout_seconds=60
    )
    async with server:
        yield server


def clerk(mail: MCPServerStdio, calls: Any) -> Agent[Any]:
    agent = office.clerk(model(*calls))
    agent.mcp_servers.append(mail)
    return agent


def texts(result: Any) -> list[str]:
    return [output["text"] if isinstance(output, dict) else output for output in outputs(result)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("together", [False, True])
async def test_every_call_of_a_whole_run_ends_as_it_should(mail: MCPServerStdio, stream: bool, together: bool):
    world = World(RULES, True, False) if not together else World(RULES, True, True)
    calls = [CALLS] if together else CALLS
    result = await run(govern_agent(clerk(mail, calls), world.runtime, interrupt=False), stream=stream)
    assert result.final_output == "done"
    told = texts(result)
    sent = "sent 'hi' to bob" if together else "send_mail: denied by script"
    for text, beginning in zip(
        told,
        [
            "the contents of /in",
            "wrote /out",
            "delete_file: blocked",
            "3 letters in inbox",
            sent,
            "delete_mail: blocked",
        ],
        strict=True,
    ):
        assert text.startswith(beginning), text
    assert sorted(office.DONE) == ["read /in", "wrote 'hello' to /out"]
    ends = dict(world.log())
    assert ends == {
        "read_file": "success",
        "write_file": "success",
        "delete_file": "blocked",
        "list_mail": "success",
        "send_mail": "success" if together else "denied",
        "delete_mail": "blocked",
    }
    assert len(world.log()) == len(CALLS)


async def test_an_approval_that_nobody_gives_in_time_is_none():
    class Silent:
        def __init__(self) -> None:
            self.released = threading.Event()

        def ask(self, _request: Any) -> Any:
            self.released.wait(10)

        def withdraw(self, _request: Any) -> None:
            self.released.set()

    trail = MemoryAuditLogger()
    runtime = Runtime(policy=policy(**RULES), audit_logger=trail, approval_handler=Silent(), approval_timeout=0.05)
    result = await run(govern_agent(office.clerk(model(office.CALLS[1])), runtime, interrupt=False))
    assert "denied (timeout)" in outputs(result)[0]
    assert office.DONE == []
    assert trail.get_log()[0]["result_status"] == "denied"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_run_with_a_server_is_interrupted_once_and_goes_on_with_all_answers(mail: MCPServerStdio, stream: bool):
    world = World(RULES)
    agent = govern_agent(clerk(mail, [CALLS]), world.runtime)
    state = (await run(agent, stream=stream)).to_state()
    assert [item.tool_name for item in state.get_interruptions()] == ["write_file", "send_mail"]
    for interruption in state.get_interruptions():
        state.approve(interruption)
    result = await run(agent, state, stream=stream)
    assert result.final_output == "done"
    assert sorted(office.DONE) == ["read /in", "wrote 'hello' to /out"]
    assert "sent 'hi' to bob" in texts(result)
    assert sorted(world.log()) == sorted(
        [
            ("read_file", "success"),
            ("list_mail", "success"),
            ("delete_file", "blocked"),
            ("delete_mail", "blocked"),
            ("write_file", "pending_approval"),
            ("write_file", "success"),
            ("send_mail", "pending_approval"),
            ("send_mail", "success"),
        ]
    )


async def test_a_call_that_a_siblings_guardrail_cancels_is_on_record_as_cancelled():
    started = asyncio.Event()

    async def wait() -> str:
        """Wait."""
        started.set()
        await asyncio.Event().wait()
        return "never"

    async def trip(_data: Any) -> ToolGuardrailFunctionOutput:
        await asyncio.wait_for(started.wait(), 5)
        return ToolGuardrailFunctionOutput.raise_exception()

    world = World({"wait": "auto", "read_file": "auto"})
    tripping = as_tool(office.read_file, tool_input_guardrails=[ToolInputGuardrail(trip)])
    calls = [("wait", {}), ("read_file", {"path": "/in"})]
    agent: Agent[Any] = Agent("clerk", tools=[as_tool(wait), tripping], model=model(calls))
    with pytest.raises(ToolInputGuardrailTripwireTriggered):
        await run(govern_agent(agent, world.runtime))
    assert world.log() == [("wait", "cancelled")]
    assert office.DONE == []
