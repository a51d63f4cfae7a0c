"""What ``aegis doctor --client claude-code`` says of the hook."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from aegis.clients.claude_code.checkup import look_at_hook
from aegis.clients.claude_code.rules import draft
from aegis.clients.claude_code.settings import command_line, installed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the hook in its settings and the policy that is drafted."""
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    for variable in ("CLAUDE_CONFIG_DIR", "AEGIS_KEY_FILE", "AEGIS_POLICY", "AEGIS_DB", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    policy, db = tmp_path / ".aegis" / "policy.yaml", str(tmp_path / ".aegis" / "aegis_audit.db")
    policy.parent.mkdir()
    policy.write_text(draft(policy, db))
    (tmp_path / ".claude").mkdir()
    words = ["--policy", str(policy), "--db", db]
    (tmp_path / ".claude" / "settings.json").write_text(installed("{}\n", command_line(words)))
    return tmp_path


def found() -> dict[str, str]:
    return {finding.check: finding.state for finding in look_at_hook()}


def test_a_hook_that_is_well(home: Path) -> None:
    assert found() == {"settings": "ok", "aegis": "ok", "policy": "ok", "cage": "ok"}


def test_where_there_is_none_nothing_is_said(home: Path) -> None:
    (home / ".claude" / "settings.json").unlink()
    assert found() == {}


def test_what_is_wrong_is_told(home: Path) -> None:
    settings = home / ".claude" / "settings.json"
    text = settings.read_text()
    settings.write_text(text.replace("{", '{"disableAllHooks": true, ', 1))
    assert found()["settings"] == "problem"
    settings.write_text(text.replace('"PostToolUse"', '"Stop"'))
    assert found()["settings"] == "problem"
    settings.write_text(text.replace(sys.executable, "/gone/python"))
    assert found()["aegis"] == "failed"
    settings.write_text(text)
    policy = home / ".aegis" / "policy.yaml"
    policy.write_text('version: "1"\ndefaults: {approval: auto}\n')
    assert found()["cage"] == "problem"
    settings.write_text(text.replace(" || exit 2", " --allow-writable-policy || exit 2"))
    assert found()["cage"] == "note"
    policy.write_text("rules: 7")
    assert found()["policy"] == "problem"
    settings.write_text("{")
    assert found() == {"settings": "problem"}
