"""examples/policies/filesystem-server.yaml against the server it is for, from npm. Skipped where that cannot be had."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("mcp")

from mcp import ClientSession, StdioServerParameters, stdio_client

from aegis import Action, Approval, Policy, Runtime
from aegis.adapters.mcp import govern_session
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from tests.mcp.connections import is_error, text_of
from tests.proxy.packages import npm

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PACKAGE, VERSION = "@modelcontextprotocol/server-filesystem", "2026.8.31"
POLICY = Policy.from_yaml(Path(__file__).parents[2] / "examples" / "policies" / "filesystem-server.yaml")
READS = {
    "read_file",
    "read_text_file",
    "read_media_file",
    "read_multiple_files",
    "list_directory",
    "list_directory_with_sizes",
    "list_allowed_directories",
    "directory_tree",
    "search_files",
    "get_file_info",
}
WRITES = {"write_file", "edit_file", "create_directory", "move_file"}


@pytest.fixture(scope="module")
def server() -> list[str]:
    """The command that starts the server."""
    modules = npm(f"{PACKAGE}@{VERSION}")
    return ["node", str(modules / PACKAGE / "dist" / "index.js")]


@asynccontextmanager
async def session_with(command: list[str], folder: Path) -> AsyncGenerator[ClientSession]:
    parameters = StdioServerParameters(command=command[0], args=[*command[1:], str(folder)])
    with Path(os.devnull).open("w") as errors:  # noqa: ASYNC230 - what the server says on standard error is not tested
        async with stdio_client(parameters, errlog=errors) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            yield session


async def test_each_of_its_tools_is_decided_by_a_rule_and_reads_run_and_writes_ask(server: list[str], tmp_path: Path):
    async with session_with(server, tmp_path) as session:
        tools = {tool.name for tool in (await session.list_tools()).tools}
    assert tools == READS | WRITES
    for tool in tools:
        decision = POLICY.evaluate(Action(tool, "filesystem", {"path": str(tmp_path)}))
        assert decision.matched_rule != "<default>", tool
        assert decision.approval is (Approval.AUTO if tool in READS else Approval.APPROVE), tool


async def test_reads_run_writes_ask_and_the_files_show_it(server: list[str], tmp_path: Path):
    folder = tmp_path.resolve()  # noqa: ASYNC240 - the test's own folder
    (folder / "a.txt").write_text("alpha\n")
    (folder / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    a, b, new = str(folder / "a.txt"), str(folder / "b.txt"), str(folder / "new")
    edit = {"oldText": "alpha", "newText": "beta"}
    reads: list[tuple[str, dict[str, Any]]] = [
        ("list_allowed_directories", {}),
        ("read_file", {"path": a}),
        ("read_text_file", {"path": a, "head": 1}),
        ("read_media_file", {"path": str(folder / "dot.png")}),
        ("read_multiple_files", {"paths": [a]}),
        ("list_directory", {"path": str(folder)}),
        ("list_directory_with_sizes", {"path": str(folder)}),
        ("directory_tree", {"path": str(folder)}),
        ("search_files", {"path": str(folder), "pattern": "*.txt"}),
        ("get_file_info", {"path": a}),
        ("edit_file", {"path": a, "edits": [edit], "dryRun": True}),
    ]
    writes: list[tuple[str, dict[str, Any]]] = [
        ("write_file", {"path": b, "content": "beta"}),
        ("edit_file", {"path": a, "edits": [edit]}),
        ("create_directory", {"path": new}),
        ("move_file", {"source": a, "destination": str(folder / "new" / "a.txt")}),
    ]
    trail, handler = MemoryAuditLogger(), ScriptedApprovalHandler([False] * 4 + [True] * 4)
    runtime = Runtime(policy=POLICY, audit_logger=trail, approval_handler=handler)
    async with session_with(server, folder) as session:
        govern_session(session, runtime, server="filesystem")
        for name, arguments in reads:
            result = await session.call_tool(name, arguments)
            assert not is_error(result), (name, text_of(result))
        assert handler.requests == [], "nobody was asked about reading"

        before = sorted(path.name for path in folder.rglob("*"))
        for name, arguments in writes:
            assert is_error(await session.call_tool(name, arguments)), name
        assert sorted(path.name for path in folder.rglob("*")) == before
        assert (folder / "a.txt").read_text() == "alpha\n"

        for name, arguments in writes:
            result = await session.call_tool(name, arguments)
            assert not is_error(result), (name, text_of(result))
        assert (folder / "new" / "a.txt").read_text() == "beta\n"
        assert (folder / "b.txt").read_text() == "beta"

        refused = await session.call_tool("read_text_file", {"path": str(folder.parent / "outside.txt")})
        assert "access denied" in text_of(refused).lower(), "paths are the server's business, and it minds it"
    assert [request.action.type for request in handler.requests] == [name for name, _ in writes] * 2
    ends = [entry["result_status"] for entry in trail.get_log()]
    assert ends == ["success"] * len(reads) + ["denied"] * 4 + ["success"] * 4 + ["failed"]
