"""``aegis hook claude-code`` as the client runs it: one process an event, JSON in, an exit code of 0 or 2 out."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aegis_core.approval.store import ApprovalStore
from aegis_core.audit.sqlite import AuditLogger
from aegis_core.errors import AuditError

POLICY = """
version: "1"
rules:
  - name: own
    match: {type: [Write, Edit]}
    conditions: {param_matches: {file_path: "aegis|[.]claude"}}
    approval: block
  - {name: shell, match: {type: Bash}, conditions: {param_matches: {command: "aegis|[.]claude"}}, approval: block}
  - {name: look, match: {type: [Read, Bash], target: claude-code}, approval: auto}
  - {name: change, match: {type: [Write, Edit]}, approval: approve}
  - {name: notes, match: {type: "create_*", target: github}, approval: auto}
  - {name: secret, match: {target: vault}, risk_level: critical, approval: block}
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and permissions")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The user's folder, with Aegis's files in ``aegis``."""
    (tmp_path / "aegis").mkdir()
    (tmp_path / "aegis" / "policy.yaml").write_text(POLICY)
    return tmp_path


def event(name: str = "PreToolUse", tool: str = "Read", use: str = "toolu_1", **more: Any) -> dict[str, Any]:
    arguments = more.pop("arguments", {"file_path": "/w/a.txt"})
    facts = {"session_id": "session-1", "cwd": "/w", "permission_mode": "default", "transcript_path": "/t.jsonl"}
    return {**facts, "hook_event_name": name, "tool_name": tool, "tool_input": arguments, "tool_use_id": use, **more}


def command(home: Path, *options: str) -> list[str]:
    start = [sys.executable, "-m", "aegis", "hook", "claude-code"]
    return [*start, "--policy", str(home / "aegis" / "policy.yaml"), *options]


def hook(
    home: Path, sent: dict[str, Any] | bytes, *options: str, **variables: str
) -> tuple[int, dict[str, Any] | None, str]:
    """Run the hook: the exit code, what it decided, what it said on standard error."""
    data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AEGIS_", "CLAUDE_"))}
    env = {**kept, "HOME": str(home), "USERPROFILE": str(home), **variables}
    ran = subprocess.run(command(home, *options), input=data, capture_output=True, env=env, timeout=120, check=False)
    assert b"Traceback" not in ran.stderr, ran.stderr.decode()
    told = json.loads(ran.stdout)["hookSpecificOutput"] if ran.stdout else None
    if told is not None:
        assert told.pop("hookEventName") == "PreToolUse"
    return ran.returncode, told, ran.stderr.decode()


def log(home: Path) -> list[dict[str, Any]]:
    with AuditLogger(home / "aegis" / "aegis_audit.db") as trail:
        return trail.get_log()


def test_what_may_run_gets_no_opinion_and_is_on_record_before_it_runs(home: Path) -> None:
    assert hook(home, event()) == (0, None, "")
    [call] = log(home)
    assert (call["action_type"], call["action_target"], call["agent"]) == ("Read", "claude-code", "claude-code")
    assert (call["matched_rule"], call["approval"], call["session_id"]) == ("look", "auto", "session-1")
    assert call["result_status"] == "unknown", "nobody has told how it ended"
    assert call["labels"]["tool_use_id"] == "toolu_1"
    assert call["labels"]["permission_mode"] == "default"


def test_a_call_that_has_no_name_is_judged_and_its_end_stays_unknown(home: Path) -> None:
    sent = event()
    del sent["tool_use_id"]
    assert hook(home, sent) == (0, None, "")
    assert hook(home, {**sent, "hook_event_name": "PostToolUse", "tool_response": "x"}) == (0, None, "")
    assert hook(home, sent) == (0, None, "")
    assert [call["result_status"] for call in log(home)] == ["unknown", "unknown"]
    assert len({call["call_id"] for call in log(home)}) == 2


def test_only_allow_makes_the_client_ask_nobody(home: Path) -> None:
    code, told, _ = hook(home, event(), "--allow")
    assert code == 0
    assert told is not None
    assert told["permissionDecision"] == "allow"
    assert "look" in told["permissionDecisionReason"]


