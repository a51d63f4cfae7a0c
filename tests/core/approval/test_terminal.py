"""Asking on a terminal: a real one, in a process of its own, with standard output kept apart."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest

from aegis_core.action import Action
from aegis_core.approval.terminal import describe_request
from aegis_core.policy.policy import Policy
from tests.core.policies import ASK, runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

pty = pytest.importorskip("pty")
fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")

PROGRAM = """
import asyncio, json, os, sys, threading, time
from aegis import Action, Policy, Runtime
from aegis.testing import MemoryAuditLogger

policy = Policy.from_dict({"version": "1", "rules": [{"name": "ask", "approval": "approve"}]})
trail = MemoryAuditLogger()
runtime = Runtime(policy=policy, audit_logger=trail, approval_timeout=float(os.environ.get("WAIT", "20")))

def send(to="ann", **more):
    return Action("send", "mail", {"to": to, **more})

def report(result):
    answer = trail.records[0].answer
    print(json.dumps([result.status, result.error, answer and answer.approver]), flush=True)
"""
SYNC = "report(runtime.run(send(), lambda arguments: None))"


class Screen:
    """A process with a terminal for standard input and error, and a pipe for standard output."""

    def __init__(self, code: str, *, stdin: int | None = None, wait: float = 20, before: str = "") -> None:
        self.end, terminal = pty.openpty()
        self.seen = ""
        if before:
            os.write(self.end, before.encode())

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM + textwrap.dedent(code)],
            stdin=terminal if stdin is None else stdin,
            stderr=terminal,
            stdout=subprocess.PIPE,
            preexec_fn=take_terminal,  # noqa: PLW1509 - no threads here
            env={**os.environ, "WAIT": str(wait), "PYTHONWARNINGS": "error"},
        )
        os.close(terminal)

    def read_until(self, text: str, *, seconds: float = 30) -> str:
        """Wait until the screen shows a text."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not appear on the screen: {self.seen!r}"
            if select.select([self.end], [], [], left)[0]:
                try:
                    self.seen += os.read(self.end, 4096).decode()
                except OSError:  # the process is gone
                    assert text in self.seen, f"{text!r} did not appear on the screen: {self.seen!r}"
        return self.seen

    def type(self, text: str) -> None:
        os.write(self.end, text.encode())

    def results(self, *, seconds: float = 30) -> list[Any]:
        """What the process printed, once it has ended."""
        output, _ = self.process.communicate(timeout=seconds)
        return [json.loads(line) for line in output.splitlines()]  # nothing but JSON is on standard output

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        os.close(self.end)


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    """Screens opened by a test, closed after it."""
    opened: list[Screen] = []
    yield opened
    for screen in opened:
        screen.close()


def test_only_y_or_yes_is_a_yes(screens):
    answers = {
        "y": "success",
        "yes": "success",
        " YES ": "success",
        "n": "denied",
        "": "denied",
        "yep": "denied",
        "please do NOT approve this, I disapprove": "denied",
        "yy": "denied",
    }
    screens.append(Screen(f"for _ in range({len(answers)}):\n    trail.records.clear()\n    {SYNC}"))
    for answer in answers:
        screens[0].read_until("[y/N] ")
        screens[0].seen = ""
        screens[0].type(answer + "\n")
    results = screens[0].results()
    assert [status for status, _, _ in results] == list(answers.values())
    assert {approver for _, _, approver in results} == {f"terminal:{user()}"}


def user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def test_the_environment_cannot_say_who_approved(screens, monkeypatch):
    monkeypatch.setenv("USER", "boss")
    monkeypatch.setenv("LOGNAME", "boss")
    screens.append(Screen(SYNC))
    screens[0].read_until("[y/N] ")
    screens[0].type("y\n")
    ((_, _, approver),) = screens[0].results()
    assert approver == f"terminal:{user()}"


def test_16_the_prompt_is_on_the_terminal_and_standard_output_stays_clean(screens):
    screens.append(Screen(SYNC))
    shown = screens[0].read_until("[y/N] ")
    assert "send on mail asks for approval" in shown
    assert "to = ann" in shown
    assert "rule    ask (risk medium)" in shown
    screens[0].type("y\n")
    assert len(screens[0].results()) == 1  # and it was JSON


def test_what_was_typed_before_the_question_is_no_answer(screens):
    screens.append(Screen(SYNC, wait=1.0, before="y\ny\n"))
    screens[0].read_until("[y/N] ")
    ((status, error, _),) = screens[0].results()
    assert status == "denied"
    assert "(timeout)" in error


