"""``aegis validate`` and ``aegis check``, and the command line's own manners, as a shell sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aegis.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = """version: "1"
rules:
  - name: read_data
    match: {type: "read_*", target: filesystem}
    conditions:
      param_path: {path: {under: [/data]}}
      param_lt: {size: 100}
    risk_level: low
    approval: auto
  - name: never_drop
    match: {type: "drop_*", agent: bot}
    approval: block
"""
BAD = """version: "1"
rulez: []
rules:
  - name: a
    match: {type: x}
    aproval: auto
  - name: b
    approval: no
    conditions: {param_matches: {sql: "(?=x)"}}
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def command(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aegis", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return command


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    return path


def test_a_valid_file_is_said_to_be_valid(run: Any, good: Path) -> None:
    assert run("validate", good) == (0, f"{good}: valid, 2 rules\n", "")


def test_every_problem_is_listed_with_its_place(run: Any, bad: Path, good: Path) -> None:
    code, out, _ = run("validate", bad, good)
    assert code == 1
    for place, what in (
        ("2:1", "unknown key 'rulez'"),
        ("6:5", "did you mean 'approval'"),
        ("8:15", "unquoted no is ambiguous"),
        ("9:39", "is not an RE2 pattern"),
    ):
        assert any(line.startswith(f"{bad}:{place}: error: ") and what in line for line in out.splitlines()), (
            place,
            out,
        )
    assert f"{good}: valid" in out


def test_problems_as_json_name_file_line_column_rule_and_key(run: Any, bad: Path) -> None:
    code, out, _ = run("validate", "--json", bad)
    assert code == 1
    (report,) = json.loads(out)
    assert report["ok"] is False
    found = {(problem["line"], problem["column"], problem["rule"]) for problem in report["problems"]}
    assert {(2, 1, None), (6, 5, "a"), (9, 39, "b")} <= found


@pytest.mark.parametrize("name", ["nowhere.yaml", "."])
def test_a_file_that_cannot_be_read_is_another_exit_code(run: Any, name: str) -> None:
    code, out, _ = run("validate", name)
    assert code == 2
    assert "cannot be read" in out


def test_check_says_what_is_decided_and_why(run: Any, good: Path) -> None:
    code, out, _ = run("check", good, "read_file", "filesystem", "-p", "path=/data/a", "--param", "size=5")
    assert code == 0
    assert out.startswith("auto (risk low): allowed by rule 'read_data'")
    assert "param_lt size = 5" in out
    _, out, _ = run("check", good, "read_file", "filesystem", "-p", "path=/data/../etc/passwd", "-p", "size=5")
    assert out.startswith("block")
    assert "undecided" in out


@pytest.mark.parametrize(
    ("value", "truth"), [("5", True), ('"5"', None), ("500", False), ("x", None), ("null", False), ("true", None)]
)
def test_check_reads_json_values_as_such_and_anything_else_as_text(
    run: Any, good: Path, value: str, truth: Any
) -> None:
    _, out, _ = run("check", "--json", good, "read_file", "filesystem", "-p", "path=/data/a", "-p", f"size={value}")
    found = {entry["condition"]: entry["truth"] for entry in json.loads(out)["rules"][0]["conditions"]}
    assert found["param_lt size"] is truth


def test_check_can_be_held_to_an_expectation(run: Any, good: Path) -> None:
    assert run("check", good, "drop_table", "db", "--agent", "bot", "--expect", "block")[0] == 0
    code, _, err = run("check", good, "drop_table", "db", "--agent", "bot", "--expect", "auto")
    assert code == 1
    assert "expected auto, got block" in err


def test_check_shows_no_secret_and_nothing_invisible(run: Any, good: Path) -> None:
    _, out, _ = run(
        "check", good, "read_file", "filesystem", "-p", "path=/data/\u202eAKIAIOSFODNN7EXAMPLE", "-p", "size=1"
    )
    assert "AKIAIOSFODNN7EXAMPLE" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("check", "POLICY", "x", "y", "-p", "novalue"), "is not NAME=VALUE"),
        (("check", "POLICY", "x", "y", "--at", "yesterday"), "is not an ISO 8601 time"),
        (("check", "POLICY", "x"), "Missing argument"),
        (("check", "nowhere.yaml", "x", "y"), "cannot be read"),
        (("vaildate", "x"), "Did you mean 'validate'?"),
        (("validate",), "Missing argument"),
        (("validate", "--jsn", "x"), "--json"),
        (("check", "POLICY", "a", "b", "-p", "c=1", "-p", "c=2"), "'c' is given twice"),
    ],
)
def test_mistakes_are_answered_with_a_sentence_and_exit_code_2(
    run: Any, good: Path, args: tuple[str, ...], sentence: str
) -> None:
    code, _, err = run(*(good if word == "POLICY" else word for word in args))
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err


def test_problems_and_rules_of_included_files_are_named_with_their_own_place(run: Any, tmp_path: Path) -> None:
    policy, other = tmp_path / "policy.yaml", tmp_path / "other.yaml"
    policy.write_text('version: "1"\ninclude: other.yaml\n')
    other.write_text('version: "1"\nrules:\n  - {name: reads, match: {type: read}, aproval: auto}\n')
    code, out, _ = run("validate", policy)
    assert code == 1
    assert out.startswith(f"{other}:3:40: error: rule 'reads': unknown key 'aproval'")
    assert json.loads(run("validate", policy, "--json")[1])[0]["problems"][0]["file"] == str(other)
    other.write_text(other.read_text().replace("aproval", "approval"))
    assert f"  true      reads [auto] ({other}:3)\n" in run("check", policy, "read", "fs")[1]
    assert json.loads(run("check", policy, "read", "fs", "--json")[1])["rules"][0]["place"] == f"{other}:3"


def test_help_names_every_command_and_the_exit_codes(run: Any) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for command in ("approvals", "audit", "check", "demo", "proxy", "validate"):
        assert f"\n  {command} " in out
    assert "Exit codes" in out


def test_output_cut_off_by_its_reader_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "long.yaml"
    file.write_text('version: "1"\nrules:\n' + "".join(f"  - {{name: r{number}}}\n" for number in range(5000)))
    # The reader stops after one line; the command itself must not call that a failure of its own.
    command = f"{{ {sys.executable} -m aegis validate {file}; echo $? >&2; }} | head -1"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ran.stdout.startswith(f"{file}:3:5: error: ")
    assert ran.stderr.strip() in ("0", "1"), "an exit code and nothing else: no traceback"


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_command_whose_output_is_closed_does_its_work(tmp_path: Path, good: Path, closed: str) -> None:
    ran = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m aegis validate {good} {closed}; echo $? >{tmp_path}/code"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stderr == ""
    assert (tmp_path / "code").read_text().strip() == "0"


def test_a_policy_from_a_pipe_is_read_and_one_that_cannot_be_read_is_told_from_a_wrong_one(tmp_path: Path) -> None:
    bad, secret = tmp_path / "bad.yaml", tmp_path / "secret.yaml"
    bad.write_text(BAD)
    secret.mkdir()  # who runs the tests may be allowed to read everything
    for given, code in ((f"<(cat {bad})", 1), (bad, 1), (secret, 2), (f"{bad} {secret}", 2), ("<(true)", 1)):
        command = f"{sys.executable} -m aegis validate {given}"
        assert subprocess.run(["bash", "-c", command], capture_output=True, check=False).returncode == code
