"""``aegis test`` as a shell sees it: what it prints, in every format, and the exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from aegis.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POLICY = """version: "1"
rules:
  - name: reads
    match: {type: "read_*"}
    conditions:
      param_path: {path: {under: [/data]}}
    approval: auto
  - name: no_drops
    match: {type: "drop_*"}
    approval: block
  - name: no_tests
    match: {type: other}
    approval: approve
"""
GOOD = """target: fs
tests:
  - name: reading inside runs
    call: {type: read_file, params: {path: /data/a}}
    expect: auto
  - name: dropping does not run
    call: {type: drop_table}
    expect: {approval: block, rule: no_drops}
sessions:
  - name: a morning
    approvals: 1
    steps:
      - {type: read_file, params: {path: /data/a}}
      - {type: other}
"""
BAD = (
    GOOD
    + """  - name: an evening, with a % and a <
    approvals: 0
    steps:
      - {type: read_file, params: {path: "/etc/\\e[31mshadow"}}
"""
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "p.yaml").write_text(POLICY)
    (tmp_path / "p.aegis-test.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def command(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aegis", "test", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return command


def test_what_is_as_expected_is_counted_and_rules_without_a_test_are_named(folder: Path, run: Any) -> None:
    assert run() == (
        0,
        """p.aegis-test.yaml
  ✓ a morning (2 calls, 1 approval)
  ✓ 2 tests as expected

3 tests, 3 passed, 0 failed
coverage: 2 of 3 rules decided a test (66.6%)
  p.yaml:11: no_tests decided none
""",
        "",
    )
    assert "  ✓ reading inside runs\n  ✓ dropping does not run\n" in run("-v", folder / "p.aegis-test.yaml")[1]


def test_what_is_not_as_expected_is_shown_with_its_place_and_why(folder: Path, run: Any) -> None:
    (folder / "p.aegis-test.yaml").write_text(BAD.replace("rule: no_drops", "rule: reads"))
    code, out, err = run(folder)
    assert (code, err) == (1, "")
    assert (
        """  ✗ dropping does not run  p.aegis-test.yaml:6
      rule  - expected  reads
            + got       no_drops
        block (risk medium): blocked by rule 'no_drops'
          true      no_drops [block]
"""
        in out
    )
    assert (
        """  ✗ an evening, with a % and a < (1 calls, 0 approvals)  p.aegis-test.yaml:15
      call 1, read_file:
      approval  - expected  auto or approve
                + got       block
