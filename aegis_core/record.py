"""What is written down about a call, and the sink it is written to. Values and a protocol; no I/O here.

A call leaves either one `Refusal`, or an `Intent` (on disk before the tool runs) and later an `Outcome`. A call with an
intent and no outcome reads ``running`` while its writer lives and ``unknown`` afterwards.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aegis_core.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_core.action import Action
    from aegis_core.decision import Decision
    from aegis_core.redact import Redactor
    from aegis_core.request import ApprovalAnswer
    from aegis_core.result import ResultStatus

__all__ = [
    "BudgetExhausted",
    "Event",
    "GrantUnavailable",
    "Intent",
    "Outcome",
    "Record",
    "Refusal",
    "Sink",
    "began_us",
    "new_id",
    "now_us",
]


def now_us() -> int:
    """Now, in microseconds since the epoch: the unit of every time on the trail."""
    return time.time_ns() // 1000


def new_id() -> str:
    """A new id of 32 hex digits: sorts by time of creation, unique across processes and forks, not to be guessed."""
    try:
        tail = _tails.pop()
    except IndexError:
        drawn = os.urandom(9 * 128).hex()  # one call of the system for many ids
        _tails.extend([drawn[start : start + 18] for start in range(18, len(drawn), 18)])
        tail = drawn[:18]
    return (
        hex(time.time_ns() // 1000 | 1 << 56)[3:] + tail
    )  # the bit makes it 14 digits; a format costs four times that


def began_us(call_id: str, default: int) -> int:
    """When a call was made, which its id (`new_id`) tells; ``default`` if it is an id of another kind."""
    try:
        return int(call_id[:14], 16) if len(call_id) == _ID_DIGITS else default
    except ValueError:
        return default


_ID_DIGITS = 32
_tails: list[str] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tails.clear)  # a child must not use up the same ones


class GrantUnavailable(AegisError):  # noqa: N818 - a signal between store and call, handled there
    """The approval an intent names was consumed, withdrawn or has expired. Nothing was written; the call asks anew."""


class BudgetExhausted(AegisError):  # noqa: N818 - a signal between store and call, handled there
    """A budget named by an intent has no unit left. Nothing was written; the call is judged again.

    Attributes:
        key: The budget's key.
        retry_at: Microseconds since the epoch when a unit will be free again.
    """

    def __init__(self, key: str, retry_at: int) -> None:
        self.key = key
        self.retry_at = retry_at
        super().__init__(f"budget {key!r} is exhausted")


class Intent(NamedTuple):
    """This call is about to run. Written, durably, before the tool starts.

    Attributes:
        call_id: The call.
        at: Microseconds since the epoch.
        action: What will run.
        decision: Why it may.
        policy_digest: The policy it was judged by.
        enforced: False in observe mode.
        answer: The person's yes, where one was needed; its ``grant`` is consumed in the same transaction, and
            ``decision.reserves`` are taken in it.
    """

    call_id: str
    at: int
    action: Action
    decision: Decision
    policy_digest: str
    enforced: bool = True
    answer: ApprovalAnswer | None = None


class Refusal(NamedTuple):
    """This call was not run: blocked, denied, pending approval, or cancelled while waiting.

    Attributes:
        status: ``blocked``, ``denied``, ``pending_approval`` or ``cancelled``.
        reason: Why, in one sentence.
        request_id: The approval request, where a person was asked.

    The others are as in `Intent`; ``answer`` is whatever came back from the person, if anything.
    """

    call_id: str
    at: int
    action: Action
    decision: Decision
    policy_digest: str
    status: ResultStatus
    reason: str
    answer: ApprovalAnswer | None = None
    request_id: str | None = None


class Outcome(NamedTuple):
    """How a call that was run ended.

    Attributes:
        call_id: The call, whose intent is on the trail.
        at: Microseconds since the epoch.
        status: ``success``, ``failed``, ``cancelled`` or ``unknown``.
        duration_us: Microseconds from the intent's commit to the tool's end.
        action: The call's action (for sinks that see one record at a time).
        decision: The call's decision.
        data: What the tool returned: a bounded snapshot, never a live object.
        error: The tool's exception as text.
        claimed_by: Who says so: ``tool`` or the executor's class name. A pass-through executor's success means
            "allowed".
        changes: What result rules changed, by rule name.
        error_type: The name of the exception's class, if it raised one.
    """

    call_id: str
    at: int
    status: ResultStatus
    duration_us: int
    action: Action
    decision: Decision
    data: Any = None
    error: str | None = None
    claimed_by: str = "tool"
    changes: tuple[str, ...] = ()
    error_type: str | None = None


@dataclass(slots=True)
class Event:
    """Something that happened beside the calls: a policy reload, a refused reload, a checkpoint, an approval's change.

    Attributes:
        kind: ``policy_reloaded``, ``policy_reload_refused``, ``checkpoint``, ``cut``, ``approval_requested``, ...
        at: Microseconds since the epoch.
        data: JSON-like facts. Redacted like everything else.
    """

    kind: str
    at: int = field(default_factory=now_us)
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


Record = Intent | Refusal | Outcome | Event


class Sink(Protocol):
    """Where records go. The first sink of a runtime is the authority; the others are mirrors and carry no promise."""

    def write(self, record: Record, redactor: Redactor | None = None) -> None:
        """Write one record; return when the sink's promise holds for it.

        Args:
            record: What to write.
            redactor: The redactor of the policy in force; None for the sink's default. Nothing is stored unredacted.

        Raises:
            AuditError: It was not written.
            GrantUnavailable: The intent's grant cannot be consumed; nothing was written.
            BudgetExhausted: A reservation cannot be taken; nothing was written.
        """
        ...

    async def awrite(self, record: Record, redactor: Redactor | None = None) -> None:
        """The same from a coroutine, without blocking its event loop.

        A cancellation that arrives while the record is on its way is raised only after the record has been written.
        """
        ...

    def digest(self, data: bytes) -> str:
        """A keyed digest (hex) of ``data``: what approvals bind to, and what identifies params after redaction."""
        ...

    def close(self) -> None:
        """Flush and release everything. Idempotent."""
        ...
