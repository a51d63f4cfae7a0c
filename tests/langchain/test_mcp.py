"""MCP servers behind a LangChain agent, through langchain-mcp-adapters (which needs version 1 of the MCP SDK)."""

from typing import Any

import pytest

pytest.importorskip("langchain")
pytest.importorskip("langchain_mcp_adapters")

from langchain.agents import create_agent
from langchain_mcp_adapters.tools import load_mcp_tools  # type: ignore[import-not-found, unused-ignore]

from aegis import Runtime
from aegis.adapters.langchain import AegisMiddleware, govern_tools
from aegis.adapters.mcp import govern_session
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from tests.langchain.scripted import answers, ask, model, policy
from tests.mcp.connections import connected, make_server

ran: list[str] = []
TURNS = [
    [("read_note", {"title": "a"}), ("send_note", {"to": "bob"}), ("delete_note", {"title": "a"})],
    [("read_note", {"title": "missing"}), ("read_note", {"titel": "a"})],
]


def read_note(title: str, lines: int = 3) -> str:
    ran.append(f"read {title}")
    if title == "missing":
        raise FileNotFoundError(title)
    return f"{lines} lines of {title}"


def send_note(to: str) -> str:
    ran.append(f"send {to}")
    return f"sent to {to}"


def delete_note(title: str) -> str:
    ran.append(f"delete {title}")
    return "deleted"


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("door", ["tools", "middleware", "session", "all"])
async def test_an_agent_with_an_mcp_server_is_governed_through_every_door(door: str, approved: bool):
    ran.clear()
    trail, handler = MemoryAuditLogger(), ScriptedApprovalHandler([approved])
    rules = policy({"read_note": "auto", "send_note": "approve", "*": "block"})
    runtime = Runtime(policy=rules, audit_logger=trail, approval_handler=handler)
    async with connected(make_server(read_note, send_note, delete_note)) as session:
        if door in ("session", "all"):
            govern_session(session, runtime, server="notes")
        tools: list[Any] = await load_mcp_tools(session)
        if door in ("tools", "all"):
            tools = govern_tools(tools, runtime, target="notes")
        middleware = [AegisMiddleware(runtime, target="notes")] if door in ("middleware", "all") else []
        agent: Any = create_agent(model(*TURNS), tools, middleware=middleware)
        state = await agent.ainvoke(ask())
    said = answers(state)
    assert said["1.1"] == ("success", "3 lines of a")
    assert said["1.2"][0] == ("success" if approved else "error")
    assert said["1.3"][0] == "error"
    assert "delete_note: blocked by rule" in said["1.3"][1]
    assert said["2.1"][0] == said["2.2"][0] == "error"
    assert sorted(ran) == ["read a", "read missing", *(["send bob"] if approved else [])]
    assert state["messages"][-1].content == "done"
    assert len(handler.requests) == 1
    ended = [(entry["action_type"], entry["action_target"], entry["result_status"]) for entry in trail.get_log()]
    assert sorted(ended[:3]) == [
        ("delete_note", "notes", "blocked"),
        ("read_note", "notes", "success"),
        ("send_note", "notes", "success" if approved else "denied"),
    ]
    assert [each for each in ended[3:] if each[2] != "failed"] == []


async def test_what_langchain_injects_into_an_mcp_tool_is_not_judged():
    trail = MemoryAuditLogger()
    runtime = Runtime(policy=policy({"*": "auto"}), audit_logger=trail)
    async with connected(make_server(read_note)) as session:
        tools = await load_mcp_tools(session)
        agent: Any = create_agent(model(TURNS[0][:1]), tools, middleware=[AegisMiddleware(runtime)])
        await agent.ainvoke(ask())
    (entry,) = trail.get_log()
    assert entry["action_params"] == {"title": "a"}
