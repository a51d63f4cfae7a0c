"""`govern_session` on real sessions: every way to call a tool is governed, and nothing else changes."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("mcp")

import anyio

from aegis import Policy, Runtime
from aegis.adapters.mcp import govern_server, govern_session
from aegis.runtime.audit import AuditLogger
from tests.mcp.connections import MAJOR, connected, is_error, make_server, text_of
from tests.mcp.scenes import (
    ALLOW_ALL,
    RULES,
    Files,
    eras,
    log_of,
    make_runtime,
    make_showcase,
    memory_streams,
    protocol_error,
    transcript,
    types,
)

if TYPE_CHECKING:
    from pathlib import Path

    from aegis.runtime.approval import ApprovalAnswer, ApprovalRequest

# --- every way to call a tool ---


@eras
async def test_call_tool_is_governed(era: str):
    files, runtime = Files(), make_runtime()
    async with connected(files.server, era) as session:
        assert govern_session(session, runtime, server="files") is session
        assert text_of(await session.call_tool("read_file", {"path": "a"})) == "content of a"
        refused = await session.call_tool("delete_file", {"path": "a"})
    assert is_error(refused)
    assert "blocked by rule 'block_deletes'" in text_of(refused)
    assert files.ran == [("read_file", "a")]
    assert [(e["action_type"], e["action_target"], e["result_status"]) for e in log_of(runtime)] == [
        ("read_file", "files", "success"),
        ("delete_file", "files", "blocked"),
    ]


@eras
async def test_a_request_built_by_hand_is_governed(era: str):
    files = Files()
    async with connected(files.server, era) as session:
        govern_session(session, make_runtime(), server="files")
        t = types()
        request = t.CallToolRequest(params=t.CallToolRequestParams(name="delete_file", arguments={"path": "a"}))
        if MAJOR == 1:
            request = t.ClientRequest(request)
        refused = await session.send_request(request, t.CallToolResult)
    assert is_error(refused)
    assert files.ran == []


@pytest.mark.skipif(MAJOR == 1, reason="mcp 1.x has no dispatcher")
@eras
async def test_a_raw_request_is_governed(era: str):
    files = Files()
    async with connected(files.server, era) as session:
        govern_session(session, make_runtime(), server="files")
        refused = await session._dispatcher.send_raw_request("tools/call", {"name": "delete_file", "arguments": {}})
        with pytest.raises(TypeError, match="must be a string"):
            await session._dispatcher.send_raw_request("tools/call", None)
    assert refused["isError"]
    assert files.ran == []


@pytest.mark.skipif(MAJOR == 2, reason="tasks left the protocol with mcp 2.x")
@pytest.mark.filterwarnings("ignore:The experimental tasks API:DeprecationWarning")
async def test_a_call_as_a_task_is_governed_and_its_refusal_is_a_protocol_error():
    from mcp import McpError  # type: ignore[attr-defined]

    files, runtime = Files(), make_runtime()
    async with connected(files.server) as session:
        govern_session(session, runtime, server="files")
        with pytest.raises(McpError, match="blocked by rule 'block_deletes'"):
            await session.experimental.call_tool_as_task("delete_file", {"path": "a"})
    assert files.ran == []
    assert len(log_of(runtime)) == 1


@eras
async def test_every_session_of_a_group_is_governed_under_its_own_name(era: str):
    from mcp import ClientSessionGroup

    files, other, runtime = Files(), Files(), make_runtime()
    runtime.update_policy(
        Policy.from_dict(
            {"version": "1", "rules": [{"name": "files_only", "match": {"target": "files"}, "approval": "auto"}]}
        )
    )
    info = types().Implementation(name="the server says so", version="1")
    async with connected(files.server, era) as first, connected(other.server, era) as second:
        group = ClientSessionGroup(component_name_hook=lambda name, _info: f"{len(group.tools)}_{name}")
        govern_session(await group.connect_with_session(info, first), runtime, server="files")
        govern_session(await group.connect_with_session(info, second), runtime, server="other")
        results = {
            name: await group.call_tool(name, {"path": "a"}) for name in group.tools if name.endswith("read_file")
        }
    assert [is_error(result) for result in results.values()] == [False, True]
    assert (files.ran, other.ran) == ([("read_file", "a")], [])


async def test_a_group_itself_is_refused_with_the_way_to_govern_it():
    from mcp import ClientSessionGroup

    with pytest.raises(TypeError, match="govern each session as it connects"):
        govern_session(ClientSessionGroup(), make_runtime(), server="all")


@pytest.mark.skipif(MAJOR == 1, reason="mcp 1.x has no Client")
@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
@pytest.mark.parametrize("entered", [False, True])
async def test_a_client_is_governed_before_or_after_it_is_entered(mode: str, entered: bool):
    from mcp import Client

    files = Files()
    client = Client(files.server, mode=mode)
    if not entered:
        assert govern_session(client, make_runtime(), server="files") is client
    async with client as connection:
        if entered:
            govern_session(connection, make_runtime(), server="files")
        assert text_of(await connection.call_tool("read_file", {"path": "a"})) == "content of a"
        assert is_error(await connection.call_tool("delete_file", {"path": "a"}))
    assert files.ran == [("read_file", "a")]


async def test_a_session_can_be_governed_before_it_is_entered():
    # The plain way, without a client around it: streams, session, initialize.
    files = Files()
    async with memory_streams(files.server) as (read, write):
        from mcp import ClientSession

        async with govern_session(ClientSession(read, write), make_runtime(), server="files") as session:
            await session.initialize()
            assert is_error(await session.call_tool("delete_file", {"path": "a"}))
    assert files.ran == []


# --- everything else is untouched ---


@eras
async def test_under_an_allow_all_policy_a_governed_session_is_no_different(era: str):
    server = make_showcase()
    async with connected(server, era) as session:
        plain = await transcript(session, server)
    runtime = make_runtime(policy=ALLOW_ALL)
    async with connected(server, era) as session:
        govern_session(session, runtime, server="showcase")
        governed = await transcript(session, server)
    assert governed == plain
    called = [entry["action_type"] for entry in log_of(runtime)]
    assert called == ["add", "echo", "big", "count", "fails", "add", "rich"]


@eras
async def test_a_tool_that_reports_an_error_is_recorded_as_failed_with_its_words(era: str):
    runtime = make_runtime(policy=ALLOW_ALL)
    async with connected(make_showcase(), era) as session:
        govern_session(session, runtime, server="showcase")
        assert is_error(await session.call_tool("fails", {}))
    (entry,) = log_of(runtime)
    assert entry["result_status"] == "failed"
    assert "it does not work" in entry["error"]


@eras
async def test_a_big_result_comes_back_whole_and_is_recorded_in_bounds(era: str):
    runtime = make_runtime(policy=ALLOW_ALL)
    async with connected(make_showcase(), era) as session:
        govern_session(session, runtime, server="showcase")
        assert len(text_of(await session.call_tool("big", {}))) == 2**20
    (entry,) = log_of(runtime)
    assert entry["result_status"] == "success"
    assert len(str(entry)) < 2**18


@eras
async def test_a_call_without_arguments_is_sent_without_arguments(era: str):
    files, runtime = Files(), make_runtime()
    async with connected(files.server, era) as session:
        govern_session(session, runtime, server="files")
        assert text_of(await session.call_tool("nothing")) == "nothing"
    assert log_of(runtime)[0]["action_params"] == {}


@eras
async def test_an_error_of_the_protocol_is_raised_as_it_is_and_recorded_as_failed(era: str):
    runtime = make_runtime(policy=ALLOW_ALL)
    server = make_server()
    t = types()

    async def refuse(*_args: Any) -> Any:
        raise protocol_error("no such thing")

    if MAJOR == 2:
        server._lowlevel_server.add_request_handler("tools/call", t.CallToolRequestParams, refuse)
    else:
        server._mcp_server.request_handlers[t.CallToolRequest] = refuse
    async with connected(server, era) as session:
        govern_session(session, runtime, server="broken")
        with pytest.raises(type(protocol_error("")), match="no such thing"):
            await session.call_tool("anything", {})
    assert log_of(runtime)[0]["result_status"] == "failed"


@eras
async def test_a_read_timeout_is_raised_and_recorded_and_does_not_count_the_wait_for_a_person(era: str):
    async def write_slowly(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "written"

    def take_your_time(request: ApprovalRequest) -> Any:
        import time

        time.sleep(0.4)
        return request.approve(approver="slow")

    runtime = make_runtime(take_your_time, True)
    async with connected(make_server(write_slowly), era) as session:
        govern_session(session, runtime, server="files")
        timeout: Any = 0.3 if MAJOR == 2 else timedelta(seconds=0.3)
        done = await session.call_tool("write_slowly", {"seconds": 0}, read_timeout_seconds=timeout)
        assert text_of(done) == "written"
        with pytest.raises(type(protocol_error("")), match=r"(?i)timed out"):
            await session.call_tool("write_slowly", {"seconds": 5}, read_timeout_seconds=timeout)
    assert [entry["result_status"] for entry in log_of(runtime)] == ["success", "failed"]


# --- what was approved is what runs ---


@eras
async def test_arguments_changed_while_a_person_looks_at_them_do_not_reach_the_server(era: str):
    files = Files()
    arguments = {"path": "safe.txt", "content": "x"}

    def change_them(request: ApprovalRequest) -> Any:
        arguments["path"] = "/etc/passwd"
        return request.approve(approver="script")

    async with connected(files.server, era) as session:
        govern_session(session, make_runtime(change_them), server="files")
        await session.call_tool("write_file", arguments)
    assert files.ran == [("write_file", "safe.txt", "x")]


@pytest.mark.skipif(MAJOR == 1, reason="mcp 1.x copies a request before it is sent")
async def test_a_raw_request_changed_while_a_person_looks_at_it_does_not_reach_the_server():
    files = Files()
    params: dict[str, Any] = {"name": "write_file", "arguments": {"path": "safe.txt", "content": "x"}}

    def change_it(request: ApprovalRequest) -> Any:
        params["name"] = "delete_file"
        params["arguments"]["path"] = "/etc/passwd"
        return request.approve(approver="script")

    async with connected(files.server) as session:
        govern_session(session, make_runtime(change_it), server="files")
        await session._dispatcher.send_raw_request("tools/call", params)
    assert files.ran == [("write_file", "safe.txt", "x")]


@pytest.mark.skipif(MAJOR == 1, reason="mcp 1.x repeats no arguments in headers")
async def test_what_http_headers_repeat_of_the_arguments_follows_an_approvers_edit():
    def edit(request: ApprovalRequest) -> ApprovalAnswer:
        yes = request.approve(approver="script")
        return dataclasses.replace(yes, edits={"path": "safe.txt"})

    files, sent = Files(), []
    rule = {**RULES[1], "conditions": {"param_eq": {"path": "a"}}}
    runtime = make_runtime(
        edit, policy=Policy.from_dict({"version": "1", "defaults": {"approval": "auto"}, "rules": [rule]})
    )
    async with connected(files.server, "stateless") as session:
        session._x_mcp_header_maps["write_file"] = {("path",): "Path", ("content",): "Content"}
        dispatcher = session._dispatcher

        async def spy(method: str, params: Any, opts: Any = None) -> Any:
            sent.append(opts["headers"])
            return await type(dispatcher).send_raw_request(dispatcher, method, params, opts)

        dispatcher.send_raw_request = spy
        govern_session(session, runtime, server="files")
        await session.call_tool("write_file", {"path": "a", "content": "b"})
    assert files.ran == [("write_file", "safe.txt", "b")]
    call = next(headers for headers in sent if headers["mcp-method"] == "tools/call")
    assert (call["Mcp-Param-Path"], call["Mcp-Param-Content"], call["mcp-name"]) == ("safe.txt", "b", "write_file")


@eras
async def test_the_wrapped_tool_never_loses_its_arguments_on_the_way_to_policy(era: str):
    # A peer's wrapper showed the policy {} and sent the rest.
    files = Files()
    rule = {
        "name": "no_secrets",
        "match": {"type": "read_file"},
        "conditions": {"param_matches": {"path": "secret"}},
        "approval": "block",
    }
    runtime = make_runtime(policy=Policy.from_dict({"version": "1", "defaults": {"approval": "auto"}, "rules": [rule]}))
    async with connected(files.server, era) as session:
        govern_session(session, runtime, server="files")
        assert is_error(await session.call_tool("read_file", {"path": "my secret"}))
        assert not is_error(await session.call_tool("read_file", {"path": "diary"}))
    assert files.ran == [("read_file", "diary")]
    assert [entry["action_params"] for entry in log_of(runtime)] == [{"path": "my secret"}, {"path": "diary"}]


@eras
async def test_a_call_cancelled_while_it_waits_for_a_person_never_reaches_the_server(era: str):
    files, asked = Files(), asyncio.Event()

    async def never(request: ApprovalRequest) -> Any:
        asked.set()
        await asyncio.Event().wait()

    class Handler:
        ask = staticmethod(never)

    runtime = make_runtime(approval_handler=Handler())
    async with connected(files.server, era) as session:
        govern_session(session, runtime, server="files")
        task = asyncio.create_task(session.call_tool("write_file", {"path": "a", "content": "b"}))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert text_of(await session.call_tool("read_file", {"path": "a"})) == "content of a", "the session lives on"
    assert files.ran == [("read_file", "a")]
    assert [entry["result_status"] for entry in log_of(runtime)] == ["cancelled", "success"]


@eras
async def test_a_cancel_scope_around_a_call_works_as_without_us(era: str, tmp_path: Path):
    # anyio cancels again at every await, also while the end of the call is being written down.
    async def read_for_ever() -> str:
        await anyio.sleep(60)
        return "never"

    trail = AuditLogger(db_path=tmp_path / "aegis_audit.db")
    runtime = Runtime(policy=ALLOW_ALL, audit_logger=trail)
    async with connected(make_server(read_for_ever), era) as session:
        govern_session(session, runtime, server="files")
        with anyio.move_on_after(0.05) as scope:
            await session.call_tool("read_for_ever", {})
        with pytest.raises(TimeoutError), anyio.fail_after(0.05):
            await session.call_tool("read_for_ever", {})
    assert scope.cancelled_caught
    assert [entry["result_status"] for entry in trail.get_log()] == ["cancelled", "cancelled"]
    trail.close()


# --- what the policy says about results ---

RESULTS = {
    "version": "1",
    "defaults": {"approval": "auto"},
    "results": [
        {"name": "mask_the_path", "match": {"type": "read_file"}, "redact": {"patterns": ["passwd"]}},
        {"name": "keep_it", "match": {"type": "delete_file"}, "block": True},
    ],
}


@eras
@pytest.mark.parametrize("door", ["session", "server"])
async def test_result_rules_change_what_comes_back_and_nothing_else_does(era: str, door: str):
    files, runtime = Files(), make_runtime(policy=Policy.from_dict(RESULTS))
    if door == "server":
        govern_server(files.server, runtime)
    async with connected(files.server, era) as session:
        if door == "session":
            govern_session(session, runtime, server="files")
        read = await session.call_tool("read_file", {"path": "/etc/passwd"})
        assert "content of /etc/" in text_of(read)
        assert "passwd" not in read.model_dump_json()
        withheld = await session.call_tool("delete_file", {"path": "a"})
        assert "withheld" in text_of(withheld)
        assert "deleted a" not in withheld.model_dump_json()
        assert text_of(await session.call_tool("write_file", {"path": "passwd", "content": ""})) == "wrote passwd"
    assert [entry["changes"] for entry in log_of(runtime)] == [["mask_the_path"], ["keep_it"], []]


# --- governing twice, or something else ---


@eras
async def test_governing_a_session_again_changes_nothing_and_otherwise_is_refused(era: str):
    files, runtime = Files(), make_runtime()
    async with connected(files.server, era) as session:
        govern_session(session, runtime, server="files")
        govern_session(session, runtime, server="files")
        await session.call_tool("read_file", {"path": "a"})
        with pytest.raises(ValueError, match="already governed by this runtime as 'files'"):
            govern_session(session, runtime, server="other")
        with pytest.raises(ValueError, match="already governed by another runtime"):
            govern_session(session, make_runtime(), server="files")
    assert len(log_of(runtime)) == 1


def test_anything_but_a_session_is_refused_in_one_sentence():
    with pytest.raises(TypeError, match=r"takes an mcp\.ClientSession.*got <object"):
        govern_session(object(), make_runtime(), server="files")


def test_without_the_sdk_there_is_one_sentence_that_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    from importlib.metadata import PackageNotFoundError

    import aegis_mcp.govern

    def missing(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(aegis_mcp.govern, "version", missing)
    with pytest.raises(ImportError, match=r"pip install 'aegis-agents\[mcp\]'"):
        govern_session(object(), make_runtime(), server="files")


def test_an_sdk_nobody_has_looked_at_is_refused(monkeypatch: pytest.MonkeyPatch):
    import aegis_mcp.govern

    monkeypatch.setattr(aegis_mcp.govern, "version", lambda _name: "3.0.0")
    with pytest.raises(ImportError, match=r"knows the MCP SDK 1\.24 to 2\.x, and 3\.0\.0 is installed"):
        govern_session(object(), make_runtime(), server="files")


def test_importing_the_adapter_loads_no_sdk():
    code = "import sys, aegis.adapters.mcp; print(sorted({'mcp', 'mcp_types', 'anyio', 'wrapt'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
