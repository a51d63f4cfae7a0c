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

    def commit(self) -> str:
        self.git("commit", "--quiet", "--message", "base")
        return self.git("rev-parse", "HEAD").strip()

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
        values["inputs.base"] = inputs.get("base", "")
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
        assert job.run("Find the policies", policies=policies) == (0, "")
        code, said = job.run("Lint")
        assert (code, "error" in said) == (0, False), said


def test_lint_annotates_what_it_finds(job: Job) -> None:
    job.write("policies/bad.yaml", POLICY.replace("approval: block}\nrules", "approval: auto}\nrules"))
    job.run("Find the policies", policies="policies/*.yaml")
    code, said = job.run("Lint")
    assert code == 1, said
    assert "file=policies/bad.yaml,line=2" in said


def test_lint_knows_the_servers_tools(job: Job) -> None:
    job.write("tools.json", '{"tools": [{"name": "read_text_file", "inputSchema": {"type": "object"}}]}')
    job.run("Find the policies", policies="policies/*.yaml")
    code, said = job.run("Lint", tools="fs=tools.json")
    assert code == 1, said
    assert "write_file" in said


@pytest.mark.parametrize("policies", ["", "\n", "gone.yaml", "*.yaml", "policies/*.aegis-test.yaml"])
def test_patterns_that_match_nothing_are_an_error(job: Job, policies: str) -> None:
    code, said = job.run("Find the policies", policies=policies)
    assert (code, said) == (2, "::error::no file that git knows is matched by the input 'policies'\n")


def test_inputs_are_data_and_never_commands(job: Job) -> None:
    hostile = '$(touch owned)`touch owned`"; touch owned; "'
    job.run("Find the policies", policies="policies/*.yaml")
    for step, name in (
        *(("Lint", "tools"), ("Test", "tests"), ("Test", "fail_under"), ("Compare", "base")),
        ("Find the policies", "policies"),
    ):
        code, said = job.run(step, **{name: hostile})
        assert code == 2, (step, name, said)
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


def test_a_change_that_loosens_a_policy_is_refused_unless_it_is_allowed(job: Job) -> None:
    base = job.commit()
    job.run("Find the policies", policies="policies/*.yaml")
    code, said = job.run("Compare", base=base)
    assert code == 0, said
    assert said.startswith("policies/shop policy.yaml: No call is decided less strictly.")
    job.write("policies/shop policy.yaml", POLICY.replace("approve}", "auto}"))
    code, said = job.run("Compare", base=base)
    assert code == 1
    assert said.startswith("::error file=policies/shop policy.yaml::looser: ")
    assert "%0A" in said
    assert len(said.splitlines()) == 1
    code, said = job.run("Compare", base=base, allow_looser="true")
    assert code == 0
    assert said.startswith("::warning file=policies/shop policy.yaml::looser: ")
    job.write("policies/shop policy.yaml", POLICY.replace("approve}", "block}"))
    assert job.run("Compare", base=base)[0] == 0


def test_a_change_of_a_file_that_a_policy_includes_is_a_change_of_the_policy(job: Job) -> None:
    job.write("policies/shop policy.yaml", POLICY.replace("rules:", "include: common.yaml\nrules:"))
    job.write(
        "policies/common.yaml", 'version: "1"\nrules:\n  - {name: more, match: {type: list}, approval: approve}\n'
    )
    base = job.commit()
    job.write("policies/common.yaml", 'version: "1"\nrules:\n  - {name: more, match: {type: list}, approval: auto}\n')
    job.run("Find the policies", policies="policies/shop*.yaml")
    code, said = job.run("Compare", base=base)
    assert code == 1, said
    assert said.startswith("::error file=policies/shop policy.yaml::looser: ")


def test_policies_that_are_new_removed_or_were_broken_are_named(job: Job) -> None:
    job.write("policies/old, one.yaml", POLICY)
    job.write("policies/broken.yaml", "rulez: []\n")
    base = job.commit()
    job.git("rm", "--quiet", "policies/old, one.yaml")
    job.write("policies/new.yaml", POLICY)
    job.write("policies/broken.yaml", POLICY)
    job.run("Find the policies", policies="policies/*.yaml")
    code, said = job.run("Compare", base=base)
    assert code == 1
    assert "::notice file=policies/new.yaml::This policy is new: there is nothing to compare it with." in said
    assert "::error file=policies/old%2C one.yaml::This policy is removed" in said
    assert "unknown key 'rulez'" in said
    assert job.run("Compare", base=base, allow_looser="true")[0] == 0


def test_a_base_that_is_not_there_is_said_and_without_one_nothing_is_compared(job: Job) -> None:
    job.commit()
    job.run("Find the policies", policies="policies/*.yaml")
    code, said = job.run("Compare", base="0123456789012345678901234567890123456789")
    assert code == 2
    assert "give actions/checkout fetch-depth: 0" in said
    assert job.run("Compare", base="--help")[0] == 2
    assert job.run("Compare", base="") == (0, "left out")


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
    assert job.run("Find the policies", policies="policies/*.yaml")[0] == 0
    assert job.run("Lint")[0] == 0
    assert job.run("Test")[0] == 0
