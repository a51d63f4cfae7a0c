"""``aegis replay`` as its users meet it: a real trail, a new policy, sums that add up."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aegis import Action, Policy, Runtime
from aegis.runtime.audit import AuditLogger
from aegis.testing import ScriptedApprovalHandler

if TYPE_CHECKING:
    from pathlib import Path

OLD = """
version: "1"
rules:
  - {name: reads, match: {type: "read_*"}, approval: auto}
  - {name: writes, match: {type: "write_*"}, approval: approve}
"""
NEW = """
version: "1"
rules:
  - {name: reads_here, match: {type: "read_*"}, conditions: {param_path: {path: {under: [/data]}}}, approval: auto}
  - {name: drafts, match: {type: write_draft}, approval: auto}
  - {name: secret, match: {type: write_login}, conditions: {param_eq: {password: x}}, approval: block}
  - {name: writes, match: {type: "write_*"}, approval: approve}
  - {name: deletes, match: {type: "delete_*"}, approval: approve}
"""
CALLS = [
    ("read_file", {"path": "/data/a"}),  # stays auto
    ("read_file", {"path": "/etc/passwd"}),  # now blocked
    ("write_draft", {"path": "/data/a"}),  # approved, now free
    ("write_draft", {"path": "/data/b"}),  # denied, now free
    ("write_login", {"password": "hunter2"}),  # what was masked matters: unsure
    ("delete_file", {"path": "/data/\x1b[31ma"}),  # was blocked, now asked about
]


def aegis(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AEGIS_")}
    command = [sys.executable, "-m", "aegis", *words]
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "new.yaml").write_text(NEW, encoding="utf-8")
    with AuditLogger(tmp_path / "trail.db", durable=False) as trail:
        handler = ScriptedApprovalHandler([True, False, True])
        runtime = Runtime(policy=Policy.from_string(OLD), audit_logger=trail, approval_handler=handler)
        for kind, params in CALLS:
            runtime.run(Action(kind, "fs", params, session_id="s1"), lambda arguments: "done")
        runtime.close()
    return tmp_path


def replayed(folder: Path, *more: str) -> dict[str, Any]:
    done = aegis("replay", "trail.db", "--policy", "new.yaml", "--json", *more, cwd=folder)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_call_is_counted_as_changed_unchanged_or_unsure(folder: Path):
    found = replayed(folder)
    assert found["calls"] == len(CALLS)
    assert found["unchanged"] == 1
    assert found["now"] == {"blocked": 1, "asked": 1, "free": 2}
    assert found["unsure"] == 1
    assert found["approvals"] == {"then": 3, "now": 1, "now_at_most": 2}
    assert found["free_though_denied"] == 1
    assert found["blocked_though_approved"] == 0
    (unsure,) = found["examples"]["unsure"]
    assert (unsure["hidden"], unsure["now"]) == (["password"], ["approve", "block"])
    by_rule = {rule["rule"]: rule for rule in found["rules"]}
    assert by_rule["drafts"] == {"rule": "drafts", "calls": 2, "blocked": 0, "asked": 0, "free": 2, "unsure": 0}
    assert sum(rule["calls"] for rule in found["rules"]) == len(CALLS)


def test_people_read_sums_a_table_and_examples_without_control_characters(folder: Path):
    done = aegis("replay", "trail.db", "--policy", "new.yaml", cwd=folder)
    assert done.returncode == 0
    assert "1 unchanged, 1 now blocked, 1 now asked, 2 now free, 1 unsure" in done.stdout
    assert "approvals: 3 then, 1 to 2 now: 1 to 2 saved" in done.stdout
    assert "denied by a person, and now free: 1" in done.stdout
    assert "was asked about (writes), denied; now allowed by rule 'drafts'" in done.stdout
    assert "\x1b" not in done.stdout


def test_the_same_policy_changes_nothing(folder: Path):
    (folder / "new.yaml").write_text(OLD, encoding="utf-8")
    found = replayed(folder)
    assert (found["unchanged"], found["unsure"], found["moves"]) == (len(CALLS), 0, [])


def test_only_the_calls_asked_for_are_counted(folder: Path):
    assert replayed(folder, "--type", "read_file")["calls"] == 2
    assert replayed(folder, "--since", "1h")["calls"] == len(CALLS)
    assert replayed(folder, "--until", "1h")["calls"] == 0
    assert (
        aegis("replay", "trail.db", "--policy", "new.yaml", "--until", "1h", cwd=folder).stdout
        == "no calls on record\n"
    )


def test_a_session_is_learnt_from_all_its_calls_even_from_those_not_counted(folder: Path):
    (folder / "new.yaml").write_text(
        """
version: "1"
defaults: {approval: auto}
rules: [{name: tainted, match: {type: "delete_*"}, conditions: {after: {type: "read_*"}}, approval: block}]
""",
        encoding="utf-8",
    )
    found = replayed(folder, "--type", "delete_file")
    assert (found["calls"], found["unchanged"], found["now"]["free"]) == (1, 1, 0)


def test_replaying_writes_nothing(folder: Path):
    def rows() -> int:
        with sqlite3.connect(folder / "trail.db") as db:
            count: int = db.execute("SELECT count(*) FROM records").fetchone()[0]
        db.close()
        return count

    before = rows()
    replayed(folder)
    assert rows() == before


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("replay", "trail.db"), 2, "Missing option '--policy'"),
        (("replay", "trail.db", "--policy", "none.yaml"), 2, "none.yaml"),
        (("replay", "none.db", "--policy", "new.yaml"), 2, "none.db"),
        (("replay", "new.yaml", "--policy", "new.yaml"), 2, "new.yaml"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(folder: Path, arguments: tuple[str, ...], code: int, sentence: str):
    done = aegis(*arguments, cwd=folder)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == code
    assert not (folder / "none.db").exists()
