"""One compiled rule, and what its match makes of the names of a call."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from aegis_core.decision import Approval, Decision, Floor, RiskLevel
from aegis_core.policy.conditions.grammar import compile_conditions
from aegis_core.policy.conditions.session import Budget
from aegis_core.policy.globs import match_any, parse_glob
from aegis_core.policy.reading import meaning
from aegis_core.policy.trust import NOBODY

if TYPE_CHECKING:
    from aegis_core.action import Action
    from aegis_core.policy.conditions.truth import Condition, Context, Truth
    from aegis_core.policy.document import Match, RuleDocument
    from aegis_core.policy.globs import Glob, Test
    from aegis_core.policy.trust import Trust

__all__ = ["ABSENT_DEFAULT", "Default", "Names", "Rule"]

Names = tuple[str, str, str | None, str | None]
"""``(type, target, agent, user)`` of a call."""

_VERBS = {Approval.AUTO: "allowed", Approval.APPROVE: "approval is required", Approval.BLOCK: "blocked"}


class Rule:
    """A rule as the policy has it, ready to be asked.

    Attributes:
        name: Its name, with its layer's name in front under a hierarchy (``org/block_drop``).
        document: The rule as it stands in the file.
        budget: The budget of which a unit is taken when it decides, or None.
        conditions: Its compiled conditions, cheapest first.
        decision: The decision when this rule alone decides.
        floor: The floor it sets when it cannot be decided.
        tests: Of each kind of name that the match restricts: which, and a test that holds if the first pattern does.
    """

    __slots__ = (
        "_digest", "_globs", "_layer", "_trust",
        "approval", "budget", "conditions", "decision", "document", "floor", "name",
        "tests",
    )  # fmt: skip

    def __init__(self, document: RuleDocument, layer: str | None = None, trust: Trust = NOBODY) -> None:
        name = document.name if layer is None else f"{layer}/{document.name}"
        self._layer = layer
        self._trust = trust
        self.document = document
        self.name = name
        self.approval: Approval = document.approval
        asked = document.conditions
        self.budget = Budget(name, asked.calls) if asked is not None and asked.calls is not None else None
        self.conditions: tuple[Condition, ...] = (
            compile_conditions(asked, self.budget, trust) if asked is not None else ()
        )
        self.floor = Floor(name, document.approval, document.risk_level)
        reason = f"{_VERBS[document.approval]} by rule {name!r}"
        self.decision = Decision(document.approval, document.risk_level, name, reason, deciders=(self,))
        self._globs = _globs(document.match)
        self.tests = tuple(_test(axis, globs[0]) for axis, globs in self._globs)
        self._digest = ""

    @property
    def risk_level(self) -> RiskLevel:
        """Its risk."""
        return self.floor.risk_level

    def match(self, names: Names) -> Truth:
        """Whether the match holds for these names: true, false or undecided."""
        for axis, test, operand in self.tests:
            name = names[axis]
            if name is None or not test(name, operand):
                return self.match_folded(names)
        return True

    def match_folded(self, names: Names) -> Truth:
        """The same in full, where a name is not an exact match at first sight."""
        truth: Truth = True
        for axis, globs in self._globs:
            name = names[axis]
            answer = None if name is None else match_any(globs, name)
            if answer is False:
                return False
            if answer is None:
                truth = None
        return truth

    def holds(self, matched: Truth, action: Action, context: Context) -> Truth:
        """Match (true or undecided) and conditions together: false if any is, else undecided if any is, else true."""
        truth = matched
        for condition in self.conditions:
            answer = condition.judge(action, context)
            if answer is False:
                return False
            if answer is None:
                truth = None
        return truth

    @property
    def digest(self) -> str:
        """Digest (hex) of what the rule means, its name included."""
        if not self._digest:
            self._digest = hashlib.sha256(meaning(self.document)).hexdigest()
        return self._digest

    def __reduce__(self) -> tuple[object, ...]:
        return (Rule, (self.document, self._layer, self._trust))

    def __repr__(self) -> str:
        return f"Rule({self.name!r}, {self.approval.value})"


class Default:
    """What a layer says when none of its rules decides.

    Attributes:
        decision: The decision then.
    """

    __slots__ = ("decision",)

    def __init__(self, approval: Approval, risk_level: RiskLevel) -> None:
        reason = f"{_VERBS[approval]} by default: no rule decides this call"
        self.decision = Decision(approval, risk_level, "<default>", reason, deciders=(self,))

    @property
    def approval(self) -> Approval:
        """What it says."""
        return self.decision.approval

    @property
    def risk_level(self) -> RiskLevel:
        """Its risk."""
        return self.decision.risk_level

    @property
    def digest(self) -> str:
        """Digest (hex) of the default's meaning."""
        return hashlib.sha256(f"default {self.approval} {self.risk_level}".encode()).hexdigest()

    def __reduce__(self) -> tuple[object, ...]:
        return (Default, (self.approval, self.risk_level))

    def __repr__(self) -> str:
        return f"Default({self.approval.value})"


ABSENT_DEFAULT = Default(Approval.BLOCK, RiskLevel.MEDIUM)
"""What a policy without ``defaults`` says, and a hierarchy all of whose layers are silent."""


def _globs(match: Match) -> tuple[tuple[int, tuple[Glob, ...]], ...]:
    """Per axis that restricts anything, its compiled globs."""
    axes = (match.type, match.target, match.agent, match.user)
    return tuple((axis, tuple(map(parse_glob, patterns))) for axis, patterns in enumerate(axes) if "*" not in patterns)


@lru_cache(maxsize=65536)
def _test(axis: int, glob: Glob) -> tuple[int, Test, Any]:
    """What `Rule.match` tries first. Rules share it: what stays in the processor's cache is found faster."""
    return axis, glob.test, glob.operand