def test_what_is_blocked_is_denied_with_the_reason(home: Path) -> None:
    code, told, _ = hook(home, event(tool="mcp__vault__read", arguments={"key": "x"}), "--allow")
    assert (code, told and told["permissionDecision"]) == (0, "deny")
    assert told is not None
    assert told["permissionDecisionReason"] == "read: blocked by rule 'secret'. The call did not run."
    [call] = log(home)
    assert (call["action_target"], call["result_status"]) == ("vault", "blocked")


def test_what_needs_approval_is_asked_about_in_the_client(home: Path) -> None:
    code, told, _ = hook(home, event(tool="Write", arguments={"file_path": "/w/a", "content": "x"}), "--allow")
    assert (code, told and told["permissionDecision"]) == (0, "ask")
    [call] = log(home)
    assert (call["approval"], call["result_status"], call["human_decision"]) == ("approve", "unknown", None)


def test_how_a_call_ended_is_told_by_the_later_event(home: Path) -> None:
    for use in ("a", "b", "c", "d"):
        assert hook(home, event(use=use))[0] == 0
    assert hook(home, event("PostToolUse", use="a", tool_response={"content": "hello"})) == (0, None, "")
    assert hook(home, event("PostToolUseFailure", use="b", error="no such file"))[0] == 0
    assert hook(home, event("PostToolUseFailure", use="c", error="x", is_interrupt=True))[0] == 0
    assert hook(home, event("PostToolUse", use="a", tool_response={"content": "other"}))[0] == 0
    calls = log(home)
    assert [call["result_status"] for call in calls] == ["success", "failed", "cancelled", "unknown"]
    assert calls[0]["result"] == {"content": "hello"}, "the first word counts"
    assert calls[0]["claimed_by"] == "claude-code"
    assert calls[1]["error"] == "no such file"
    assert all(call["duration_ms"] >= 0 for call in calls[:3])


def test_an_outcome_of_a_call_that_was_never_judged_is_an_event(home: Path) -> None:
    assert hook(home, event("PostToolUse", tool_response="x")) == (0, None, "")
    assert log(home) == []
    with sqlite3.connect(home / "aegis" / "aegis_audit.db") as database:
        kinds = [kind for (kind,) in database.execute("SELECT kind FROM records")]
    database.close()
    assert "outcome_without_intent" in kinds


def test_the_same_call_in_another_session_is_another_call(home: Path) -> None:
    hook(home, event())
    hook(home, event(session_id="session-2"))
    hook(home, event("PostToolUse", session_id="session-2", tool_response="x"))
    assert [call["result_status"] for call in log(home)] == ["unknown", "success"]


@pytest.mark.parametrize(
    ("tool", "decision"),
    [
        ("mcp__github__create_issue", None),
        ("mcp__other__create_issue", "deny"),
        ("mcp__vault__x", "deny"),
        # Divided otherwise it is the tool x of a server a__vault or the like: the strictest reading counts.
        ("mcp__github__create_x__y", "deny"),
        ("mcp__a__vault__x", "deny"),
        ("mcp__", "deny"),
        ("read", "deny"),
        ("R\u0435ad", "deny"),
    ],
)
def test_the_name_of_a_servers_tool_is_divided_and_doubt_is_strict(home: Path, tool: str, decision: str | None) -> None:
    code, told, _ = hook(home, event(tool=tool, arguments={}))
    assert code == 0
    assert (told and told["permissionDecision"]) == decision


def test_a_request_in_the_queue_runs_once_it_is_approved(home: Path) -> None:
    write = event(tool="Write", arguments={"file_path": "/w/a", "content": "x"})
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(hook, home, write, "--queue")
        _approve(home)
        assert waiting.result() == (0, None, "")
    [call] = log(home)
    assert (call["human_decision"], call["approver"], call["result_status"]) == ("approved", "alice", "unknown")


def _approve(home: Path) -> None:
    """Approve the first request that is filed."""
    path = home / "aegis" / "aegis_audit.db"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(AuditError), AuditLogger(path) as trail:  # not there yet, or being made
            store = ApprovalStore(trail)
            if pending := store.requests(pending=True):
                store.answer(pending[0].id, approved=True, approver="alice", via="test")
                return
        time.sleep(0.05)


