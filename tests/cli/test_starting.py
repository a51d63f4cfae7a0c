"""What a start loads: it happens for every call of an agent, or while a client waits."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aegis.clients.claude_code.rules import draft

if TYPE_CHECKING:
    from pathlib import Path

EVENT = {
    "session_id": "s",
    "cwd": "/",
    "permission_mode": "default",
    "tool_name": "Bash",
    "tool_use_id": "t",
    "tool_input": {"command": "git status"},
}
HEAVY = {
    "difflib",
    "email",
    "httpx",
    "importlib.metadata",
    "mcp",
    "pydantic",
    "rich",
    "sqlglot",
    "tree_sitter",
    "uvicorn",
}


def loaded(*words: str, sent: bytes = b"") -> list[str]:
    """The modules a command loads, in order."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", *words], input=sent, capture_output=True, timeout=60, check=True
    )
    lines = (line for line in ran.stderr.decode().splitlines() if line.startswith("import time:"))
    return [line.rpartition("|")[2].strip() for line in lines]


def test_the_package_alone_and_its_version_load_no_engine() -> None:
    assert not [name for name in loaded("-c", "import aegis") if name.startswith(("aegis.", "aegis_core"))]
    version = loaded("-m", "aegis", "--version")
    assert not [name for name in version if name.startswith(("aegis_core.policy", "aegis_core.audit"))]
    assert not HEAVY & set(version)


def test_a_hook_loads_what_it_needs_to_judge_and_to_write_and_nothing_else(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(draft(policy, str(tmp_path / "aegis_audit.db")))
    hook = ("-m", "aegis", "hook", "claude-code", "--policy", str(policy))
    event = json.dumps({**EVENT, "hook_event_name": "PreToolUse"}).encode()
    before = set(loaded(*hook, sent=event))
    needless = {"asyncio", "click", "decimal", "logging", "subprocess", "aegis_mcp.tool_calls"}
    needless |= {f"aegis_core.audit.{name}" for name in ("chains", "checkpoint", "logs", "memory", "signing", "verify")}
    assert "aegis_core.call" in before
    assert not (HEAVY | needless) & before
    event = json.dumps({**EVENT, "hook_event_name": "PostToolUse", "tool_response": "clean"}).encode()
    after = set(loaded(*hook, sent=event))
    assert "aegis_core.audit.sqlite" in after
    assert not (HEAVY | needless | {"yaml", "aegis_core.policy.policy", "aegis_core.call"}) & after


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="ctypes, which shows when the server is started, is for Linux"
)
def test_a_proxy_starts_its_server_before_it_loads_what_it_relays_and_governs_with(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: '1'\nrules: []\n")
    options = ("--policy", str(tmp_path / "policy.yaml"), "--db", str(tmp_path / "trail.db"), "--server", "s")
    names = loaded("-m", "aegis", "proxy", *options, "--", sys.executable, "-c", "pass")
    started = names.index("ctypes")
    assert names.index("aegis_core.policy.policy") < started
    for name in ("asyncio", "sqlite3", "aegis_core.runtime", "aegis_mcp.proxy.relay"):
        assert names.index(name) > started
    assert not HEAVY & set(names)
