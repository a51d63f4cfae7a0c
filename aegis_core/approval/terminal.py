"""Asking on the terminal the program runs in."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

from aegis_core import portability
from aegis_core.redact import Redactor
from aegis_core.text import visible

if TYPE_CHECKING:
    from aegis_core.request import ApprovalAnswer, ApprovalRequest

__all__ = ["TerminalApprovalHandler", "describe_request"]


class TerminalApprovalHandler:
    """Asks on the terminal: one question at a time, on standard error, answered on standard input.

    Both must be a terminal; otherwise the answer is no, with the reason. Standard output is never touched: it may carry
    a protocol. What was typed before the question appeared is thrown away, and only ``y`` or ``yes`` is a yes.
    """

    interactive = True
    _one_at_a_time = threading.Lock()

    def __init__(self) -> None:
        self._waiting: dict[str, _Question] = {}

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Ask, and wait at most ``request.timeout`` seconds.

        Raises:
            TimeoutError: Nobody answered in time.
        """
        if not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
            return request.deny(reason=f"approval is required and there is no terminal to ask on; {_ADVICE}")
        if not portability.can_be_asked(sys.stdin):
            return request.deny(reason=f"approval is required and this program runs in the background; {_ADVICE}")
        # Who asks watches the clock, and withdraws the question when time is up; the little more is for who does not.
        deadline = None if request.timeout is None else time.monotonic() + request.timeout + _MORE
        question = self._waiting[request.id] = _Question()
        try:
            if not self._one_at_a_time.acquire(timeout=-1 if request.timeout is None else request.timeout + _MORE):
                raise TimeoutError
            try:
                line = self._converse(request, deadline, question)
            finally:
                self._one_at_a_time.release()
        finally:
            del self._waiting[request.id]
        if line is None:
            raise TimeoutError
        approver = f"terminal:{portability.user_name()}"
        return request.approve(approver=approver) if line in _YES else request.deny(approver=approver)

    def withdraw(self, request: ApprovalRequest) -> None:
        """The call no longer waits: take the question back, so that a later answer is not taken for another's."""
        question = self._waiting.get(request.id)
        if question is not None:
            question.withdrawn.set()
            if question.shown:
                _say("\n(no longer waiting for an answer)\n")

    def _converse(self, request: ApprovalRequest, deadline: float | None, question: _Question) -> str | None:
        """Show the request, in full if that is wanted, and return the answer; None if there is none."""
        if question.withdrawn.is_set():
            return None
        shown, whole = describe_request(request, width=_WIDTH), describe_request(request)
        cut = shown != whole
        portability.discard_typed(sys.stdin)
        prompt = "Approve this call? [y/N, v to view it in full] " if cut else "Approve this call? [y/N] "
        _say(f"{shown}\n{prompt}")
        question.shown = True
        while (line := portability.read_line(sys.stdin, deadline, give_up=question.withdrawn.is_set)) is not None:
            line = line.strip().lower()
            if not cut or line not in _VIEW:
                return line
            _say(f"{whole}\n{prompt}")
        return None


class _Question:
    """A question that waits for its answer, or for its turn."""

    def __init__(self) -> None:
        self.withdrawn = threading.Event()
        self.shown = False


_ADVICE = "configure an approval_handler for this program"
_MORE = 1.0
_WIDTH = 1000
_YES = ("y", "yes")
_VIEW = ("v", "view")


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _is_terminal(stream: object) -> bool:
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, ValueError, OSError):  # no stream at all, or a closed one
        return False


def describe_request(request: ApprovalRequest, *, width: int | None = None, redactor: Redactor | None = None) -> str:
    """A request as lines of text for a person: exactly what will run, invisible characters visible, secrets masked.

    Args:
        request: The request.
        width: Characters of one value to show; None for all.
        redactor: Masks secrets; default the request's.
    """
    action, decision = request.action, request.decision
    risk = decision.risk_level.name.lower()
    lines = [
        "",
        f"{visible(action.type)} on {visible(action.target)} asks for approval",
        f"  rule    {visible(decision.matched_rule)} (risk {risk}): {visible(decision.reason)}",
    ]
    for label, value in (("agent", action.agent), ("user", action.user), ("why", action.description)):
        if value:
            lines.append(f"  {label:7} {visible(value)}")
    for name, value in (redactor or request.redactor or Redactor()).params(action.params).items():
        text = visible(value if isinstance(value, str) else repr(value))
        if width is not None and len(text) > width:
            text = f"{text[:width]}… ({len(text)} characters)"
        lines.append(f"  {visible(name)} = {text}")
    if request.opaque:
        lines.append(f"  not bound by your answer (passed by reference): {visible(', '.join(request.opaque))}")
    return "\n".join(lines)
