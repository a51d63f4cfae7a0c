"""The sessions in the packs' tests, worked through on the real servers: every call is one the server takes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("mcp")

from mcp import ClientSession, StdioServerParameters, stdio_client

from aegis import Action, Runtime
from aegis.adapters.mcp import govern_session
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from aegis.workbench.packs import add_pack, read_pack
from aegis.workbench.testfile import SUFFIX, read_test_file
from tests.mcp.connections import is_error, text_of
from tests.proxy.packages import npm, pypi
from tests.proxy.test_transparency import PEERS, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.slow,  # installs real servers
    pytest.mark.skipif(sys.platform == "win32", reason="the servers' paths are POSIX's"),
]


ACQUAINTED = (("Jane", "person"), ("Acme", "company"))


def filesystem(folder: Path) -> list[str]:
    (folder / "finance").mkdir()
    (folder / "reports").mkdir()
    for month in ("jan", "feb", "mar"):
        (folder / "finance" / f"{month}.csv").write_text("day,sold\n1,7\n")
    (folder / "finance" / "chart.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    modules = npm(f"@modelcontextprotocol/server-filesystem@{VERSION}")
    return ["node", str(modules / "@modelcontextprotocol/server-filesystem/dist/index.js"), str(folder)]


def git(folder: Path) -> list[str]:
    repository = folder / "app"
    repository.mkdir()

    def run(*words: str) -> None:
        subprocess.run(["git", "-C", str(repository), *words], check=True, capture_output=True)

    run("init", "--quiet", "--initial-branch", "main")
    run("config", "user.name", "t")
    run("config", "user.email", "t@example.com")
    (repository / "README.md").write_text("Helo\n")
    run("add", "README.md")
    run("commit", "--quiet", "--message", "First")
    (repository / "README.md").write_text("Hello\n")
    return [str(pypi(*PEERS) / "mcp-server-git"), "--repository", str(repository)]


def memory(folder: Path) -> list[str]:
    known = [
        *({"type": "entity", "name": name, "entityType": kind, "observations": []} for name, kind in ACQUAINTED),
        {"type": "relation", "from": "Jane", "to": "Acme", "relationType": "works_at"},
    ]
    (folder / "memory.jsonl").write_text("\n".join(map(json.dumps, known)))
    modules = npm(f"@modelcontextprotocol/server-memory@{VERSION}")
    return ["node", str(modules / "@modelcontextprotocol/server-memory/dist/index.js")]


def sqlite(folder: Path) -> list[str]:
    pytest.importorskip("sqlglot")
    with sqlite3.connect(folder / "shop.db") as database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, month TEXT, pieces INTEGER)")
        database.execute("INSERT INTO orders VALUES (4711, 'March', 2), (4712, 'May', 1)")
    database.close()
    return [str(pypi(*PEERS) / "mcp-server-sqlite"), "--db-path", str(folder / "shop.db")]


def pieces(folder: Path) -> int:
    with sqlite3.connect(folder / "shop.db") as database:
        (found,) = database.execute("SELECT pieces FROM orders WHERE id = 4711").fetchone()
    database.close()
    return int(found)


DONE: dict[str, Callable[[Path], bool]] = {
    "filesystem": lambda folder: (folder / "reports" / "2026" / "q1.md").read_text() == "# The first quarter",
    "git": lambda folder: "refs/heads/fix/typo" in (folder / "app" / ".git" / "HEAD").read_text(),
    "memory": lambda folder: "Globex" in (folder / "memory.jsonl").read_text(),
    "sqlite": lambda folder: pieces(folder) == 12,
}


@pytest.mark.parametrize("server", [filesystem, git, memory, sqlite], ids=lambda server: server.__name__)
async def test_the_session_of_a_packs_tests_is_work_that_the_real_server_does(
    server: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    name = server.__name__
    folder = (tmp_path / "data").resolve()
    folder.mkdir()
    command = server(folder)
    pack = read_pack(name)
    options = {"root": [str(folder)]} if "root" in pack.options else {}
    _, failed = add_pack(pack, options, tmp_path / "policies", replace=False)
    assert failed == []
    file = read_test_file(tmp_path / "policies" / f"{name}{SUFFIX}")
    (document,) = file.document.sessions

    handler, trail = ScriptedApprovalHandler([True] * document.approvals), MemoryAuditLogger()
    runtime = Runtime(policy=file.policy, approval_handler=handler, audit_logger=trail)
    environment = {**os.environ, "MEMORY_FILE_PATH": str(folder / "memory.jsonl")}
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=environment)
    with Path(os.devnull).open("w") as errors:  # noqa: ASYNC230 - what the server says on standard error is not tested
        async with stdio_client(parameters, errlog=errors) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            govern_session(session, runtime, server=name)
            for step in document.steps:
                if step.type is not None:
                    result = await session.call_tool(step.type, step.params)
                    assert not is_error(result), (step.type, text_of(result))
            listed = {tool.name for tool in (await session.list_tools()).tools}
    assert len(handler.requests) == document.approvals
    assert DONE[name](folder), "and it has been done"
    for tool in listed:
        assert file.policy.evaluate(Action(tool, name, {})).matched_rule.startswith(f"{name}_"), tool