def test_16_silence_is_a_no_and_does_not_keep_the_program_from_exiting(screens):
    screens.append(Screen(SYNC, wait=0.5))
    screens[0].read_until("[y/N] ")
    ((status, error, approver),) = screens[0].results()
    assert (status, approver) == ("denied", None)
    assert "denied (timeout): nobody answered" in error
    assert "no longer waiting" in screens[0].read_until("no longer waiting")


def test_the_end_of_input_is_a_no(screens):
    screens.append(Screen(SYNC))
    screens[0].read_until("[y/N] ")
    screens[0].type("\x04")  # Ctrl-D
    ((status, error, _),) = screens[0].results()
    assert status == "denied"
    assert "(timeout)" not in error


def test_16_an_idle_pipe_on_standard_input_is_a_no_at_once(screens):
    reader, writer = os.pipe()
    started = time.monotonic()
    screens.append(Screen(SYNC, stdin=reader))
    ((status, error, _),) = screens[0].results()
    assert status == "denied"
    assert "there is no terminal to ask on; configure an approval_handler" in error
    assert time.monotonic() - started < 15
    os.close(reader)
    os.close(writer)


def test_16_without_a_terminal_at_all_the_answer_is_no_and_nothing_is_printed():
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM + SYNC], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=True
    )
    assert "there is no terminal to ask on" in json.loads(ran.stdout)[1]
    assert ran.stderr == b""


def test_16_the_event_loop_runs_on_while_a_person_thinks(screens):
    code = """
        async def main():
            ticks = 0
            async def tick():
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.01)
                    ticks += 1
                    if ticks == 10:
                        print(json.dumps("ticking"), flush=True)
            ticking = asyncio.create_task(tick())
            report(await runtime.arun(send(), lambda arguments: None))
            ticking.cancel()
        asyncio.run(main())
    """
    screens.append(Screen(code))
    screens[0].read_until("[y/N] ")
    assert screens[0].process.stdout is not None
    assert screens[0].process.stdout.readline() == b'"ticking"\n'  # before anybody has answered
    screens[0].type("y\n")
    ((status, _, _),) = screens[0].results()
    assert status == "success"


def test_two_questions_come_one_after_the_other(screens):
    code = """
        async def main():
            calls = [runtime.arun(send(to=name), lambda arguments: None) for name in ("ann", "bob")]
            results = await asyncio.gather(*calls)
            print(json.dumps([result.status for result in results]))
        asyncio.run(main())
    """
    screens.append(Screen(code))
    first = screens[0].read_until("[y/N] ")
    time.sleep(0.3)
    assert first.count("asks for approval") == 1
    names = [re.search("to = (ann|bob)", first)[1]]  # type: ignore[index]
    screens[0].seen = ""
    screens[0].type("y\n")
    second = screens[0].read_until("[y/N] ")
    names.append(re.search("to = (ann|bob)", second)[1])  # type: ignore[index]
    screens[0].type("n\n")
    assert sorted(names) == ["ann", "bob"]
    expected = {names[0]: "success", names[1]: "denied"}
    assert screens[0].results() == [[expected["ann"], expected["bob"]]]


def test_a_question_that_nobody_waits_for_is_taken_back_and_its_answer_goes_to_no_other(screens):
    code = """
        async def main():
            first = asyncio.create_task(runtime.arun(send(to="ann"), lambda arguments: None))
            await asyncio.sleep(0.5)
            first.cancel()
            await asyncio.wait([first])
            report(await runtime.arun(send(to="bob"), lambda arguments: None))
        asyncio.run(main())
    """
    screens.append(Screen(code))
    screens[0].read_until("to = ann")
    screens[0].read_until("[y/N] ")
    os.write(screens[0].end, b"y")  # begun to answer, and then the question is gone
    screens[0].read_until("no longer waiting")
    screens[0].read_until("to = bob")
    screens[0].seen = ""
    screens[0].type("\n")
    ((status, _, _),) = screens[0].results()
    assert status == "denied"


def test_a_program_whose_question_was_cancelled_can_exit(screens):
    code = """
        async def main():
            first = asyncio.create_task(runtime.arun(send(), lambda arguments: None))
            await asyncio.sleep(0.3)
            first.cancel()
            await asyncio.wait([first])
            print(json.dumps([record.status for record in trail.records]))
        asyncio.run(main())
    """
    screens.append(Screen(code))
    screens[0].read_until("[y/N] ")
    assert screens[0].results() == [["cancelled"]]
    assert screens[0].process.returncode == 0
    assert "Fatal" not in screens[0].seen


