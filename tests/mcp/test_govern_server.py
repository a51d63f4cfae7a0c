"""`govern_server` on real servers: whoever calls a tool, the call is governed; nothing else changes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

pytest.importorskip("mcp")

from aegis import Policy
from aegis.adapters.mcp import govern_server
from tests.mcp.connections import MAJOR, connected, is_error, make_server, text_of
from tests.mcp.scenes import ALLOW_ALL, Files, eras, log_of, make_runtime, make_showcase, transcript, types


@eras
async def test_a_server_governs_its_own_tools_under_its_own_name(era: str):
    files, runtime = Files(), make_runtime()
    async with connected(govern_server(files.server, runtime), era) as session:
        assert text_of(await session.call_tool("read_file", {"path": "a"})) == "content of a"
        refused = await session.call_tool("delete_file", {"path": "a"})
    assert is_error(refused)
    assert "blocked by rule 'block_deletes'" in text_of(refused)
    assert files.ran == [("read_file", "a")]
    assert {entry["action_target"] for entry in log_of(runtime)} == {"files"}


@eras
async def test_another_name_can_be_given(era: str):
    runtime = make_runtime()
    async with connected(govern_server(Files().server, runtime, target="disk"), era) as session:
        await session.call_tool("read_file", {"path": "a"})
    assert log_of(runtime)[0]["action_target"] == "disk"


@eras
async def test_under_an_allow_all_policy_a_governed_server_is_no_different(era: str):
    async with connected(make_showcase(), era) as session:
        plain = await transcript(session, None)
    runtime = make_runtime(policy=ALLOW_ALL)
    async with connected(govern_server(make_showcase(), runtime), era) as session:
        governed = await transcript(session, None)
    assert governed == plain
    assert [entry["result_status"] for entry in log_of(runtime)].count("failed") == 2  # fails, and add without a number


def make_lowlevel(ran: list[str]) -> Any:
    t = types()
    Server = import_module("mcp.server.lowlevel").Server  # noqa: N806 - a class

    if MAJOR == 2:

        async def list_tools(_context: Any, _params: Any) -> Any:
            return t.ListToolsResult(tools=[])

        async def on_call(_context: Any, params: Any) -> Any:
            ran.append(params.name)
            return t.CallToolResult(content=[t.TextContent(type="text", text="done")])

        return Server("low", on_list_tools=list_tools, on_call_tool=on_call)

    server = Server("low")

    @server.list_tools()
    async def list_no_tools() -> Any:
        return []

    @server.call_tool()
    async def call_tool(name: str, _arguments: Any) -> Any:
        ran.append(name)
        return [t.TextContent(type="text", text="done")]

    return server


@eras
async def test_a_lowlevel_server_is_governed(era: str):
    ran: list[str] = []
    async with connected(govern_server(make_lowlevel(ran), make_runtime()), era) as session:
        assert not is_error(await session.call_tool("read_it", {}))
        assert is_error(await session.call_tool("delete_it", {}))
    assert ran == ["read_it"]


@pytest.mark.skipif(MAJOR == 1, reason="mcp 1.x has no middleware")
@eras
async def test_it_judges_what_other_middleware_made_of_the_request(era: str):
    from dataclasses import replace

    files = Files()

    async def rename(context: Any, call_next: Any) -> Any:
        if context.method == "tools/call":
            context = replace(context, params={**context.params, "name": "delete_file"})
        return await call_next(context)

    files.server.middleware.append(rename)
    async with connected(govern_server(files.server, make_runtime()), era) as session:
        assert is_error(await session.call_tool("read_file", {"path": "a"}))
    assert files.ran == []


def test_governing_a_server_again_changes_nothing_and_otherwise_is_refused():
    server, runtime = make_server(), make_runtime()
    assert govern_server(govern_server(server, runtime), runtime) is server
    with pytest.raises(ValueError, match="already governed by another runtime"):
        govern_server(server, make_runtime())
    with pytest.raises(ValueError, match="already governed by this runtime as 'notes'"):
        govern_server(server, runtime, target="other")


def test_anything_but_a_server_is_refused_in_one_sentence():
    with pytest.raises(TypeError, match=r"govern_server takes .*got <object"):
        govern_server(object(), make_runtime())


@pytest.mark.skipif(MAJOR == 2, reason="mcp 2.x has middleware, which does not mind")
def test_a_server_without_a_handler_to_govern_is_refused():
    server = import_module("mcp.server.lowlevel").Server("empty")
    with pytest.raises(ValueError, match="register it"):
        govern_server(server, make_runtime())


@eras
async def test_a_server_without_anybody_to_ask_denies_and_says_so(era: str):
    from aegis.runtime.approval import DenyAllApprovalHandler

    files = Files()
    runtime = make_runtime(approval_handler=DenyAllApprovalHandler())
    async with connected(govern_server(files.server, runtime), era) as session:
        refused = await session.call_tool("write_file", {"path": "a", "content": "b"})
    assert "approvals are switched off" in text_of(refused)
    assert files.ran == []


@eras
async def test_a_policy_put_in_force_later_governs_the_next_call(era: str):
    files, runtime = Files(), make_runtime()
    async with connected(govern_server(files.server, runtime), era) as session:
        assert not is_error(await session.call_tool("read_file", {"path": "a"}))
        runtime.update_policy(Policy.from_dict({"version": "1"}))
        assert is_error(await session.call_tool("read_file", {"path": "a"}))
    assert files.ran == [("read_file", "a")]
