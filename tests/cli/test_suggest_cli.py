"""``aegis suggest`` as its users meet it: from a trail to a diff that patches, lints and loads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aegis import Action, Policy, Runtime
from aegis.runtime.approval import CallbackApprovalHandler
from aegis.runtime.audit import AuditLogger

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """# ours
version: "1"
rules:
  - name: reads
    match: {type: "read_*"}
    approval: auto
  - name: asks_about_writes
    match: {type: "write_*"}
    approval: approve
"""


def aegis(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AEGIS_")}
    command = [sys.executable, "-m", "aegis", *words]
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    handler = CallbackApprovalHandler(lambda request: request.action.type == "write_report", approver="al\x1b[31mice")
    with (
        AuditLogger(tmp_path / "aegis_audit.db", durable=False) as trail,
        Runtime(policy=Policy.from_string(POLICY), audit_logger=trail, approval_handler=handler) as runtime,
    ):
        for number in range(25):
            params = {"path": f"/data/reports/{number}.md"}
            runtime.run(Action("read_file", "fs", params), lambda arguments: "text")
            runtime.run(Action("write_report", "fs", params), lambda arguments: "done")
            runtime.run(Action("write_env", "fs", {"path": f"/data/{number}/.env"}), lambda arguments: "done")
    return tmp_path


def test_the_diff_patches_the_policy_and_what_comes_out_lints_and_answers_by_itself(folder: Path):
    done = aegis("suggest", "--policy", "policy.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "allow: write_report_as_approved: approved 25 of 25" in done.stderr
    assert "block: write_env_as_denied: denied 25 of 25" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    if shutil.which("patch"):
        subprocess.run(["patch", "-p0"], cwd=folder, input=done.stdout, text=True, check=True, capture_output=True)
    else:
        assert aegis("suggest", "--policy", "policy.yaml", "-o", "policy.new", cwd=folder).returncode == 0
        (folder / "policy.new").replace(folder / "policy.yaml")
    lint = aegis("lint", "policy.yaml", cwd=folder)
    assert "error" not in lint.stdout
    replay = json.loads(aegis("replay", "--policy", "policy.yaml", "--json", cwd=folder).stdout)
    assert replay["approvals"] == {"then": 50, "now": 0, "now_at_most": 0}
    assert (replay["free_though_denied"], replay["blocked_though_approved"]) == (0, 0)
    asked = ("check", "policy.yaml", "write_report", "fs", "-p", "path=/etc/x", "--expect", "approve")
    assert aegis(*asked, cwd=folder).returncode == 0


def test_the_policy_itself_is_not_touched_and_another_file_is_whole(folder: Path):
    done = aegis("suggest", "--policy", "policy.yaml", "-o", "new.yaml", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "")
    assert (folder / "policy.yaml").read_text(encoding="utf-8") == POLICY
    assert len(Policy.from_yaml(folder / "new.yaml").rules) == 4


def test_programs_get_the_suggestions_with_their_evidence(folder: Path):
    found = json.loads(aegis("suggest", "--policy", "policy.yaml", "--json", "--min", "25", cwd=folder).stdout)
    assert found["calls"] == 75
    allow, block = found["suggestions"]
    assert (allow["kind"], allow["before"], allow["open"]) == ("allow", "asks_about_writes", [])
    assert allow["document"]["conditions"]["param_path"] == {"path": {"under": ["/data/reports"]}}
    assert (block["kind"], block["document"]["approval"]) == ("block", "block")
    assert found["diff"][0] == "--- policy.yaml"


def test_nothing_to_suggest_is_said_and_is_no_failure(folder: Path):
    done = aegis("suggest", "--policy", "policy.yaml", "--min", "26", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing to suggest from 75 calls" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Missing option '--policy'"),
        (("--policy", "none.yaml"), "none.yaml"),
        (("none.db", "--policy", "policy.yaml"), "none.db"),
        (("--policy", "policy.yaml", "--min", "1"), "--min"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(folder: Path, arguments: tuple[str, ...], sentence: str):
    done = aegis("suggest", *arguments, cwd=folder)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