def test_ctrl_c_at_the_question_is_recorded_as_a_cancellation(screens):
    code = """
        try:
            runtime.run(send(), lambda arguments: None)
        except KeyboardInterrupt:
            print(json.dumps([record.status for record in trail.records]))
    """
    screens.append(Screen(code))
    screens[0].read_until("[y/N] ")
    screens[0].type("\x03")
    assert screens[0].results() == [["cancelled"]]


def test_a_program_in_the_background_is_refused_and_not_stopped(screens):
    code = f"""
        child = os.fork()
        if child:
            _, status = os.waitpid(child, os.WUNTRACED)
            print(json.dumps(os.WIFSTOPPED(status)))
        else:
            os.setpgid(0, 0)
            {SYNC}
            sys.stdout.flush()
            os._exit(0)
    """
    screens.append(Screen(code))
    (status, error, _), stopped = screens[0].results()
    assert not stopped
    assert status == "denied"
    assert "this program runs in the background" in error


def test_long_values_are_cut_and_shown_in_full_when_asked_for(screens):
    screens.append(Screen('report(runtime.run(send(text="x" * 3000 + "THE END"), lambda arguments: None))'))
    shown = screens[0].read_until("view it in full] ")
    assert "(3007 characters)" in shown
    assert "THE END" not in shown
    screens[0].type("v\n")
    screens[0].read_until("THE END")
    screens[0].type("y\n")
    ((status, _, _),) = screens[0].results()
    assert status == "success"


def test_a_closed_standard_input_is_a_no():
    code = PROGRAM + "sys.stdin.close()\n" + SYNC
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True, input=b"y\n")
    assert "there is no terminal to ask on" in json.loads(ran.stdout)[1]


def test_no_standard_streams_at_all_is_a_no():
    code = PROGRAM + "sys.stdin = sys.stderr = None\n" + SYNC
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True, input=b"y\n")
    assert "there is no terminal to ask on" in json.loads(ran.stdout)[1]


def test_22_what_the_policy_says_is_secret_is_masked_for_people_too():
    policy = Policy.from_dict(
        {"version": "1", "redact": {"keys": ["tail_number"]}, "rules": [{"name": "ask", "approval": "approve"}]}
    )
    assert "N12345" not in described(policy, params={"tail_number": "N12345"})
    assert "N12345" in described(params={"tail_number": "N12345"})


def described(policy: Policy = ASK, **fields: Any) -> str:
    """How a person is shown a call."""
    governed = runtime(policy)
    governed.run(Action(**{"type": "send", "target": "mail", **fields}), lambda _arguments: None)
    return describe_request(governed.approval_handler.requests[0])  # type: ignore[attr-defined]


def test_17_what_the_model_sees_and_a_person_would_not_is_made_visible():
    shown = described(
        params={"text": "hi\U000e0041\U000e0042\u202eevil\u200b\x1b[2J", "x\ny": 1}, description="why\x07"
    )
    assert all(line.isprintable() for line in shown.splitlines())
    assert "\\U000e0041\\U000e0042\\u202eevil\\u200b\\e[2J" in shown
    assert "x\\ny = 1" in shown


def test_17_invisible_characters_deep_inside_a_value_are_made_visible():
    shown = described(params={"nested": [{"a": ["\U000e0041"]}]})
    assert "\U000e0041" not in shown
    assert "e0041" in shown


def test_secrets_are_masked_and_what_is_not_bound_is_said():
    shown = described(params={"password": "hunter2", "connection": object()}, agent="bot", user="eve")
    assert "hunter2" not in shown
    assert "not bound by your answer (passed by reference): connection" in shown
    assert "agent   bot" in shown
    assert "user    eve" in shown


def test_a_signal_that_stops_and_continues_the_program_does_not_lose_the_question(screens):
    screens.append(Screen(SYNC))
    screens[0].read_until("[y/N] ")
    os.kill(screens[0].process.pid, signal.SIGSTOP)
    time.sleep(0.1)
    os.kill(screens[0].process.pid, signal.SIGCONT)
    screens[0].type("y\n")
    ((status, _, _),) = screens[0].results()
    assert status == "success"
