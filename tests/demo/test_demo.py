"""`aegis demo`, run as a user runs it: the files and the trail show what it says."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aegis.runtime.audit import AuditLogger

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "aegis", "demo"]
CALLS = ["list_directory", "read_text_file", "write_file", "write_file", "delete_file", "read_text_file"]


def started(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.fixture(scope="module")
def unattended(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the demo says without a terminal, and the folder it was started in."""
    pytest.importorskip("mcp")
    folder = tmp_path_factory.mktemp("demo")
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "COLUMNS": "80", "NO_COLOR": "1"}
    ran = started(DEMO, stdin=subprocess.DEVNULL, env=environment, cwd=folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    return ran.stdout, folder


def home_of(tmp_path: Path) -> Path:
    (home,) = tmp_path.glob("aegis-demo-*")
    return home


def log_of(home: Path) -> list[dict[str, Any]]:
    trail = AuditLogger(db_path=home / "aegis_audit.db")
    try:
        return trail.get_log()
    finally:
        trail.close()


def files_of(home: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in (home / "files").iterdir()}


def test_without_a_terminal_a_script_answers_and_the_demo_says_so(unattended: tuple[str, Path]):
    said, folder = unattended
    home = home_of(folder)
    assert "a script, as there is no terminal: yes to the first question, then no" in said
    assert "asked: approved by the demo's script" in said
    assert "asked: denied by the demo's script" in said
    assert "blocked by rule 'never_delete'" in said
    assert "blocked by rule 'never_outside'" in said

    files = files_of(home)
    assert sorted(files) == ["notes.txt", "plan.txt", "summary.txt"]
    assert files["summary.txt"] == "Launch: Thursday.\n"
    assert files["plan.txt"].startswith("1. Write it down.")

    log = log_of(home)
    assert [entry["action_type"] for entry in log] == CALLS
    assert [entry["result_status"] for entry in log] == [
        "success",
        "success",
        "success",
        "denied",
        "blocked",
        "blocked",
    ]
    outside = Path(log[-1]["action_params"]["path"])
    assert ".." in outside.parts
    assert Path(os.path.normpath(outside)) == Path("/etc/passwd")
    assert [path.name for path in folder.iterdir()] == [home.name], "nothing is left anywhere else"


def test_it_names_commands_that_show_it_again(unattended: tuple[str, Path]):
    said, _ = unattended
    commands = re.findall(r"^  aegis (.*)$", said, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["audit", "check"]
    for command, words in zip(commands, ("write_file", "never_delete"), strict=True):
        again = started([sys.executable, "-m", "aegis", *command.split()])
        assert words in again.stdout, again.stdout + again.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answers", "written"), [("yn", {"summary.txt"}), ("ny", {"plan.txt"})])
def test_on_a_terminal_it_asks_whoever_is_there(tmp_path: Path, answers: str, written: set[str]):
    pytest.importorskip("mcp")
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TMPDIR=str(tmp_path), COLUMNS="100", NO_COLOR="1")
        os.chdir(tmp_path)
        os.execv(DEMO[0], DEMO)
    said, waiting = "", list(answers)
    while True:
        if not select.select([terminal], [], [], 60)[0]:
            os.kill(pid, signal.SIGKILL)
            pytest.fail(f"the demo says nothing any more:\n{said}")
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other end is gone
            break
        if not piece:
            break
        said += piece.decode("utf-8", "replace")
        if waiting and said.count("Approve this call?") > len(answers) - len(waiting):
            os.write(terminal, waiting.pop(0).encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert waiting == []

    home = home_of(tmp_path)
    files, log = files_of(home), log_of(home)
    changed = {name for name, content in files.items() if content in ("Launch: Thursday.\n", "1. Do it.\n")}
    assert changed == written
    asked = [(entry["human_decision"], entry["approver"].partition(":")[0]) for entry in log if entry["human_decision"]]
    assert asked == [("approved" if answer == "y" else "denied", "terminal") for answer in answers]


def test_without_the_extra_it_says_so_in_one_sentence():
    code = "import sys; sys.modules['mcp'] = None; sys.argv = ['aegis', 'demo']; from aegis.cli import main; main()"
    ran = started([sys.executable, "-c", code])
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr == "Error: the demo needs the MCP SDK: pip install 'aegis-agents[mcp]'\n"


def test_its_policy_is_one_of_the_examples():
    files = (ROOT / "aegis" / "demo" / "policy.yaml", ROOT / "examples" / "policies" / "demo.yaml")
    # All but the first line, which names the schema by where it is.
    shipped, example = (file.read_text(encoding="utf-8").partition("\n")[2] for file in files)
    assert shipped == example
