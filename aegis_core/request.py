"""An approval: the question put to a person, and the answer. Values only; who asks and how is in ``approval/``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aegis_core.snapshot import FrozenDict, freeze_params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_core.action import Action
    from aegis_core.decision import Decision
    from aegis_core.redact import Redactor

__all__ = ["ApprovalAnswer", "ApprovalRequest"]


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """The question: may exactly this call run, once?

    Attributes:
        id: Names the request; an answer names it back.
        call_id: The call that waits.
        action: Exactly what will run if the answer is yes.
        decision: Why a person is asked: the rule, the risk, the reason.
        digest: What the answer binds to: a keyed digest over principal, target, tool, canonical params, the deciding
            rules and, where the door knows it, the tool's definition.
        policy_digest: The policy in force when the question was put.
        created_at: Microseconds since the epoch.
        expires_at: Microseconds since the epoch; an answer that comes later is refused.
        timeout: Seconds the call itself waits for an answer; None for ever.
        opaque: Names of params that travel by reference and that a yes therefore does not bind.
        redactor: The policy's redactor, for whoever shows or stores the request; None for the default one.
    """

    id: str
    call_id: str
    action: Action
    decision: Decision
    digest: str
    policy_digest: str
    created_at: int
    expires_at: int
    timeout: float | None = None
    opaque: tuple[str, ...] = ()
    redactor: Redactor | None = field(default=None, repr=False, compare=False)

    def approve(self, *, approver: str | None = None, reason: str | None = None) -> ApprovalAnswer:
        """A yes to this very request."""
        return ApprovalAnswer(self.id, self.digest, approved=True, approver=approver, reason=reason)

    def deny(self, *, approver: str | None = None, reason: str | None = None) -> ApprovalAnswer:
        """A no to this very request."""
        return ApprovalAnswer(self.id, self.digest, approved=False, approver=approver, reason=reason)


@dataclass(frozen=True, slots=True)
class ApprovalAnswer:
    """What came back. Only ``approved is True`` with the request's own id and digest is a yes.

    Attributes:
        request_id: The request answered.
        digest: The request's digest.
        approved: True for yes, False for no, None for "nobody has answered yet" (the call ends as
            ``pending_approval``).
        approver: Who answered, never the requester.
        reason: Why, in the approver's words, or why nobody could be asked.
        grant: Id of the durable record, if the answer came from one; a yes is consumed together with the intent.
        edits: Changed params, by name or by JSON Pointer into one (``/message/to``). An edit makes a new call, judged
            from the start; never applied to this one.

    Raises:
        TypeError: If the approver or the reason is no string, or the edits are no mapping with string keys.
    """

    request_id: str
    digest: str
    approved: bool | None
    approver: str | None = None
    reason: str | None = None
    grant: str | None = None
    edits: Mapping[str, Any] = field(default_factory=FrozenDict)

    def __post_init__(self) -> None:
        for name in ("approver", "reason"):
            text: object = getattr(self, name)
            if text is not None and not isinstance(text, str):
                raise TypeError(f"{name} must be a string or None, got {text!r}")
        object.__setattr__(self, "edits", freeze_params(self.edits))

    def is_yes_to(self, request: ApprovalRequest) -> bool:
        """Whether this is an explicit yes to exactly ``request``."""
        return self.approved is True and self.request_id == request.id and self.digest == request.digest
