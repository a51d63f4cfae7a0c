"""The hooks for pre-commit: run by pre-commit itself, on a git repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("pre_commit")

ROOT = Path(__file__).parents[2]
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
GOOD = 'version: "1"\nrules:\n  - {name: reads, match: {type: "read_*"}, approval: auto}\n'
LOOSE = GOOD.replace("rules:", "defaults: {approval: auto}\nrules:")
TESTS = "target: fs\ntests:\n  - {name: reading runs, call: {type: read_file}, expect: auto}\n"

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")


class Repository:
    """A git repository with hooks."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PRE_COMMIT_HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        self.git("init", "--quiet")

    def git(self, *args: str) -> None:
        subprocess.run(["git", *args], cwd=self.folder, check=True, capture_output=True)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.git("add", name)

    def run(self, *args: str) -> tuple[int, str]:
        ran = subprocess.run(
            [sys.executable, "-m", "pre_commit", *args],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "repository").mkdir()
    made = Repository(tmp_path / "repository", tmp_path / "home")
    # As they are, but for where they come from: nothing is installed, `aegis` is the one under test.
    scripts = tmp_path / "bin"
    scripts.mkdir()
    (scripts / "aegis").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aegis "$@"\n')
    (scripts / "aegis").chmod(0o755)
    made.environment["PATH"] = f"{scripts}{os.pathsep}{made.environment['PATH']}"
    local = [{**hook, "language": "system"} for hook in HOOKS]
    for hook in local:
        del hook["additional_dependencies"]
    made.write(".pre-commit-config.yaml", yaml.safe_dump({"repos": [{"repo": "local", "hooks": local}]}))
    return made


def test_good_policies_pass_and_their_tests_are_run(repository: Repository) -> None:
    repository.write("policies/shop.yaml", GOOD)
    repository.write("policies/shop.aegis-test.yaml", TESTS)
    repository.write("other/values.yaml", "a: [this, is, no, policy]\n")
    code, said = repository.run("run", "--all-files")
    assert code == 0, said
    assert said.count("Passed") == 2


def test_a_policy_that_lint_finds_wanting_fails_wherever_it_lies(repository: Repository) -> None:
    repository.write("deploy/mcp-policy.yml", LOOSE)
    code, said = repository.run("run", "aegis-lint")
    assert code == 1, said
    assert "deploy/mcp-policy.yml:2" in said


def test_a_change_of_a_policy_that_breaks_a_test_fails(repository: Repository) -> None:
    repository.write("policies/shop.yaml", GOOD.replace("auto", "approve"))
    repository.write("policies/shop.aegis-test.yaml", TESTS)
    code, said = repository.run("run", "aegis-test")
    assert code == 1, said
    assert "reading runs" in said


def test_nothing_runs_where_no_policy_is_touched(repository: Repository) -> None:
    repository.write("src/main.py", "print()\n")
    code, said = repository.run("run", "--files", "src/main.py")
    assert code == 0, said
    assert said.count("Skipped") == 2


def test_the_hooks_bring_the_parsers_that_the_extras_bring() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for hook in HOOKS:
        assert sorted(hook["additional_dependencies"]) == sorted(extras["sql"] + extras["shell"] + extras["url"])


@pytest.mark.slow
def test_pre_commit_installs_the_hooks_from_a_clone_and_runs_them(tmp_path: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    source = tmp_path / "source"
    for name in tracked.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith(("tests/", "benchmarks/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    clone = Repository(source, tmp_path / "home")
    clone.git("add", "--all", "--force")
    clone.git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", "all")
    (tmp_path / "repository").mkdir()
    repository = Repository(tmp_path / "repository", tmp_path / "home")
    del repository.environment["PYTHONPATH"]
    repository.write("policies/shop.yaml", GOOD)
    repository.write("policies/shop.aegis-test.yaml", TESTS)
    code, said = repository.run("try-repo", str(source), "--all-files")
    assert code == 0, said
    assert said.count("Passed") == 2
