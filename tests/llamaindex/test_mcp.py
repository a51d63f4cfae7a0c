"""MCP servers behind LlamaIndex: BasicMCPClient, and the tools that McpToolSpec makes of it."""

from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("llama_index.core")
pytest.importorskip("llama_index.tools.mcp")

from llama_index.tools.mcp import BasicMCPClient, McpToolSpec  # type: ignore[import-untyped, unused-ignore]

from aegis import Runtime
from aegis.adapters.llamaindex import govern_mcp_client, govern_tools
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from tests.llamaindex.scripted import agent, outputs, policy
from tests.mcp.connections import IS_ERROR, connected, make_server

pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]


def read_note(title: str) -> str:
    if title == "missing":
        raise FileNotFoundError(title)
    return f"contents of {title}"


def send_note(to: str) -> str:
    return f"sent to {to}"


def delete_note(title: str) -> str:
    raise AssertionError("it was blocked")


class Notes(BasicMCPClient):  # type: ignore[misc, unused-ignore]
    """A client of a server in this process; all but the way there is the client's own."""

    def __init__(self) -> None:
        super().__init__("http://nowhere.invalid")

    @asynccontextmanager
    async def _run_session(self) -> Any:
        async with connected(make_server(read_note, send_note, delete_note)) as session:
            yield session


RULES = policy({"read_note": "auto", "send_note": "approve", "*": "block"})
TURNS = [
    [("read_note", {"title": "a"})],
    [("send_note", {"to": "bob"})],
    [("delete_note", {"title": "a"})],
    [("read_note", {"title": "missing"})],
]


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("door", ["client", "tools", "both"])
async def test_an_agent_with_an_mcp_server_is_governed_through_every_door(door: str, approved: bool):
    trail, handler = MemoryAuditLogger(), ScriptedApprovalHandler([approved])
    runtime = Runtime(policy=RULES, audit_logger=trail, approval_handler=handler)
    notes = Notes()
    if door in ("client", "both"):
        govern_mcp_client(notes, runtime, server="notes")
    tools: list[Any] = list(await McpToolSpec(notes).to_tool_list_async())
    if door in ("tools", "both"):
        tools = govern_tools(tools, runtime, target="notes")
    said = [text for _, text in await outputs(agent("FunctionAgent", tools, *TURNS))]
    assert "contents of a" in said[0]
    assert ("sent to bob" if approved else "denied") in said[1]
    assert "delete_note: blocked by rule" in said[2]
    assert len(handler.requests) == 1
    ended = [(entry["action_type"], entry["action_target"], entry["result_status"]) for entry in trail.get_log()]
    assert ended == [
        ("read_note", "notes", "success"),
        ("send_note", "notes", "success" if approved else "denied"),
        ("delete_note", "notes", "blocked"),
        ("read_note", "notes", "failed"),
    ]


async def test_a_governed_client_answers_with_results_and_is_governed_once():
    trail = MemoryAuditLogger()
    runtime = Runtime(policy=RULES, audit_logger=trail, approval_handler=ScriptedApprovalHandler())
    notes = govern_mcp_client(Notes(), runtime, server="notes")
    refused = await notes.call_tool("delete_note", {"title": "a"})
    assert getattr(refused, IS_ERROR)
    assert "blocked by rule" in refused.content[0].text
    assert not getattr(await notes.call_tool("read_note", {"title": "a"}), IS_ERROR)
    assert govern_mcp_client(notes, runtime, server="notes") is notes
    with pytest.raises(ValueError, match="already governed, as server 'notes'"):
        govern_mcp_client(notes, runtime, server="other")
    with pytest.raises(TypeError, match="BasicMCPClient"):
        govern_mcp_client(object(), runtime, server="notes")
    assert trail.count() == 2
