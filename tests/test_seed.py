"""The documented MCP interface works as documented: every snippet of tests/seed/ runs as it stands."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import logging
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aegis.runtime.watcher
from aegis import Action, Policy, Result, ResultStatus, Runtime
from aegis.adapters.base import BaseExecutor
from aegis.adapters.mcp import AegisMCPToolFilter, govern_mcp_tool_call
from aegis.runtime.audit import AuditLogger
from aegis.runtime.watcher import PolicyWatcher
from aegis.testing import ScriptedApprovalHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = Path(__file__).parent / "seed"
EXAMPLES = Path(__file__).parents[1] / "examples" / "policies"
SNIPPETS = dict(
    re.findall(r"## ([\w-]+)\n\n```python\n(.*?)```", (SEED / "mcp.md").read_text(encoding="utf-8"), re.DOTALL)
)


class Client:
    """Stands for an MCP client where the snippets leave one open."""

    def __init__(self) -> None:
        self.called: list[tuple[str, dict[str, Any]]] = []

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> str:
        self.called.append((name, arguments))
        return f"result of {name}"


class MCPPassthrough(BaseExecutor):
    async def execute(self, action: Action) -> Result:
        await asyncio.sleep(0.005)  # as anything that does work would
        return Result(action=action, status=ResultStatus.SUCCESS)


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A folder with the policies the snippets load, and what they import in an earlier snippet."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLES / "mcp-policy.yaml", tmp_path)
    shutil.copytree(EXAMPLES, tmp_path / "policies")
    runtime = Runtime(executor=MCPPassthrough(), policy=Policy.from_yaml("mcp-policy.yaml"))
    space: dict[str, Any] = {
        "mcp_client": Client(),
        "runtime": runtime,
        "Policy": Policy,
        "Runtime": Runtime,
        "AegisMCPToolFilter": AegisMCPToolFilter,
        "PolicyWatcher": PolicyWatcher,
        "MCPPassthrough": MCPPassthrough,
        "govern_mcp_tool_call": govern_mcp_tool_call,
    }
    yield space
    for opened in (runtime, space["runtime"], space.get("logger")):
        if opened is not None:
            opened.close()


def read(name: str) -> str:
    return Path(name).read_text(encoding="utf-8")


def write(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


async def run(snippet: str, names: dict[str, Any]) -> None:
    """Run a snippet; ``await`` may stand at its top level."""
    code = compile(SNIPPETS[snippet], f"<{snippet}>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, names)
    else:
        await asyncio.to_thread(exec, code, names)  # its own asyncio.run needs a thread without a loop


def test_no_snippet_is_forgotten():
    tested = re.findall(r'run\("([\w-]+)"', Path(__file__).read_text(encoding="utf-8"))
    assert set(SNIPPETS) == set(tested)


async def test_the_quick_start(names: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    await run("quick-start", names)
    assert capsys.readouterr().out == "Allowed -- forward to MCP server\n"
    (entry,) = names["runtime"].audit_logger.get_log()  # a Runtime without a logger writes aegis_audit.db
    assert (entry["action_type"], entry["action_target"]) == ("read_file", "filesystem")


async def test_check_only_mode(names: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    await run("check-only", names)
    assert capsys.readouterr().out == "Policy denied: blocked\n"
    assert names["mcp_client"].called == []


async def test_the_full_pipeline(names: dict[str, Any]):
    names["runtime"].approval_handler = ScriptedApprovalHandler([False, True])
    await run("full-pipeline", names)
    assert names["result"].status is ResultStatus.DENIED
    assert names["mcp_client"].called == []
    await run("full-pipeline", names)
    assert names["mcp_client"].called == [("query", {"sql": "SELECT * FROM users"})]


async def test_the_client_wrapper_and_its_trail(names: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    await run("client-wrapper", names)
    assert names["result"] == {"data": "result of read_file", "ok": True}
    governed = names["governed"]
    refused = await governed.call_tool("filesystem", "delete_file", {"path": "/data.csv"})
    assert refused == {"error": "Governance denied: blocked", "ok": False}
    assert (await governed.call_tool("filesystem", "read_file"))["ok"]
    assert [name for name, _ in names["mcp_client"].called] == ["read_file", "read_file"]
    governed._runtime.audit_logger.close()

    await run("programmatic-access", names)
    *lines, exported = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1:] for line in lines] == [
        ["read_file@filesystem", "success"],
        ["delete_file@filesystem", "blocked"],
        ["read_file@filesystem", "success"],
    ]
    assert exported == "Exported 3 audit entries"
    assert names["session_entries"] == []
    assert [json.loads(line) for line in read("compliance_export.jsonl").splitlines()] == names["entries"]


async def test_what_gets_logged(names: dict[str, Any]):
    runtime = names["runtime"]
    runtime.approval_handler = ScriptedApprovalHandler([True])
    calls = [("read_file", {"path": "/data.csv"}), ("write_file", {"path": "/a"}), ("delete_file", {"path": "/a"})]
    for tool, arguments in calls:
        await govern_mcp_tool_call(runtime=runtime, tool_name=tool, arguments=arguments, server_name="filesystem")
    documented = [
        ("read_file", "filesystem", {"path": "/data.csv"}, "LOW", "auto", "allow_reads", None, "success"),
        ("write_file", "filesystem", {"path": "/a"}, "MEDIUM", "approve", "approve_file_writes", "approved", "success"),
        ("delete_file", "filesystem", {"path": "/a"}, "CRITICAL", "block", "block_file_deletes", None, "blocked"),
    ]
    fields = "action_type action_target action_params risk_level approval matched_rule human_decision result_status"
    log = runtime.audit_logger.get_log()
    assert [tuple(entry[field] for field in fields.split()) for entry in log] == documented
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", entry["timestamp"]) for entry in log)


async def test_logging_for_the_cloud(
    names: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logging, "basicConfig", lambda **_options: None)  # not for the whole test run
    await run("cloud-logging", names)
    with caplog.at_level(logging.DEBUG, logger="aegis.audit"):
        for tool in ("read_file", "delete_file"):
            await govern_mcp_tool_call(runtime=names["runtime"], tool_name=tool, arguments={}, server_name="filesystem")
    assert {record.name for record in caplog.records} == {"aegis.audit"}
    emitted = [(record.levelname, json.loads(record.getMessage())) for record in caplog.records]
    assert {level for level, entry in emitted if entry["action_type"] == "read_file"} == {"DEBUG"}
    assert {level for level, entry in emitted if entry["action_type"] == "delete_file"} == {"ERROR"}


async def test_merging_a_base_policy_with_those_of_servers(names: dict[str, Any]):
    await run("merge", names)
    combined = names["filesystem_combined"]
    assert [rule.name for rule in combined.rules] == [
        *(rule.name for rule in names["base"].rules),
        *(rule.name for rule in names["fs_policy"].rules),
    ]
    assert combined.evaluate(Action("delete_file", "filesystem")).matched_rule == "fs_block_deletes"
    dropped = names["database_combined"].evaluate(Action("drop_table", "database"))
    assert dropped.matched_rule == "block_destructive_everywhere"


async def test_layers(names: dict[str, Any]):
    names.update(action=Action("query", "database", {"sql": "DROP TABLE users"}), executor=MCPPassthrough())
    await run("hierarchy", names)
    assert names["decision"].approval == "block"
    assert names["conflicts"]
    result = await names["runtime"].arun(names["action"])
    assert result.status is ResultStatus.BLOCKED


async def test_hot_reload(names: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(aegis.runtime.watcher, "PolicyWatcher", _impatient)
    names.update(incoming_tool="read_file", incoming_args={"path": "/data.csv"}, incoming_server="filesystem")
    serving = asyncio.create_task(run("hot-reload", names))

    async def until(status: ResultStatus) -> None:
        async with asyncio.timeout(20):
            while "result" not in names or names["result"].status is not status:  # noqa: ASYNC110 - the snippet sets it
                await asyncio.sleep(0.01)

    try:
        await until(ResultStatus.SUCCESS)
        write("mcp-policy.yaml", 'version: "1"\n')
        await until(ResultStatus.BLOCKED)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_a_callback_on_reload(names: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    names["PolicyWatcher"] = _impatient
    await run("reload-callback", names)
    write("mcp-policy.yaml", 'version: "1"\n')
    said = ""
    async with asyncio.timeout(20):
        while not said:
            await asyncio.sleep(0.01)
            said = capsys.readouterr().out
    await names["watcher"].stop()
    assert said == "MCP policy reloaded: 0 rules active\n"


def _impatient(runtime: Runtime, path: str, *, interval: float, **options: Any) -> PolicyWatcher:
    assert interval in (1.0, 2.0)
    return PolicyWatcher(runtime, path, interval=0.02, **options)


@pytest.mark.parametrize("path", sorted(SEED.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_documented_policy_loads_as_it_stands(path: Path):
    policy = Policy.from_yaml(path)
    assert policy.rules
    assert policy.evaluate(Action("anything", "else")).approval == "approve"


@pytest.mark.parametrize(
    "command",
    [
        "aegis audit",
        "aegis audit --format json",
        "aegis audit --format jsonl -o mcp_audit.jsonl",
        "aegis audit --session mcp-session-001",
    ],
)
async def test_the_command_line_shows_the_trail(command: str, names: dict[str, Any]):
    runtime = names["runtime"]
    for session, tool in (("mcp-session-001", "read_one"), ("mcp-session-002", "read_two")):
        with runtime.session(session):
            await govern_mcp_tool_call(runtime=runtime, tool_name=tool, arguments={}, server_name="filesystem")
    runtime.close()
    words = [sys.executable, "-m", *shlex.split(command)]
    ran = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    if "-o" in words:
        shown = read("mcp_audit.jsonl")
        entries = [json.loads(line) for line in shown.splitlines()]
    else:
        shown = ran.stdout
        entries = json.loads(shown) if "json" in words else []
    assert "read_one" in shown
    assert ("read_two" in shown) is ("--session" not in words)
    assert [entry["session_id"] for entry in entries] == (["mcp-session-001", "mcp-session-002"] if entries else [])


def test_the_file_of_the_command_line_and_of_a_runtime_is_the_same():
    assert inspect.signature(AuditLogger).parameters["db_path"].default == "aegis_audit.db"
