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

_VALUE_WIDTH = 2000


class TerminalApprovalHandler:
    """Asks on the terminal: one question at a time, on standard error, answered on standard input.

    Both must be a terminal; otherwise the answer is no, with the reason. Standard output is never touched: it may carry
    a protocol. What was typed before the question appeared is thrown away, and only ``y`` or ``yes`` is a yes.
    """

    interactive = True
    _one_at_a_time = threading.Lock()

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Ask, and wait at most ``request.timeout`` seconds."""
        if not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
            return request.deny(
                reason="approval is required and there is no terminal to ask on; "
                "configure an approval_handler for this program"
            )
        deadline = None if request.timeout is None else time.monotonic() + request.timeout
        if not self._one_at_a_time.acquire(timeout=-1 if request.timeout is None else request.timeout):
            raise TimeoutError
        try:
            sys.stderr.write(describe_request(request) + "\nApprove this call? [y/N] ")
            sys.stderr.flush()
            line = portability.read_line(sys.stdin, deadline)
            if line is None:
                sys.stderr.write("\n(no answer in time: denied)\n")
                raise TimeoutError
        finally:
            self._one_at_a_time.release()
        approver = f"terminal:{portability.user_name()}"
        if line.strip().lower() in ("y", "yes"):
            return request.approve(approver=approver)
        return request.deny(approver=approver)


def _is_terminal(stream: object) -> bool:
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, ValueError, OSError):  # no stream at all, or a closed one
        return False


def describe_request(request: ApprovalRequest, *, redactor: Redactor | None = None) -> str:
    """A request as lines of text for a person: exactly what will run, invisible characters visible, secrets masked."""
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
    for name, value in (redactor or Redactor()).params(action.params).items():
        text = visible(value if isinstance(value, str) else repr(value))
        shown = text if len(text) <= _VALUE_WIDTH else f"{text[:_VALUE_WIDTH]}… ({len(text)} characters)"
        lines.append(f"  {visible(name)} = {shown}")
    if request.opaque:
        lines.append(f"  not bound by your answer (passed by reference): {visible(', '.join(request.opaque))}")
    return "\n".join(lines)
