"""`aegis lint` as people and CI use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tests" / "mcp" / "tools"
LOOSE = 'version: "1"\ndefaults: {approval: auto}\n'


def aegis(*args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aegis", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False)


@pytest.fixture
def loose(tmp_path: Path) -> Path:
    file = tmp_path / "loose.yaml"
    file.write_text(LOOSE, encoding="utf-8")
    return file


def test_a_finding_says_what_where_why_and_what_to_do(loose: Path):
    ran = aegis("lint", "loose.yaml", cwd=loose.parent)
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[0] == (
        "loose.yaml:2:22: warning AEG006: defaults say auto: what no rule decides runs unasked"
    )
    assert "why: " in ran.stdout
    assert "fix: " in ran.stdout
    assert ran.stdout.endswith("1 file: 1 warning\n")


def test_json_and_github_formats_say_the_same(loose: Path):
    (finding,) = json.loads(aegis("lint", loose, "--json").stdout)
    assert (finding["code"], finding["level"], finding["line"], finding["column"]) == ("AEG006", "warning", 2, 22)
    assert finding["why"]
    assert finding["fix"]
    line = aegis("lint", "loose.yaml", "--format", "github", cwd=loose.parent).stdout
    assert line.startswith("::warning file=loose.yaml,line=2,col=22,title=aegis AEG006::defaults say auto")


def test_nothing_found_is_zero_and_infos_are_too(tmp_path: Path):
    file = tmp_path / "p.yaml"
    file.write_text('version: "1"\nrules:\n  - {name: r, match: {target: mail}, approval: block}\n', encoding="utf-8")
    assert aegis("lint", file).stdout == "1 file: nothing found\n"
    ran = aegis("lint", file, "--tools", f"filesystem={TOOLS / 'filesystem.json'}")
    assert ran.returncode == 0
    assert "info AEG012" in ran.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "name at least one policy file"),
        (["nowhere.yaml"], "nowhere.yaml: there is no such file"),
        (["loose.yaml", "--tools", "nowhere.json"], "nowhere.json: cannot be read"),
        (["loose.yaml", "--tools", "loose.yaml"], "loose.yaml: is not JSON"),
        (["loose.yaml", "--tools", "empty.json"], "holds no list of tools"),
        (["loose.yaml", "--tools", "nameless.json"], "tool number 1 has no name"),
        (["loose.yaml", "--"], "comes the command that starts a server"),
        (["loose.yaml", "--server", "x"], "--tools NAME=FILE"),
        (["--explain", "AEG999"], "is none of AEG001"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(loose: Path, args: list[str], said: str):
    (loose.parent / "empty.json").write_text("{}", encoding="utf-8")
    (loose.parent / "nameless.json").write_text('{"tools": [{}]}', encoding="utf-8")
    ran = aegis("lint", *args, cwd=loose.parent)
    assert ran.returncode == 2
    assert said in " ".join(ran.stderr.split())
    assert "Traceback" not in ran.stderr


def test_a_server_that_does_not_start_is_its_own_exit_code(loose: Path):
    ran = aegis("lint", loose, "--", "no-such-command-anywhere")
    assert ran.returncode == 3
    assert "no-such-command-anywhere" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_real_server_is_started_and_asked_for_its_tools(tmp_path: Path):
    file = tmp_path / "p.yaml"
    file.write_text(
        'version: "1"\nrules:\n  - {name: r, match: {type: no_such_tool, target: tools}, approval: block}\n',
        encoding="utf-8",
    )
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"tools": [{"name": "a_tool", "inputSchema": {"type": "object"}}]}), encoding="utf-8")
    server = ROOT / "tests" / "mcp" / "tool_server.py"
    ran = aegis("lint", file, "--server", "tools", "--", sys.executable, server, state)
    assert ran.returncode == 1, ran.stderr
    assert "server 'tools' has no 'no_such_tool'" in ran.stdout


def test_an_invalid_policy_is_a_finding_like_any_other(tmp_path: Path):
    (tmp_path / "bad.yaml").write_text('version: "1"\nrulez: []\n', encoding="utf-8")
    ran = aegis("lint", "bad.yaml", cwd=tmp_path)
    assert ran.returncode == 1
    assert "bad.yaml:2:1: error AEG001: unknown key 'rulez'; did you mean 'rules'?" in ran.stdout


def test_test_files_are_left_to_aegis_test(loose: Path):
    (loose.parent / "p.aegis-test.yaml").write_text("tests: []\n", encoding="utf-8")
    ran = aegis("lint", "loose.yaml", "p.aegis-test.yaml", cwd=loose.parent)
    assert ran.stdout.endswith("1 file: 1 warning\n")
    ran = aegis("lint", "p.aegis-test.yaml", cwd=loose.parent)
    assert ran.returncode == 2
    assert "aegis test" in ran.stderr


def test_a_code_is_explained():
    said = aegis("lint", "--explain", "aeg002").stdout
    assert said.startswith("AEG002 (error): rule never decides")


def test_control_characters_reach_no_terminal(tmp_path: Path):
    tools = tmp_path / "t.json"
    tools.write_text(json.dumps({"tools": [{"name": "x\x1b[31m_y"}]}), encoding="utf-8")
    file = tmp_path / "p.yaml"
    file.write_text('version: "1"\nrules:\n  - {name: r, match: {type: x_z}, approval: block}\n', encoding="utf-8")
    ran = aegis("lint", file, "--tools", f"s={tools}")
    assert "\x1b" not in ran.stdout
    assert "AEG012" in ran.stdout
