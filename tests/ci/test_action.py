"""The GitHub action: its steps run in a git repository as a runner would run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: dict[str, dict[str, Any]] = {step["name"]: step for step in ACTION["runs"]["steps"]}
POLICY = """version: "1"
defaults: {approval: block}
rules:
  - {name: reads, match: {type: "read_*"}, approval: auto}
  - {name: asks, match: {type: write_file}, approval: approve}
"""
TESTS = """target: fs
tests:
  - {name: reading runs, call: {type: read_file}, expect: auto}
"""

pytestmark = pytest.mark.skipif(not shutil.which("bash") or not shutil.which("git"), reason="needs bash and git")


class Job:
    """A job of a workflow: a repository, the inputs of the action, and what a step leaves to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repository"
        self.temp = folder / "temp"
        self.kept = folder / "env"
        for each in (self.folder, self.temp):
            each.mkdir()
        self.kept.write_text("")
        self.git("init", "--quiet")
        self.write("policies/shop policy.yaml", POLICY)
        self.write("policies/shop policy.aegis-test.yaml", TESTS)

    def git(self, *args: str) -> str:
        named = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *named, *args], cwd=self.folder, check=True, capture_output=True, encoding="utf-8"
        ).stdout

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.git("add", name)

    def run(self, step: str, **inputs: str) -> tuple[int, str]:
        known = {name: str(said.get("default", "")) for name, said in ACTION["inputs"].items()}
        values = {f"inputs.{name}": value for name, value in known.items()}
        values.update({f"inputs.{name.replace('_', '-')}": value for name, value in inputs.items()})
        values.update({"github.action_path": str(ROOT), "runner.temp": str(self.temp)})
        shown = STEPS[step]
        environment = {name: self.filled(text, values) for name, text in shown.get("env", {}).items()}
        condition = re.fullmatch(r"\$\{\{ (\S+) != '' \}\}", shown.get("if", "${{ x != '' }}"))
        assert condition, "the only kind of condition this test understands"
        if condition[1] != "x" and not values[condition[1]]:
            return 0, "left out"
        kept = dict(line.split("=", 1) for line in self.kept.read_text().splitlines())
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", shown["run"]],  # as a runner does
            cwd=self.folder,
            env={**os.environ, **kept, **environment, "GITHUB_ENV": str(self.kept)},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        return ran.returncode, ran.stdout + ran.stderr

    @staticmethod
    def filled(text: str, values: dict[str, str]) -> str:
        return re.sub(r"\$\{\{ (\S+) \}\}", lambda found: values[found[1]], text)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    made = Job(tmp_path)
    aegis = tmp_path / "aegis"
    aegis.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m aegis "$@"\n')
    aegis.chmod(0o755)
    made.kept.write_text(f"AEGIS={aegis}\n")
    return made


def test_lint_looks_at_the_policies_and_not_at_their_tests(job: Job) -> None:
    for policies in ("policies/shop policy.yaml", "policies/**/*.yaml\n", "\nnothing/*.yaml\n**/*.yaml"):
        code, said = job.run("Lint", policies=policies)
        assert (code, "error" in said) == (0, False), said


def test_lint_annotates_what_it_finds(job: Job) -> None:
    job.write("policies/bad.yaml", POLICY.replace("approval: block}\nrules", "approval: auto}\nrules"))
    code, said = job.run("Lint", policies="policies/*.yaml")
    assert code == 1, said
    assert "file=policies/bad.yaml,line=2" in said


def test_lint_knows_the_servers_tools(job: Job) -> None:
    job.write("tools.json", '{"tools": [{"name": "read_text_file", "inputSchema": {"type": "object"}}]}')
    code, said = job.run("Lint", policies="policies/*.yaml", tools="fs=tools.json")
    assert code == 1, said
    assert "write_file" in said


@pytest.mark.parametrize("policies", ["", "\n", "gone.yaml", "*.yaml", "policies/*.aegis-test.yaml"])
def test_patterns_that_match_nothing_are_an_error(job: Job, policies: str) -> None:
    code, said = job.run("Lint", policies=policies)
    assert (code, said) == (2, "::error::no file that git knows is matched by the input 'policies'\n")


def test_inputs_are_data_and_never_commands(job: Job) -> None:
    hostile = '$(touch owned)`touch owned`"; touch owned; "'
    for step, name in (("Lint", "policies"), ("Lint", "tools"), ("Test", "tests"), ("Test", "fail_under")):
        code, _ = job.run(step, **{"policies": "policies/*.yaml", name: hostile})
        assert code == 2, (step, name)
    assert not list(job.folder.rglob("owned"))


def test_tests_pass_or_are_annotated(job: Job) -> None:
    code, said = job.run("Test")
    assert code == 0, said
    assert "::warning file=policies/shop policy.yaml,line=5,title=rule asks::decides no test's call" in said
    code, said = job.run("Test", fail_under="100", tests="policies\n")
    assert code == 1
    assert "::error::the coverage of 50%25 is under 100%25" in said
    job.write("policies/shop policy.aegis-test.yaml", TESTS.replace("expect: auto", "expect: block"))
    code, said = job.run("Test", tests="policies/shop policy.aegis-test.yaml")
    assert code == 1
    assert "::error file=policies/shop policy.aegis-test.yaml,line=3,title=reading runs::" in said


def test_no_tests_where_they_are_looked_for_is_an_error_unless_none_are_wanted(job: Job) -> None:
    (job.folder / "empty").mkdir()
    assert job.run("Test", tests="empty")[0] == 2
    assert job.run("Test", tests="") == (0, "left out")


def test_every_input_is_used_and_every_one_that_is_used_is_there() -> None:
    used = set(re.findall(r"\$\{\{ inputs\.([\w-]+)", (ROOT / "action.yml").read_text(encoding="utf-8")))
    assert used == set(ACTION["inputs"])
    assert all(not re.search(r"\$\{\{", step["run"]) for step in STEPS.values()), "inputs reach scripts as environment"


@pytest.mark.slow
def test_the_action_installs_itself_where_the_job_keeps_temporary_files(job: Job) -> None:
    job.kept.write_text("")
    code, said = job.run("Install Aegis", python=sys.executable, extras="")
    assert code == 0, said
    assert job.kept.read_text().startswith(f"AEGIS={job.temp}")
    assert job.run("Lint", policies="policies/*.yaml")[0] == 0
    assert job.run("Test")[0] == 0
