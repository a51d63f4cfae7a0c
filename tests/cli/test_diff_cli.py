"""`aegis diff` as people and CI use it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aegis import Action, Policy, Runtime
from aegis.runtime.audit import AuditLogger

if TYPE_CHECKING:
    from pathlib import Path

OLD = """version: "1"
defaults: {approval: approve}
rules:
  - {name: reads, match: {type: "read_*", target: fs}, approval: auto}
  - {name: secrets, match: {type: login}, conditions: {param_eq: {password: x}}, approval: block}
"""


def aegis(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aegis", "diff", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "old.yaml").write_text(OLD, encoding="utf-8")
    (tmp_path / "same.yaml").write_text("# a comment\n" + OLD, encoding="utf-8")
    (tmp_path / "wider.yaml").write_text(OLD.replace('"read_*"', '["read_*", write_file]'), encoding="utf-8")
    (tmp_path / "narrower.yaml").write_text(OLD.replace('"read_*"', "read_file"), encoding="utf-8")
    (tmp_path / "masked.yaml").write_text(OLD.replace("password: x", "password: other"), encoding="utf-8")
    return tmp_path


def test_the_same_meaning_is_no_change(folder: Path):
    ran = aegis(folder, "old.yaml", "same.yaml")
    assert ran.returncode == 0
    assert ran.stdout == "No call is decided less strictly.\nNo call is decided more strictly.\n"


def test_looser_fails_and_shows_a_call_unless_it_is_allowed(folder: Path):
    ran = aegis(folder, "old.yaml", "wider.yaml")
    assert ran.returncode == 1
    assert ran.stdout == (
        "looser: rule 'reads' changed\n"
        "    write_file@fs\n"
        "    approve (by default), now auto (by rule 'reads')\n"
        "Some calls are decided less strictly.\n"
        "No call is decided more strictly.\n"
    )
    assert aegis(folder, "old.yaml", "wider.yaml", "--allow-looser").returncode == 0


def test_stricter_alone_passes(folder: Path):
    ran = aegis(folder, "old.yaml", "narrower.yaml", "--json")
    assert ran.returncode == 0
    told = json.loads(ran.stdout)
    assert (told["looser"], told["stricter"]) == (False, True)
    (change,) = told["changes"]
    assert change["example"]["old"]["approval"] == "auto"
    assert change["example"]["new"]["approval"] == "approve"


def test_recorded_calls_that_go_another_way_are_counted_and_masked_ones_are_not_guessed(folder: Path):
    everything = Policy.from_string('version: "1"\ndefaults: {approval: auto}')
    with AuditLogger(folder / "trail.db", durable=False) as logger:
        runtime = Runtime(policy=everything, audit_logger=logger)
        for action in (Action("read_text", "fs"), Action("read_file", "fs"), Action("login", "web", {"password": "x"})):
            runtime.run(action, lambda arguments: "done")
        runtime.close()
    ran = aegis(folder, "old.yaml", "narrower.yaml", "--audit", "trail.db")
    assert "On the trail: 3 calls, 2 decided alike, 0 not known." in ran.stdout
    assert "1 auto by 'reads', now approve by '<default>' (first: read_text@fs, " in ran.stdout
    ran = aegis(folder, "old.yaml", "masked.yaml", "--audit", "trail.db", "--json")
    assert json.loads(ran.stdout)["recorded"] == {"calls": 3, "same": 2, "unsure": 1, "moved": []}
    assert (
        json.loads(aegis(folder, "old.yaml", "same.yaml", "--audit", "trail.db", "--json").stdout)["recorded"]["unsure"]
        == 0
    )


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["old.yaml"], 2, "Missing argument 'NEW'"),
        (["old.yaml", "nowhere.yaml"], 2, "nowhere.yaml: cannot be read"),
        (["old.yaml", "bad.yaml"], 2, "bad.yaml:1:1: "),
        (["old.yaml", "same.yaml", "--since", "7d"], 2, "name the trail with --audit"),
        (["old.yaml", "same.yaml", "--audit", "nowhere.db"], 2, "nowhere.db"),
        (["old.yaml", "same.yaml", "--audit", "old.yaml"], 2, "old.yaml"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(folder: Path, args: list[str], code: int, said: str):
    (folder / "bad.yaml").write_text("rules: []\n", encoding="utf-8")
    ran = aegis(folder, *args)
    assert ran.returncode == code, ran.stderr
    assert said in " ".join(ran.stderr.split())
    assert "Traceback" not in ran.stderr
