"""What a policy answers: the Decision, and the two scales it is made of."""

from __future__ import annotations

import enum
import hashlib
from typing import NamedTuple, Protocol, final

__all__ = ["Approval", "Caution", "Decider", "Decision", "Floor", "Reservation", "RiskLevel", "strictest"]


class Approval(enum.StrEnum):
    """What happens to a call: it runs (``auto``), a person is asked (``approve``) or it is refused (``block``)."""

    AUTO = "auto"
    APPROVE = "approve"
    BLOCK = "block"

    @property
    def strictness(self) -> int:
        """0 for auto, 1 for approve, 2 for block. Compare this, not the strings."""
        return _STRICTNESS[self]


# Looking an enum's member up costs as much as two calls (until Python 3.12).
_AUTO = Approval.AUTO
_STRICTNESS = {Approval.AUTO: 0, Approval.APPROVE: 1, Approval.BLOCK: 2}


def strictest(first: Approval, *others: Approval) -> Approval:
    """The strictest of some approvals (auto < approve < block)."""
    return max((first, *others), key=_STRICTNESS.__getitem__)


class RiskLevel(enum.IntEnum):
    """How bad a call could be. For people and logs; it does not change what happens to the call."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Floor(NamedTuple):
    """A rule that could not be decided for this call and so set the least strict answer that was possible.

    Attributes:
        rule: The rule's name (``layer/rule`` under a hierarchy).
        approval: Its approval: the outcome is at least this strict.
        risk_level: Its risk: the outcome has at least this risk.
    """

    rule: str
    approval: Approval
    risk_level: RiskLevel


class Reservation(NamedTuple):
    """One unit of a budget (a ``calls:`` condition) that must be taken in one transaction with the intent.

    Attributes:
        key: Names the budget: the rule and whom it is counted by.
        limit: Calls allowed within the window.
        window: Seconds the window is long, sliding.
    """

    key: str
    limit: int
    window: float


class Decider(Protocol):
    """A rule, or a default standing in for one: anything a decision can rest on."""

    @property
    def digest(self) -> str:
        """Digest (hex) of what it means."""
        ...


@final
class Caution(NamedTuple):
    """What a door knows of a tool besides the policy. It can make a decision stricter, and a yes binds to it.

    Attributes:
        name: Stands on the trail in a rule's place, e.g. ``<lock>``; a policy's rules cannot be called that.
        approval: The outcome is at least this strict; auto where the door only has something to bind to.
        risk_level: The outcome has at least this risk.
        reason: One sentence, as in `Decision`.
        digest: Digest (hex) of what the door knows, e.g. of the tool's definition.
    """

    name: str
    approval: Approval
    risk_level: RiskLevel
    reason: str
    digest: str


@final
class Decision(NamedTuple):
    """A policy's answer for one call. Depends on the call and the policy alone.

    Attributes:
        approval: What happens: auto, approve or block.
        risk_level: The highest risk of the deciding rule and of the floors.
        matched_rule: Name of the rule that decided: the first true one, ``<default>`` where none was, or ``<name>``
            where the tool's name itself was refused.
        reason: One sentence saying why, fit for a person or a model.
        floors: Rules that could not be decided: the answer is at least as strict as each of them.
        reserves: Budgets to take with the intent.
        deciders: What the decision rests on: the deciding rule and the floors' rules.
    """

    approval: Approval
    risk_level: RiskLevel
    matched_rule: str
    reason: str = ""
    floors: tuple[Floor, ...] = ()
    reserves: tuple[Reservation, ...] = ()
    deciders: tuple[Decider, ...] = ()

    @property
    def permitted(self) -> bool:
        """Whether the call may run right now without anyone being asked."""
        return self.approval is Approval.AUTO

    @property
    def rules_digest(self) -> str:
        """Digest (hex) of the meaning of the deciding rule and the floors. A yes from a person binds to it."""
        digests = [decider.digest for decider in self.deciders]
        return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()

    def under(self, caution: Caution) -> Decision:
        """The decision where a door has something to say too: never looser."""
        approval, risk, rule, reason, floors = (
            self.approval, self.risk_level, self.matched_rule, self.reason, self.floors,
        )  # fmt: skip
        if caution.approval is not _AUTO:
            floors = (*floors, Floor(caution.name, caution.approval, caution.risk_level))
            risk = max(risk, caution.risk_level)
            if caution.approval.strictness > approval.strictness:
                approval, rule, reason = caution.approval, caution.name, caution.reason
        deciders = (*self.deciders, caution)
        return Decision(approval, risk, rule, reason, floors, self.reserves, deciders)

    def __eq__(self, other: object) -> bool:
        # Not by what it rests on: a rule is equal to itself alone.
        return isinstance(other, Decision) and self[:-1] == other[:-1]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:-1])

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields[:-2])
        return f"Decision({shown})"
