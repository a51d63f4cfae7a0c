"""With a policy that allows everything, real servers are the same through the proxy as without it.

Clients of both versions of the SDK go through the same script, once connected to the server and once through the
proxy, and must hear the same: results, errors, progress, logging, and the server's own requests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("mcp")

from tests.proxy.packages import npm, pypi

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,  # installs real servers
    pytest.mark.skipif(sys.platform == "win32", reason="the servers' paths are POSIX's"),
]

POLICY = 'version: "1"\ndefaults: {approval: auto, risk_level: low}\nrules: []\n'
PEERS = ("mcp-server-fetch", "mcp-server-git", "mcp-server-sqlite", "mcp-server-time", "mcp<2")
VERSION = "2026.8.31"
ODD = 'é\u2028\U0001f600 \\ " \t'


def filesystem(folder: Path) -> tuple[list[str], list[Any]]:
    (folder / "a.txt").write_text(f"alpha {ODD}\n")
    (folder / "b").mkdir()
    file = str(folder / "a.txt")
    steps = [
        ["call", "list_allowed_directories", {}],
        ["call", "read_text_file", {"path": file}],
        ["call", "read_text_file", {"path": file, "head": 1}],
        ["call", "read_media_file", {"path": file}],
        ["call", "read_text_file", {"path": str(folder.parent / "elsewhere")}],
        ["call", "read_text_file", {"nonsense": 1}],
        ["call", "write_file", {"path": str(folder / "b" / "ü.txt"), "content": ODD}],
        ["call", "edit_file", {"path": file, "edits": [{"oldText": "alpha", "newText": ODD}], "dryRun": True}],
        ["call", "directory_tree", {"path": str(folder)}],
        ["call", "search_files", {"path": str(folder), "pattern": "**/*.txt"}],
        ["call", "no_such_tool", {}],
    ]
    modules = npm(f"@modelcontextprotocol/server-filesystem@{VERSION}")
    return ["node", str(modules / "@modelcontextprotocol/server-filesystem/dist/index.js"), str(folder)], steps


def everything(folder: Path) -> tuple[list[str], list[Any]]:
    steps = [
        ["list_prompts"],
        ["list_resources"],
        ["list_resource_templates"],
        ["set_logging_level", "debug"],
        ["call", "echo", {"message": ODD}],
        ["call", "echo", {"message": 7}],
        ["call", "get-sum", {"a": 1, "b": 2.5}],
        ["call", "trigger-long-running-operation", {"duration": 1, "steps": 4}],
        ["call", "get-structured-content", {"location": "New York"}],
        ["call", "get-annotated-message", {"messageType": "error", "includeImage": True}],
        ["call", "get-tiny-image", {}],
        ["call", "get-resource-links", {"count": 3}],
        ["call", "trigger-sampling-request", {"prompt": ODD, "maxTokens": 10}],
        ["call", "trigger-elicitation-request", {}],
        ["call", "get-roots-list", {}],
        ["cancel", "trigger-long-running-operation", {"duration": 3, "steps": 3}],
        ["call", "echo", {"message": "after cancelling"}],
        ["prompt", "simple-prompt"],
        ["prompt", "no-such-prompt"],
        ["send_ping"],
    ]
    modules = npm(f"@modelcontextprotocol/server-everything@{VERSION}")
    return ["node", str(modules / "@modelcontextprotocol/server-everything/dist/index.js")], steps


def memory(folder: Path) -> tuple[list[str], list[Any]]:
    ann = {"name": "ann", "entityType": "person", "observations": [ODD]}
    bob = {"name": "bob", "entityType": "person", "observations": []}
    steps = [
        ["call", "create_entities", {"entities": [ann, bob]}],
        ["call", "create_relations", {"relations": [{"from": "ann", "to": "bob", "relationType": "knows"}]}],
        ["call", "add_observations", {"observations": [{"entityName": "nobody", "contents": ["x"]}]}],
        ["call", "search_nodes", {"query": "é"}],
        ["call", "delete_entities", {"entityNames": ["bob"]}],
        ["call", "read_graph", {}],
    ]
    modules = npm(f"@modelcontextprotocol/server-memory@{VERSION}")
    return ["node", str(modules / "@modelcontextprotocol/server-memory/dist/index.js")], steps


def git(folder: Path) -> tuple[list[str], list[Any]]:
    repo = folder / "repo"
    run: Callable[..., Any] = lambda *words: subprocess.run(["git", "-C", str(repo), *words], check=True)  # noqa: E731
    subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], check=True)
    (repo / "ä.txt").write_text(ODD)
    run("add", "-A")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    run(*who, "commit", "-q", "-m", ODD, "--date", "2020-01-01T00:00:00Z")
    (repo / "ä.txt").write_text("changed\n")
    at = {"repo_path": str(repo)}
    steps = [
        ["call", "git_status", at],
        ["call", "git_diff_unstaged", at],
        ["call", "git_add", {**at, "files": ["ä.txt"]}],
        ["call", "git_diff_staged", at],
        ["call", "git_log", {**at, "max_count": 1}],
        ["call", "git_show", {**at, "revision": "no-such-revision"}],
        ["call", "git_status", {"repo_path": str(folder)}],
    ]
    return [str(pypi(*PEERS) / "mcp-server-git"), "--repository", str(repo)], steps


def clock(folder: Path) -> tuple[list[str], list[Any]]:
    steps = [
        [
            "call",
            "convert_time",
            {"source_timezone": "Asia/Tokyo", "time": "16:30", "target_timezone": "Europe/Zurich"},
        ],
        ["call", "get_current_time", {"timezone": "Nowhere/Town"}],
        ["call", "get_current_time", {}],
    ]
    return [str(pypi(*PEERS) / "mcp-server-time"), "--local-timezone", "UTC"], steps


def fetch(folder: Path) -> tuple[list[str], list[Any]]:
    return [str(pypi(*PEERS) / "mcp-server-fetch")], [["list_prompts"], ["call", "fetch", {"url": "nonsense"}]]


def sqlite(folder: Path) -> tuple[list[str], list[Any]]:
    steps = [
        ["list_resources"],
        ["list_prompts"],
        ["call", "create_table", {"query": "CREATE TABLE t (a TEXT, b REAL)"}],
        ["call", "write_query", {"query": f"INSERT INTO t VALUES ('{ODD}', 1.50)"}],
        ["call", "read_query", {"query": "SELECT * FROM t"}],
        ["call", "read_query", {"query": "DROP TABLE t"}],
        ["call", "describe_table", {"table_name": "t"}],
        ["call", "append_insight", {"insight": ODD}],
        ["read_resource", "memo://insights"],
    ]
    return [str(pypi(*PEERS) / "mcp-server-sqlite"), "--db-path", str(folder / "data.db")], steps


SERVERS = {
    "filesystem": filesystem,
    "everything": everything,
    "memory": memory,
    "git": git,
    "time": clock,
    "fetch": fetch,
    "sqlite": sqlite,
}


def heard(python: str, command: list[str], steps: list[Any], folder: Path, script: Path) -> Any:
    """What a client hears that goes through the steps."""
    environment = {**os.environ, "MEMORY_FILE_PATH": str(folder / "memory.jsonl"), "TZ": "UTC"}
    told = {"command": command, "env": environment, "root": folder.as_uri(), "steps": [["list_tools"], *steps]}
    script.write_text(json.dumps(told))
    client = str(__file__).replace("test_transparency", "scripted")
    ran = subprocess.run([python, client, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    # What is another every time: commits and moments.
    return json.loads(
        re.sub(r"\b[0-9a-f]{40}\b|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^\"\\]*|\d\d:\d\d:\d\d", "*", ran.stdout)
    )


def by_kind(entries: list[Any]) -> dict[str, list[Any]]:
    """What was heard, one kind at a time: in order, but for what a server says when it likes."""
    kinds: dict[str, list[Any]] = {}
    for entry in entries:
        kinds.setdefault(entry[0], []).append(entry)
    for kind in ("log", "notification", "roots"):
        if kind in kinds:
            kinds[kind] = sorted({json.dumps(entry, sort_keys=True) for entry in kinds[kind]})
    return kinds


@pytest.mark.parametrize("name", SERVERS)
def test_a_real_server_is_the_same_through_the_proxy_for_clients_of_both_versions(tmp_path: Path, name: str) -> None:
    home, folder = tmp_path / "home", tmp_path / "data"
    home.mkdir()
    (home / "policy.yaml").write_text(POLICY)
    start = [sys.executable, "-m", "aegis", "proxy", "--policy", str(home / "policy.yaml"), "--server", name]
    proxy = [*start, "--db", str(home / "trail.db"), "--"]
    for python in (sys.executable, str(pypi(*PEERS) / "python")):
        seen = []
        for front in ([], proxy):
            folder.mkdir()
            command, steps = SERVERS[name](folder)
            seen.append(heard(python, [*front, *command], steps, folder, tmp_path / "script.json"))
            shutil.rmtree(folder)
        direct, proxied = map(by_kind, seen)
        assert proxied == direct
        assert len(seen[0]) > len(steps) + 1
        if name == "everything":
            assert {"progress", "sampling", "elicitation", "roots", "notification"} <= direct.keys()
