"""MCP servers of the SDK: on stdio, governed as an agent's and called by the program itself."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agents")

from agents import Agent
from agents.mcp import MCPServerStdio, MCPUtil

from aegis import Policy
from aegis.adapters.openai_agents import aegis_guardrails, govern_agent, govern_mcp_server, govern_tool
from aegis_core.record import Intent, Outcome
from tests.mcp.connections import connected, is_error, make_server, text_of
from tests.openai_agents import mail_server
from tests.openai_agents.scripted import SessionServer, World, model, outputs, run

RULES = {"list_mail": "auto", "send_mail": "approve", "delete_mail": "block", "fail": "auto"}
LETTER = ("send_mail", {"to": "bob", "text": "hi"})
SERVER = Path(mail_server.__file__)


@pytest.fixture
async def mail() -> AsyncIterator[MCPServerStdio]:
    server = MCPServerStdio(
        {"command": sys.executable, "args": [str(SERVER)]}, name="mail", client_session_timeout_seconds=60
    )
    async with server:
        yield server


def agent(server: Any, **options: Any) -> Agent[Any]:
    return Agent("clerk", mcp_servers=[server], **options)


async def told(governed: Agent[Any], *calls: tuple[str, dict[str, Any]], stream: bool = False) -> list[str]:
    result = await run(governed, model=model(*calls), stream=stream)
    return [output["text"] if isinstance(output, dict) else output for output in outputs(result)]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_agents_calls_of_a_server_on_stdio_are_governed(mail: MCPServerStdio, stream: bool):
    world = World(RULES, True)
    governed = govern_agent(agent(mail), world.runtime, interrupt=False)
    calls: Any = [
        ("list_mail", {"folder": "sent"}),
        LETTER,
        ("delete_mail", {"number": 1}),
        ("fail", {"reason": "no stamps"}),
    ]
    answers = await told(governed, *calls, stream=stream)
    assert answers[:2] == ["3 letters in sent", "sent 'hi' to bob"]
    assert "block_delete_mail" in answers[2]
    assert "no stamps" in answers[3]
    assert world.log() == [
        ("list_mail", "success"),
        ("send_mail", "success"),
        ("delete_mail", "blocked"),
        ("fail", "failed"),
    ]
    assert {entry["action_target"] for entry in world.trail.get_log()} == {"mail"}
    assert {entry["agent"] for entry in world.trail.get_log()} == {"clerk"}
    assert "no stamps" in world.last["error"]


async def test_a_call_of_a_server_that_needs_approval_interrupts_the_run(mail: MCPServerStdio):
    world = World(RULES)
    governed = govern_agent(agent(mail, model=model(LETTER)), world.runtime)
    state = (await run(governed)).to_state()
    state.approve(state.get_interruptions()[0])
    result = await run(governed, state)
    assert outputs(result) == [{"type": "text", "text": "sent 'hi' to bob"}]
    assert world.log() == [("send_mail", "pending_approval"), ("send_mail", "success")]


async def test_a_rejected_call_of_a_server_is_on_record(mail: MCPServerStdio):
    world = World(RULES)
    governed = govern_agent(agent(mail, model=model(LETTER)), world.runtime)
    state = (await run(governed)).to_state()
    state.reject(state.get_interruptions()[0])
    await run(governed, state)
    assert world.log() == [("send_mail", "pending_approval"), ("send_mail", "denied")]


async def test_calling_a_governed_agents_server_directly_does_not_bypass_the_policy(mail: MCPServerStdio):
    world = World(RULES, False)
    govern_agent(agent(mail), world.runtime)
    for tool, arguments in (("delete_mail", {"number": 1}), LETTER):
        result = await mail.call_tool(tool, arguments)
        assert is_error(result)
        assert "did not run" in text_of(result)
    session: Any = mail.session
    assert is_error(await session.call_tool("delete_mail", {"number": 1}))
    assert text_of(await mail.call_tool("list_mail", None)) == "3 letters in inbox"
    assert world.log() == [
        ("delete_mail", "blocked"),
        ("send_mail", "denied"),
        ("delete_mail", "blocked"),
        ("list_mail", "success"),
    ]


async def test_tools_go_by_their_own_names_also_where_agents_prefix_them_with_the_servers(mail: MCPServerStdio):
    world = World({"list_mail": "block"})
    prefixed = agent(mail, mcp_config={"include_server_in_tool_names": True})
    (refusal,) = await told(govern_agent(prefixed, world.runtime), ("mcp_mail__list_mail", {}))
    assert "block_list_mail" in refusal
    assert (world.last["action_type"], world.last["action_target"]) == ("list_mail", "mail")


async def test_a_server_keeps_the_name_that_it_was_governed_under(mail: MCPServerStdio):
    world = World(RULES)
    govern_mcp_server(mail, world.runtime, target="post")
    await told(govern_agent(agent(mail), world.runtime, target="desk"), ("list_mail", {}))
    await mail.call_tool("list_mail", {})
    assert [entry["action_target"] for entry in world.trail.get_log()] == ["post", "post"]


async def test_malformed_arguments_never_reach_a_server(mail: MCPServerStdio):
    world = World(RULES)
    result = await run(govern_agent(agent(mail), world.runtime, interrupt=False), model=model(("list_mail", "{")))
    assert "are not JSON" in outputs(result)[0]
    assert world.log() == [("list_mail", "blocked")]


async def test_a_governed_server_is_the_same_server_in_everything_else(mail: MCPServerStdio):
    session, tools = mail.session, await mail.list_tools()
    governed = govern_mcp_server(mail, World(RULES).runtime)
    assert governed is mail
    assert isinstance(mail, MCPServerStdio)
    assert type(mail).__name__ == "MCPServerStdio"
    assert mail.session == session
    assert await mail.list_tools() == tools
    assert (await mail.list_prompts()).prompts == []


async def test_what_a_server_answers_comes_back_unchanged(mail: MCPServerStdio):
    before = await mail.call_tool("list_mail", {})
    govern_mcp_server(mail, World(RULES).runtime)
    assert await mail.call_tool("list_mail", {}) == before


async def test_every_attempt_of_a_server_that_retries_is_judged_and_recorded():
    attempts: list[int] = []

    class Flaky:
        async def call_tool(self, name: str, arguments: Any) -> Any:
            attempts.append(len(attempts))
            if len(attempts) < 3:
                raise ConnectionError("gone")
            async with connected(make_server(mail_server.list_mail)) as session:
                return await session.call_tool(name, arguments)

    world = World(RULES)
    server = MCPServerStdio({"command": "none"}, name="mail", max_retry_attempts=3, retry_backoff_seconds_base=0)
    server.session = Flaky()  # type: ignore[assignment]
    govern_mcp_server(server, world.runtime)
    assert text_of(await server.call_tool("list_mail", {})) == "3 letters in inbox"
    assert world.log() == [("list_mail", "failed"), ("list_mail", "failed"), ("list_mail", "success")]
    assert len(attempts) == 3


async def test_a_refusal_is_not_retried():
    world = World({"list_mail": "block"})
    server = MCPServerStdio({"command": "none"}, name="mail", max_retry_attempts=3, retry_backoff_seconds_base=0)
    server.session = object()  # type: ignore[assignment]
    govern_mcp_server(server, world.runtime)
    assert is_error(await server.call_tool("list_mail", {}))
    assert world.log() == [("list_mail", "blocked")]


async def test_a_server_that_is_governed_before_it_connects_is_governed_after():
    world = World({"list_mail": "block"})
    server = MCPServerStdio({"command": sys.executable, "args": [str(SERVER)]}, client_session_timeout_seconds=60)
    govern_mcp_server(server, world.runtime, target="mail")
    async with server:
        assert is_error(await server.call_tool("list_mail", {}))


async def test_a_server_of_the_programs_own_is_governed_where_it_is_called():
    world = World({"list_mail": "block"})
    async with connected(make_server(mail_server.list_mail)) as session:
        server = govern_mcp_server(SessionServer(session, "mail"), world.runtime)
        assert is_error(await server.call_tool("list_mail", {}))
    assert world.last["action_target"] == "mail"


async def test_credentials_in_a_servers_name_are_not_part_of_the_target():
    world = World({"list_mail": "auto"})
    async with connected(make_server(mail_server.list_mail)) as session:
        server = SessionServer(session, "sse: https://me:hunter2@mail.example/sse?token=t0ken")
        await told(govern_agent(agent(server), world.runtime), ("list_mail", {}))
        await server.call_tool("list_mail", {})
    assert [entry["action_target"] for entry in world.trail.get_log()] == ["sse: https://mail.example/sse"] * 2


async def test_a_tool_converted_by_the_program_is_governed_by_itself():
    world = World({"list_mail": "block"})
    async with connected(make_server(mail_server.list_mail)) as session:
        server = SessionServer(session, "mail")
        (listed,) = await server.list_tools()
        tool = govern_tool(MCPUtil.to_function_tool(listed, server, convert_schemas_to_strict=False), world.runtime)
        ungoverned: Agent[Any] = Agent("clerk", tools=[tool])
        assert "block_list_mail" in (await told(ungoverned, ("list_mail", {})))[0]
        assert world.last["action_target"] == "mail"


async def test_a_server_that_has_aegis_guardrails_asks_once_for_every_call():
    world = World({"list_mail": "auto"})
    async with connected(make_server(mail_server.list_mail)) as session:
        guardrails = aegis_guardrails(world.runtime, target="mail")
        server = SessionServer(
            session, "mail", tool_input_guardrails=[guardrails.input], tool_output_guardrails=[guardrails.output]
        )
        assert await told(agent(server), ("list_mail", {})) == ["3 letters in inbox"]
    assert world.log() == [("list_mail", "success")]


async def test_result_rules_apply_to_what_a_server_answers(mail: MCPServerStdio):
    document = {
        "version": "1",
        "rules": [{"name": "all", "match": {"type": "*"}, "approval": "auto"}],
        "results": [{"name": "short", "match": {"type": "send_mail"}, "max_bytes": 5}],
    }
    world = World(Policy.from_dict(document))
    governed = govern_agent(agent(mail), world.runtime)
    (through_agent,) = await told(governed, LETTER)
    direct = await mail.call_tool(*LETTER)
    assert through_agent.startswith("sent ")
    assert through_agent == text_of(direct)
    assert "bob" not in through_agent
    assert "bob" not in text_of(direct)


def test_governing_again_changes_nothing_and_governing_otherwise_is_refused():
    runtime, other = World({}).runtime, World({}).runtime
    server = govern_mcp_server(MCPServerStdio({"command": "none"}, name="mail"), runtime)
    cls = type(server)
    assert govern_mcp_server(server, runtime) is server
    assert govern_mcp_server(server, runtime, target="mail") is server
    assert type(server) is cls
    with pytest.raises(ValueError, match="already governed"):
        govern_mcp_server(server, other)
    with pytest.raises(ValueError, match="already governed"):
        govern_mcp_server(server, runtime, target="post")
    with pytest.raises(ValueError, match="already governed"):
        govern_agent(agent(server), other)
    thing: Any = object()
    with pytest.raises(TypeError, match="MCPServer"):
        govern_mcp_server(thing, runtime)


async def test_concurrent_calls_of_one_server_are_each_on_record():
    world = World(RULES)
    async with connected(make_server(mail_server.list_mail)) as session:
        server = govern_mcp_server(SessionServer(session, "mail"), world.runtime)
        results = await asyncio.gather(*(server.call_tool("list_mail", {"folder": str(n)}) for n in range(5)))
    assert sorted(map(text_of, results)) == [f"3 letters in {n}" for n in range(5)]
    kinds = [type(record) for record in world.trail.records]
    assert (kinds.count(Intent), kinds.count(Outcome)) == (5, 5)
