"""``aegis hook claude-code``: answers one event on standard input, and blocks the call whatever goes wrong.

Claude Code reads the answer from the exit code: 0, and it looks at standard output; 2, and the call does not run; with
any other, **it runs**. So everything here ends in 0 or 2, imports that fail included. And it runs for every call, so
nothing is loaded before it is needed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

__all__ = ["HELP", "Options", "answer"]

LONGEST = 64 * 1024 * 1024
"""Bytes of an event that are read."""
PATIENCE = 55.0
"""Seconds until a hook that has not answered blocks the call: less than the client waits."""

HELP = """\
Usage: aegis hook claude-code --policy FILE [OPTIONS]

  Answer one hook event of Claude Code, given on standard input. Its settings run this; `aegis hook install` puts it
  there. PreToolUse is judged and written down before it is answered; PostToolUse and PostToolUseFailure tell how the
  call ended.

  A call that the policy blocks is denied, with the reason. One that needs approval is asked about in the client. One
  that may run gets no opinion: the client's own permissions decide, as they would without Aegis.

Options:
  --policy FILE            The policy ($AEGIS_POLICY).
  --db FILE                The trail ($AEGIS_DB). Default: beside the policy.
  --agent NAME             The agent's name on the trail and for the policy. Default: claude-code.
  --user NAME              The user's name on the trail and for the policy.
  --allow                  Say "allow" to what may run: the client does not ask about it again.
  --queue                  File what needs approval with `aegis approvals` instead of asking in the client; hold it for
                           40 seconds, then deny it as pending. Made again after the yes, it runs.
  --observe                Decide and record, ask nobody, let everything run as it would without Aegis.
  --allow-writable-policy  Go on although the policy lets the tools write to Aegis's own files; each call says so on
                           the trail.
  -h, --help               Show this message and exit.

  Exit codes: 0 answered; 2 the call is blocked, with the reason on standard error. There is no other.
"""


class Options:
    """What the command line says.

    Raises:
        ValueError: It says something else.
    """

    __slots__ = ("agent", "allow", "allow_writable_policy", "db", "observe", "policy", "queue", "user")

    def __init__(self, words: Sequence[str]) -> None:
        self.policy = os.environ.get("AEGIS_POLICY") or ""
        self.db = os.environ.get("AEGIS_DB") or ""
        self.agent, self.user = "claude-code", ""
        self.allow = self.queue = self.observe = self.allow_writable_policy = False
        waiting = list(words)
        while waiting:
            word, equals, value = waiting.pop(0).partition("=")
            name = word.removeprefix("--").replace("-", "_")
            if not word.startswith("--") or name not in self.__slots__:
                raise ValueError(f"unknown option {word!r}; see aegis hook claude-code --help")
            if isinstance(getattr(self, name), bool):
                if equals:
                    raise ValueError(f"{word} takes no value")
                setattr(self, name, True)
            elif equals or waiting:
                setattr(self, name, value if equals else waiting.pop(0))
            else:
                raise ValueError(f"{word} needs a value")
        if not self.policy:
            raise ValueError("no policy: give --policy FILE, or set AEGIS_POLICY")
        if not self.db:
            self.db = os.path.join(os.path.dirname(os.path.abspath(self.policy)), "aegis_audit.db")  # noqa: PTH100, PTH118, PTH120 - pathlib is not loaded yet


def answer(words: Sequence[str]) -> NoReturn:
    """Answer the event on standard input, and end the process.

    Args:
        words: The command line after ``aegis hook claude-code``.
    """
    if words[:1] in (["-h"], ["--help"]):
        _leave(0, HELP.encode())
    _guard()
    try:
        options = Options(words)
        reply = _govern(options, _read())
    except BaseException as problem:  # noqa: BLE001 - whatever it is, the call does not run
        _block(problem)
    _leave(0, reply)


def _govern(options: Options, data: bytes) -> bytes:
    """What belongs on standard output. Any of these imports may fail, and then the call is blocked."""
    from aegis.clients.claude_code.event import Event  # noqa: PLC0415 - see above

    event = Event.read(data)
    if event.name == "PreToolUse":
        from aegis.clients.claude_code.calls import judge  # noqa: PLC0415 - loads the engine

        return judge(options, event)
    from aegis.clients.claude_code.outcomes import tell  # noqa: PLC0415 - loads the trail alone

    tell(options, event)
    return b""


def _read() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise ValueError("nothing on standard input: this is run by Claude Code's settings (see aegis hook install)")
    data = sys.stdin.buffer.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise ValueError(f"the event is larger than {LONGEST // 2**20} MiB")
    return data


def _guard() -> None:
    """Block also if we are told to end, or do not come to an end."""

    def stopped(number: int, _frame: FrameType | None) -> None:
        _block(InterruptedError(f"the hook was stopped by signal {number}"))

    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stopped)
    timer = threading.Timer(
        PATIENCE, lambda: _block(TimeoutError(f"the hook did not come to an end in {PATIENCE:g} s"))
    )
    timer.daemon = True
    timer.start()


def _block(problem: BaseException) -> NoReturn:
    """Say why in a sentence, and block the call."""
    try:
        text = str(problem) or type(problem).__name__
        ours = type(problem).__module__.startswith("aegis") or isinstance(problem, (ValueError, OSError))
        said = text if ours else f"{type(problem).__name__}: {text}"
    except BaseException:  # noqa: BLE001 - nor does an error that cannot be told
        said = "an error that cannot be told"
    shown = "".join(character if character.isprintable() else "?" for character in said.replace("\n", "; "))
    _leave(2, b"", f"aegis: {shown[:2000]}. The call did not run.\n".encode("utf-8", "replace"))


def _leave(code: int, out: bytes = b"", error: bytes = b"") -> NoReturn:
    """End the process at once: an interpreter that ends in its own way may find something to complain about."""
    for stream, data in ((2, error), (1, out)):
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(stream, view) :]
        except OSError:
            if stream == 1:  # the answer was not heard; what may run in silence was no answer to begin with
                code = 2
    os._exit(code)
