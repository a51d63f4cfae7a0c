"""One compiled rule, and what its match makes of the names of a call."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from aegis_core.decision import Approval, Decision, Floor
from aegis_core.policy.conditions.grammar import compile_conditions
from aegis_core.policy.globs import match_any, parse_glob

if TYPE_CHECKING:
    from aegis_core.decision import RiskLevel
    from aegis_core.policy.conditions.truth import Condition
    from aegis_core.policy.document import Match, RuleDocument
    from aegis_core.policy.globs import Glob

__all__ = ["Default", "Names", "Rule"]

Names = tuple[str, str, str | None, str | None]
"""``(type, target, agent, user)`` of a call."""

_VERBS = {Approval.AUTO: "allowed by", Approval.APPROVE: "approval is required by", Approval.BLOCK: "blocked by"}


class Rule:
    """A rule as the policy has it, ready to be asked.

    Attributes:
        name: Its name, with its layer's name in front under a hierarchy (``org/block_drop``).
        document: The rule as it stands in the file.
        conditions: Its compiled conditions, cheapest first.
        decision: The decision when this rule alone decides.
        floor: The floor it sets when it cannot be decided.
    """

    __slots__ = ("_digest", "_exact", "_patterns", "approval", "conditions", "decision", "document", "floor", "name", "risk_level")

    def __init__(self, document: RuleDocument, *, layer: str | None = None) -> None:
        self.document = document
        self.name = document.name if layer is None else f"{layer}/{document.name}"
        self.approval: Approval = document.approval
        self.risk_level: RiskLevel = document.risk_level
        self.conditions: tuple[Condition, ...] = compile_conditions(document.conditions) if document.conditions else ()
        self.floor = Floor(self.name, self.approval, self.risk_level)
        self.decision = Decision(
            self.approval, self.risk_level, self.name, f"{_VERBS[self.approval]} rule {self.name!r}", deciders=(self,)
        )
        self._patterns = _patterns(document.match)
        self._exact = tuple((axis, globs[0].exact) for axis, globs in self._patterns)
        self._digest: str | None = None

    def match(self, names: Names) -> bool | None:
        """Whether the match holds for these names: true, false or undecided."""
        for axis, exact in self._exact:
            name = names[axis]
            if name is None or not exact(name):
                return self._match_folded(names)
        return True

    def _match_folded(self, names: Names) -> bool | None:
        """The same in full, where a name is not an exact match at first sight."""
        truth: bool | None = True
        for axis, globs in self._patterns:
            name = names[axis]
            answer = None if name is None else match_any(globs, name)
            if answer is False:
                return False
            if answer is None:
                truth = None
        return truth

    @property
    def digest(self) -> str:
        """Digest (hex) of what the rule means, its name included."""
        if self._digest is None:
            meaning = json.dumps(self.document.model_dump(mode="json"), sort_keys=True)
            self._digest = hashlib.sha256(meaning.encode()).hexdigest()
        return self._digest

    def __repr__(self) -> str:
        return f"Rule({self.name!r}, {self.approval.value})"


class Default:
    """What a layer says when none of its rules decides."""

    __slots__ = ("decision",)

    def __init__(self, approval: Approval, risk_level: RiskLevel) -> None:
        verbs = {Approval.AUTO: "allowed", Approval.APPROVE: "approval is required", Approval.BLOCK: "blocked"}
        reason = f"{verbs[approval]} by default: no rule decides this call"
        self.decision = Decision(approval, risk_level, "<default>", reason, deciders=(self,))

    @property
    def digest(self) -> str:
        """Digest (hex) of the default's meaning."""
        return hashlib.sha256(f"default {self.decision.approval} {self.decision.risk_level}".encode()).hexdigest()


def _patterns(match: Match) -> tuple[tuple[int, tuple[Glob, ...]], ...]:
    """Per axis that restricts anything, its compiled globs."""
    axes = (match.type, match.target, match.agent, match.user)
    return tuple((axis, tuple(map(parse_glob, patterns))) for axis, patterns in enumerate(axes) if "*" not in patterns)