def test_observing_refuses_nothing_and_records_everything(home: Path) -> None:
    assert hook(home, event(tool="mcp__vault__read", arguments={}), "--observe", "--allow") == (0, None, "")
    [call] = log(home)
    assert (call["approval"], call["enforced"]) == ("block", False)


# --- whatever goes wrong, the call does not run ---


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b'{"hook_event_name": "PreToolUse"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"hook_event_name": "PreToolUse", "hook_event_name": "PreToolUse"}',
        json.dumps(event("Stop")).encode(),
        json.dumps(event(tool_name=7)).encode(),
        json.dumps(event(tool_input=[1])).encode(),
        json.dumps(event(tool_use_id=None)).encode(),
        json.dumps(event(session_id="")).encode(),
        json.dumps(event(arguments={"a": 1})).replace('{"a": 1}', '{"a": 1, "a": 2}').encode(),
    ],
)
def test_an_event_that_cannot_be_read_for_certain_blocks(home: Path, sent: bytes) -> None:
    code, told, said = hook(home, sent)
    assert (code, told) == (2, None)
    assert said.startswith("aegis: ")
    assert said.endswith(". The call did not run.\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (None, "cannot be read"),
        ("rules: [", "policy.yaml"),
        (POLICY + "\naproval: x\n", "unknown key 'aproval'"),
        (POLICY + "results:\n  - {name: x, block: true}\n", "cannot alter what tools return"),
        ('version: "1"\ndefaults: {approval: auto}\n', "which governs it"),
    ],
)
def test_a_policy_that_cannot_be_used_blocks(home: Path, policy: str | None, said: str) -> None:
    file = home / "aegis" / "policy.yaml"
    if policy is None:
        file.unlink()
    else:
        file.write_text(policy)
    code, told, why = hook(home, event())
    assert (code, told) == (2, None)
    assert said in why


def test_a_policy_that_lets_the_agent_rewrite_it_is_used_only_if_that_is_said_and_then_on_record(home: Path) -> None:
    (home / "aegis" / "policy.yaml").write_text('version: "1"\ndefaults: {approval: auto}\n')
    assert hook(home, event())[0] == 2
    assert hook(home, event(), "--allow-writable-policy") == (0, None, "")
    [call] = log(home)
    assert call["labels"]["writable_policy"] == "allowed"


@posix
@pytest.mark.parametrize(
    ("name", "mode"),
    [("policy.yaml", 0), ("aegis_audit.db", 0o400), ("aegis_audit.db", 0), ("aegis_audit.db.key", 0), ("", 0)],
)
def test_files_without_permission_block(home: Path, name: str, mode: int) -> None:
    bound = list[str]()
    if os.geteuid() == 0:  # whom permissions bind once those rights are given up
        bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        if shutil.which(bound[0]) is None or subprocess.run([*bound, "true"], check=False).returncode:
            pytest.skip("the superuser may read and write anything")

    def run(use: str) -> subprocess.CompletedProcess[bytes]:
        sent = json.dumps(event(use=use)).encode()
        return subprocess.run([*bound, *command(home)], input=sent, capture_output=True, timeout=120, check=False)

    first = run("toolu_1")
    assert first.returncode == 0, first.stderr
    path = home / "aegis" / name
    path.chmod(mode)
    second = run("toolu_2")
    path.chmod(0o700)
    assert (second.returncode, second.stdout) == (2, b""), second.stderr
    assert (name or "policy.yaml").encode() in second.stderr


@pytest.mark.parametrize("what", ["folder", "text", "other database"])
def test_a_trail_that_cannot_be_written_blocks(home: Path, what: str) -> None:
    path = home / "aegis" / "aegis_audit.db"
    if what == "folder":
        path.mkdir()
    elif what == "text":
        path.write_text("not a database" * 100)
    else:
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE x (y)")
        database.close()
    code, told, said = hook(home, event())
    assert (code, told) == (2, None)
    assert "aegis_audit.db" in said
    code, told, said = hook(home, event("PostToolUse", tool_response="x"))
    assert (code, told) == (2, None)


