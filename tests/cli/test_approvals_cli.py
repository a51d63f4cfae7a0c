"""``aegis approvals``, as a shell and as a terminal see it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from aegis import Action, Runtime
from aegis.cli import main
from aegis_core.approval.queue import QueueApprovalHandler
from aegis_core.approval.store import ApprovalStore
from aegis_core.audit.sqlite import AuditLogger
from tests.core.policies import ASK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Run = "Callable[..., tuple[int, str, str]]"
HOSTILE = "evil\x1b[2J\u202e\u200b\U000e0041"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run ``aegis approvals ...``; returns exit code, standard output, standard error."""

    def command(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aegis", "approvals", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return command


@pytest.fixture
def ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A working directory in whose trail two calls wait; the ids of their requests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AEGIS_DB", raising=False)
    with AuditLogger() as trail:
        runtime = Runtime(
            policy=ASK, audit_logger=trail, approval_handler=QueueApprovalHandler(trail, wait=False), agent="bot"
        )
        runtime.run(Action("write_file", "filesystem", {"path": "/data/a", "password": "hunter2"}), lambda _: None)
        runtime.run(Action("say", "chat", {"text": HOSTILE}), lambda _: None)
        return [ticket.id for ticket in ApprovalStore(trail).requests()]


def test_without_a_command_what_waits_is_listed(run: Any, ids: list[str]) -> None:
    code, out, _ = run()
    assert code == 0
    assert ids[0][-8:] in out
    assert "write_file on filesystem" in out
    assert run("list")[1] == out


def test_json_has_everything_and_no_secret(run: Any, ids: list[str]) -> None:
    code, out, _ = run("--json")
    assert code == 0
    assert [found["id"] for found in json.loads(out)] == ids
    assert "hunter2" not in out


def test_nothing_waiting_is_said_aside_and_is_an_empty_list_in_json(run: Any, ids: list[str]) -> None:
    for request in ids:
        run("deny", request)
    assert run() == (0, "", "No call waits for approval.\n")
    assert json.loads(run("--json")[1]) == []
    assert len(json.loads(run("list", "--all", "--json")[1])) == 2


def test_show_takes_the_end_of_an_id_and_makes_the_invisible_visible(run: Any, ids: list[str]) -> None:
    code, out, _ = run("show", ids[1][-8:])
    assert code == 0
    assert "evil\\e[2J\\u202e\\u200b\\U000e0041" in out
    assert "\x1b" not in out
    assert json.loads(run("show", ids[1], "--json")[1])["id"] == ids[1]


def test_an_answer_is_given_once_with_who_and_why(run: Any, ids: list[str]) -> None:
    assert run("approve", ids[0], "--reason", "fine", "--as", "ann")[0] == 0
    code, _, err = run("deny", ids[0])
    assert code == 1
    assert "already answered by ann (via cli)" in err
    with AuditLogger() as trail:
        ticket = ApprovalStore(trail).get(ids[0])
    assert (ticket.state, ticket.approver, ticket.reason, ticket.via) == ("approved", "ann", "fine", "cli")


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (("approve", "ffffffff"), 1, "there is no approval request 'ffffffff'"),
        (("approve", "0", "--as", "bot"), 1, ""),
        (("aprove", "x"), 2, "No such command 'aprove'"),
        (("show",), 2, "Missing argument"),
        (("list", "--db", "nowhere.db"), 2, "there is no audit trail at"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    run: Any, ids: list[str], args: tuple[str, ...], code: int, sentence: str
) -> None:
    assert ids
    found, _, err = run(*args)
    assert found == code
    assert sentence in err
    assert "Traceback" not in err


def test_whoever_asked_cannot_answer(run: Any, ids: list[str]) -> None:
    code, _, err = run("approve", ids[0], "--as", "bot")
    assert code == 1
    assert "asked for this call" in err


def test_watch_without_a_terminal_writes_a_line_for_every_call_that_waits_and_what_became_of_it(ids: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "aegis", "approvals", "watch"],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in ids]
        assert [line.split()[1] for line in lines] == ids
        with AuditLogger() as trail:
            runtime = Runtime(policy=ASK, audit_logger=trail, approval_handler=QueueApprovalHandler(trail, wait=False))
            runtime.run(Action("late", "chat", {}), lambda _: None)
            assert " pending late on chat" in process.stdout.readline()
            late = ApprovalStore(trail).requests(pending=True)[-1]
            ApprovalStore(trail).answer(ids[0], approved=True, approver="ann", via="test")
            assert f"{ids[0]} approved " in process.stdout.readline()
            ApprovalStore(trail).leave(late.id, late.call_id, "the call stopped waiting")
            assert f"{late.id} withdrawn late on chat" in process.stdout.readline()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_calls_are_answered_by_key(ids: list[str]) -> None:
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm", COLUMNS="160", LINES="40")
        os.execv(sys.executable, [sys.executable, "-m", "aegis", "approvals", "watch", "--as", "ann"])
    screen = ""

    def until(text: str) -> None:
        nonlocal screen
        deadline = time.monotonic() + 30
        while text not in screen:
            assert time.monotonic() < deadline, f"never saw {text!r}"
            if select.select([terminal], [], [], 0.2)[0]:
                screen += os.read(terminal, 65536).decode("utf-8", "replace")

    def press(keys: str) -> None:
        nonlocal screen
        screen = ""
        os.write(terminal, keys.encode())

    try:
        until("q leave")
        press("a")
        until("Reason, or empty")
        press("looks right\n")
        until("Run it once")
        press("y\n")
        until("approved by ann: write_file")
        press("d")
        until("Reason, or empty")
        press("no\n")
        until("denied by ann: say")
        press("q")
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        os.close(terminal)
    with AuditLogger() as trail:
        first, second = (ApprovalStore(trail).get(request) for request in ids)
    assert (first.state, first.reason, first.approver) == ("approved", "looks right", "ann")
    assert (second.state, second.reason) == ("denied", "no")


def test_what_nobody_waits_for_any_more_is_shown_as_withdrawn_or_expired(
    run: Any, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runtime, "request_lifetime", 0.01)
    with AuditLogger() as trail:
        first = ApprovalStore(trail).get(ids[0])
        ApprovalStore(trail).leave(first.id, first.call_id, "the call stopped waiting")
        runtime = Runtime(policy=ASK, audit_logger=trail, approval_handler=QueueApprovalHandler(trail, wait=False))
        brief = runtime.run(Action("brief", "chat", {}), lambda _: None).request_id
    time.sleep(0.02)
    assert [request["id"] for request in json.loads(run("list", "--json")[1])] == ids[1:], "neither waits any more"
    shown = {request["id"]: request["state"] for request in json.loads(run("list", "--all", "--json")[1])}
    assert (shown[ids[0]], shown[str(brief)]) == ("withdrawn", "expired")
    assert "the call stopped waiting" in run("show", ids[0])[1]
    code, _, said = run("approve", str(brief))
    assert (code, "has expired; the call has to be made again" in said) == (1, True)