"""
        in out
    )
    assert "\x1b" not in out
    assert "4 tests, 2 passed, 2 failed" in out


@pytest.mark.parametrize(("under", "code"), [("66", 0), ("66.7", 1), ("100", 1), ("0", 0)])
def test_too_few_tested_rules_fail(folder: Path, run: Any, under: str, code: int) -> None:
    got, out, _ = run("--fail-under", under)
    assert got == code
    assert (f"the coverage of 66.6% is under {under}%\n" in out) is bool(code)


def test_json_says_it_to_programs(folder: Path, run: Any) -> None:
    (folder / "p.aegis-test.yaml").write_text(BAD)
    code, out, _ = run("--json", "--fail-under", 50)
    said = json.loads(out)
    assert (code, said["ok"], said["tests"], said["failed"]) == (1, False, 4, 1)
    assert said["coverage"] == {
        "percent": 66.67,
        "fail_under": 50.0,
        "rules": 3,
        "missing": [{"file": "p.yaml", "line": 11, "rule": "no_tests"}],
    }
    (file,) = said["files"]
    assert [(test["name"], test["kind"], test["ok"], test["approvals"]) for test in file["tests"]] == [
        ("reading inside runs", "test", True, 0),
        ("dropping does not run", "test", True, 0),
        ("a morning", "session", True, 1),
        ("an evening, with a % and a <", "session", False, 0),
    ]
    miss = file["tests"][3]["misses"][0]
    assert miss["differences"] == [{"what": "approval", "expected": "auto or approve", "got": "block"}]
    (folder / "p.aegis-test.yaml").write_text(GOOD)
    assert json.loads(run("--format", "json")[1])["ok"] is True
    assert json.loads(run("--format", "json", "--fail-under", 90)[1])["ok"] is False


def test_github_gets_annotations_of_the_lines_concerned(folder: Path, run: Any) -> None:
    (folder / "p.aegis-test.yaml").write_text(BAD)
    code, out, _ = run("--format", "github", "--fail-under", 99)
    first, second, third, last = out.splitlines()
    assert code == 1
    opening = "::error file=p.aegis-test.yaml,line=15,title=an evening%2C with a %25 and a <::call 1, read_file:%0A"
    assert first.startswith(opening)
    assert second == "::warning file=p.yaml,line=11,title=rule no_tests::decides no test's call"
    assert third == "::error::the coverage of 66.6%25 is under 99%25"
    assert last == "4 tests, 1 failed, coverage 66.6%"


def test_junit_is_xml_that_build_servers_read(folder: Path, run: Any) -> None:
    (folder / "p.aegis-test.yaml").write_text(BAD)
    code, out, _ = run("--format", "junit", "--fail-under", 99)
    suites = ElementTree.fromstring(out)
    assert code == 1
    assert [suite.attrib for suite in suites] == [
        {"name": "p.aegis-test.yaml", "tests": "4", "failures": "1"},
        {"name": "coverage", "tests": "1", "failures": "1"},
    ]
    failed = [case for case in suites.iter("testcase") if case.find("failure") is not None]
    assert [case.attrib["name"] for case in failed] == ["an evening, with a % and a <", "coverage"]
    assert "\\x1b" in "".join(failed[0].itertext()) or "\\e" in "".join(failed[0].itertext())


UNREADABLE = {
    "gone": "gone: there is no such file or folder",
    "empty": "no test files (*.aegis-test.yaml) here or below; write one beside the policy",
    "bad.aegis-test.yaml": "bad.aegis-test.yaml:1:1: unknown key 'test'; did you mean 'tests'?",
    "lonely.aegis-test.yaml": "there is no policy 'lonely.yaml' beside it; name the policy",
    "broken.aegis-test.yaml": "broken.yaml:1:1: unknown key 'rulez'; did you mean 'rules'?",
}


@pytest.mark.parametrize("path", UNREADABLE)
def test_what_cannot_be_read_is_no_silent_pass(folder: Path, run: Any, path: str) -> None:
    (folder / "empty").mkdir()
    (folder / "bad.aegis-test.yaml").write_text("test: []\n")
    (folder / "lonely.aegis-test.yaml").write_text(GOOD)
    (folder / "broken.yaml").write_text('rulez: []\nversion: "1"\n')
    (folder / "broken.aegis-test.yaml").write_text(GOOD)
    code, out, err = run(path) if path == "empty" else run("p.aegis-test.yaml", path)
    assert (code, out) == (2, "")
    assert UNREADABLE[path] in err
    assert "Traceback" not in err


def test_everything_wrong_with_any_file_is_said_at_once(folder: Path, run: Any) -> None:
    for name in ("a", "b"):
        (folder / f"{name}.aegis-test.yaml").write_text("test: []\n")
    code, _, err = run()
    assert code == 2
    assert "a.aegis-test.yaml:1:1" in err
    assert "b.aegis-test.yaml:1:1" in err


@pytest.mark.parametrize("args", [["--fail-under", "101"], ["--format", "xml"], ["--fail-under", "x"]])
def test_wrong_use_is_said_in_a_sentence(folder: Path, run: Any, args: list[str]) -> None:
    code, _, err = run(*args)
    assert code == 2
    assert "Usage: aegis test" in err


def test_a_pipe_whose_code_page_has_no_check_marks_gets_words(folder: Path) -> None:
    (folder / "p.aegis-test.yaml").write_text(BAD)
    ran = subprocess.run(
        [sys.executable, "-m", "aegis", "test"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert ran.returncode == 1, ran.stderr
    assert b"  FAILED an evening" in ran.stdout
    assert b"  ok 2 tests as expected" in ran.stdout


def test_the_example_in_the_help_is_a_test_file(folder: Path, run: Any) -> None:
    _, help_text, _ = run("--help")
    body = help_text[help_text.index("      target: filesystem") : help_text.index("  Nothing runs")]
    (folder / "q.yaml").write_text(
        'version: "1"\nrules:\n  - {name: r, match: {type: "read_*"}, approval: auto}\n'
        "  - {name: no_deletes, match: {type: delete_file}, risk_level: critical, approval: block}\n"
    )
    (folder / "q.aegis-test.yaml").write_text(body)
    code, out, err = run("q.aegis-test.yaml", "--fail-under", "100")
    assert code == 0, out + err