@posix
def test_a_full_disk_blocks(home: Path) -> None:
    assert hook(home, event())[0] == 0
    start = "import resource, sys; sys.argv[0] = 'aegis'; resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1));"
    code = f"{start} from aegis.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, *command(home)[3:]],
        input=json.dumps(event(use="toolu_2")).encode(), capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert b"The call did not run" in ran.stderr
    assert ran.stdout == b""


@pytest.mark.parametrize("module", ["orjson", "yaml", "pydantic", "re2", "sqlite3", "json", "click", "wrapt"])
def test_a_module_that_does_not_load_blocks_or_is_not_needed(home: Path, module: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / f"{module}.py").write_text("raise RuntimeError('this one is broken')")
    code, told, said = hook(home, event(), PYTHONPATH=str(broken))
    if module in ("click", "pydantic", "wrapt"):
        assert (code, told) == (0, None)
    else:
        assert (code, told) == (2, None), said
        assert "The call did not run" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--polcy", "x"], "unknown option '--polcy'"),
        (["x"], "unknown option 'x'"),
        (["--db"], "--db needs a value"),
        (["--allow=yes"], "--allow takes no value"),
        (["--policy", ""], "no policy"),
    ],
)
def test_a_command_line_that_is_wrong_blocks(home: Path, words: list[str], said: str) -> None:
    code, told, why = hook(home, event(), *words)
    assert (code, told) == (2, None)
    assert said in why


def test_a_huge_event_is_judged_or_blocked(home: Path) -> None:
    assert hook(home, event(arguments={"file_path": "/w/a", "content": "x" * 5_000_000})) == (0, None, "")
    code, told, said = hook(home, b" " * (64 * 1024 * 1024 + 1))
    assert (code, told) == (2, None)
    assert "larger than 64 MiB" in said


@posix
def test_an_answer_that_nobody_hears_blocks(home: Path) -> None:
    denied = json.dumps(event(tool="mcp__vault__read", arguments={})).encode()
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(command(home), input=denied, stdout=write, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(write)
    assert ran.returncode == 2
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command(home)], input=denied, timeout=120, check=False
    )
    assert closed.returncode == 2


@posix
def test_a_hook_that_is_told_to_end_blocks_and_one_that_is_killed_never_exits_with_zero(home: Path) -> None:
    for number, code in ((signal.SIGTERM, 2), (signal.SIGINT, 2), (signal.SIGKILL, -signal.SIGKILL)):
        with subprocess.Popen(
            command(home), stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            process.stdin.write(b'{"hook_event_name"')
            process.stdin.flush()
            _until_it_reads(process)
            process.send_signal(number)
            assert process.wait(60) == code
    assert not (home / "aegis" / "aegis_audit.db").exists()


def _until_it_reads(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has set itself up and reads the pipe."""
    status = Path(f"/proc/{process.pid}/status")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        caught = (
            [line for line in status.read_text().splitlines() if line.startswith("SigCgt:")] if status.exists() else []
        )
        if caught and int(caught[0].split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            time.sleep(0.2)
            return
        time.sleep(0.02)


def test_help_is_help_and_a_terminal_is_told_what_this_is_for(home: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "aegis", "hook", "claude-code", "--help"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0
    assert "Exit codes: 0 answered; 2 the call is blocked" in ran.stdout
    ran = subprocess.run([sys.executable, "-m", "aegis", "hook", "--help"], capture_output=True, text=True, check=False)
    assert "install" in ran.stdout


LOADED = """
import sys
from aegis.clients.claude_code import hook
def leave(code, out=b"", error=b""):
    heavy = [name for name in ("click", "rich", "mcp", "sqlglot", "asyncio", "wrapt") if name in sys.modules]
    print(code, heavy, flush=True)
    sys.exit()
hook._leave = leave
from aegis.cli import main
main()
"""


def test_nothing_heavy_that_is_not_needed_is_loaded(home: Path) -> None:
    for sent in (event(), event("PostToolUse", tool_response="x")):
        ran = subprocess.run(
            [sys.executable, "-c", LOADED, *command(home)[3:]],
            input=json.dumps(sent).encode(), capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert ran.stdout.strip() == b"0 []", ran.stdout + ran.stderr
