"""``aegis hook install`` and ``uninstall`` as people run them, and the installed hook as the client's shell runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aegis.clients.claude_code.settings import EVENTS, installed, uninstalled

if TYPE_CHECKING:
    from pathlib import Path

MINE = """{
  "model": "opus",
  // my own hooks
  "hooks": {
    "PreToolUse": [
      {
        "matcher": "Bash",
        "hooks": [{ "type": "command", "command": "my-check" }],
      },
    ],
    "Stop": [],
    "PostToolUse": [ ]
  }
}"""
SHAPES = [
    "{}\n",
    "{ }",
    '{"model": "opus"}',
    '{\n  "model": "opus"\n}\n',
    '{"hooks": {}}',
    '{"hooks": {"PreToolUse": []}}',
    MINE,
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The user's folder; the work is in ``work``."""
    (tmp_path / "work").mkdir()
    return tmp_path


def aegis(home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AEGIS_", "CLAUDE_"))}
    env = {**kept, "HOME": str(home), "USERPROFILE": str(home), "COLUMNS": "200", **variables}
    return subprocess.run(
        [sys.executable, "-m", "aegis", *words],
        cwd=home / "work", env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def run_installed(home: Path, event: str, sent: dict[str, Any], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command of an event as the client does: by a shell, in the folder of the work."""
    settings = json.loads((home / ".claude" / "settings.json").read_text())
    [entry] = [entry for entry in settings["hooks"][event] if "aegis" in json.dumps(entry)]
    [handler] = entry["hooks"]
    assert handler["timeout"] == 60
    assert handler["onFailure"] == "block"
    return subprocess.run(
        ["bash", "-c", handler["command"]], input=json.dumps({"hook_event_name": event, **sent}), cwd=home / "work",
        env={**os.environ, "HOME": str(home), **variables}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


SENT = {"session_id": "s", "cwd": "/w", "tool_name": "Bash", "tool_use_id": "t", "tool_input": {"command": "ls"}}


@pytest.mark.parametrize("text", SHAPES)
def test_uninstalling_gives_the_very_same_settings(text: str) -> None:
    through = installed(text, "python -m aegis hook claude-code --policy p || exit 2")
    assert installed(through, "python -m aegis hook claude-code --policy p || exit 2") == through, "twice is once"
    for event in EVENTS:
        assert through.count(f'"{event}"') == 1
    assert through.count("aegis hook claude-code") == 3
    assert uninstalled(through) == text
    other = installed(through, "python -m aegis hook claude-code --policy q || exit 2")
    assert other.count("--policy q") == 3
    assert "--policy p" not in other
    assert uninstalled(other) == text


def test_what_the_user_adds_meanwhile_stays() -> None:
    through = installed("{}\n", "python -m aegis hook claude-code || exit 2")
    data = json.loads(through)
    data["model"] = "opus"
    data["hooks"]["PreToolUse"].append({"matcher": "Bash", "hooks": [{"type": "command", "command": "mine"}]})
    data["hooks"]["Stop"] = []
    left = json.loads(uninstalled(json.dumps(data, indent=4)))
    assert left["model"] == "opus"
    assert left["hooks"] == {
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "mine"}]}],
        "Stop": [],
    }


def test_installing_drafts_a_policy_and_the_hook_works_at_once(home: Path) -> None:
    ran = aegis(home, "hook", "install")
    assert ran.returncode == 0, ran.stderr
    assert "the hook was put in" in ran.stdout
    policy = home / ".aegis" / "claude-code.yaml"
    assert "drafted" in ran.stdout
    if sys.platform != "win32":
        assert policy.stat().st_mode & 0o777 == 0o600
        assert policy.parent.stat().st_mode & 0o777 == 0o700
    assert aegis(home, "validate", str(policy)).returncode == 0
    ran = run_installed(home, "PreToolUse", SENT)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    blocked = {**SENT, "tool_use_id": "u", "tool_input": {"command": "rm -r ~/.aegis"}}
    assert (
        json.loads(run_installed(home, "PreToolUse", blocked).stdout)["hookSpecificOutput"]["permissionDecision"]
        == "deny"
    )
    assert run_installed(home, "PostToolUse", {**SENT, "tool_response": {"stdout": "x"}}).returncode == 0
    entries = json.loads(aegis(home, "audit", "--db", str(home / ".aegis" / "aegis_audit.db"), "--json").stdout)
    assert [entry["result_status"] for entry in entries] == ["success", "blocked"]
    assert aegis(home, "hook", "uninstall").returncode == 0
    assert not (home / ".claude" / "settings.json").exists(), "there was none before"
    assert policy.exists()


def test_settings_that_are_there_are_kept_and_come_back(home: Path) -> None:
    (home / ".claude").mkdir()
    settings = home / ".claude" / "settings.json"
    settings.write_text(MINE)
    dry = aegis(home, "hook", "install", "--dry-run")
    assert dry.returncode == 0
    assert "+" in dry.stdout
    assert settings.read_text() == MINE
    assert not (home / ".aegis").exists()
    assert aegis(home, "hook", "install").returncode == 0
    assert (home / ".claude" / "settings.json.before-aegis").read_text() == MINE
    again = aegis(home, "hook", "install")
    assert (again.returncode, "nothing to change" in again.stdout) == (0, True)
    assert aegis(home, "hook", "uninstall").returncode == 0
    assert settings.read_text() == MINE
    assert [path.name for path in settings.parent.iterdir()] == ["settings.json"]


def test_a_project_can_have_it_too(home: Path) -> None:
    ran = aegis(home, "hook", "install", "--settings", ".claude/settings.json", "--observe")
    assert ran.returncode == 0, ran.stderr
    assert "--observe" in (home / "work" / ".claude" / "settings.json").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="runs a POSIX shell")
def test_whatever_becomes_of_it_the_installed_hook_ends_in_zero_or_two(home: Path) -> None:
    assert aegis(home, "hook", "install").returncode == 0
    broken = home / "broken"
    broken.mkdir()
    (broken / "orjson.py").write_text("raise RuntimeError")
    (home / "work" / "aegis").mkdir()
    (home / "work" / "aegis" / "__init__.py").write_text("import os; os._exit(0)")
    ran = run_installed(home, "PreToolUse", {**SENT, "tool_input": {"command": "rm .mcp.json"}}, PYTHONPATH=str(broken))
    assert ran.returncode == 0
    assert "deny" in ran.stdout, "neither PYTHONPATH nor the folder of the work gets into the hook"
    settings = home / ".claude" / "settings.json"
    settings.write_text(settings.read_text().replace(sys.executable, "/nonexistent/python"))
    assert run_installed(home, "PreToolUse", SENT).returncode == 2
    settings.write_text(settings.read_text().replace("/nonexistent/python", "sh -c 'kill -9 $$'"))
    assert run_installed(home, "PreToolUse", SENT).returncode == 2


def test_what_cannot_be_used_is_refused_and_nothing_is_changed(home: Path) -> None:
    (home / ".claude").mkdir()
    settings = home / ".claude" / "settings.json"
    for text, said in (
        ('{"hooks": []}', "hooks must be an object"),
        ('{"hooks": {"PreToolUse": 7}}', "hooks.PreToolUse is not an array"),
        ("[]", "the settings must be an object"),
        ('{"a": 1, "a": 2}', "1:10: the key 'a' is there twice"),
    ):
        settings.write_text(text)
        ran = aegis(home, "hook", "install")
        assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr
        assert settings.read_text() == text
    assert not (home / ".aegis").exists()
    settings.write_text("{}")
    loose = home / "loose.yaml"
    loose.write_text('version: "1"\ndefaults: {approval: auto}\n')
    ran = aegis(home, "hook", "install", "--policy", str(loose))
    assert (ran.returncode, "lets Write change" in ran.stderr) == (1, True)
    assert settings.read_text() == "{}"
    assert aegis(home, "hook", "install", "--policy", str(loose), "--allow-writable-policy").returncode == 0
    settings.write_text('{"disableAllHooks": true}')
    ran = aegis(home, "hook", "install")
    assert (ran.returncode, "no hook runs until that is taken out" in ran.stderr) == (1, True)
