"""Why a decision is what it is: every rule that was looked at, and every condition with its value, truth and reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_core.policy.conditions.truth import Finding, word
from aegis_core.policy.places import rule_places
from aegis_core.redact import Redactor
from aegis_core.text import visible

if TYPE_CHECKING:
    from aegis_core.action import Action
    from aegis_core.decision import Approval, Decision, RiskLevel
    from aegis_core.policy.conditions.truth import Context
    from aegis_core.policy.places import RulePlace
    from aegis_core.policy.policy import Policy

__all__ = ["ExplainedRule", "Explanation", "explain"]


@dataclass(frozen=True, slots=True)
class ExplainedRule:
    """One rule that was looked at.

    Attributes:
        name: The rule.
        approval: What it says.
        risk_level: Its risk.
        truth: Whether it holds for this call: True, False, or None for undecided.
        matched: Whether its match alone holds.
        findings: What each condition made of the call; values are redacted.
        place: Its file and line, where the policy is made of several files; else None.
    """

    name: str
    approval: Approval
    risk_level: RiskLevel
    truth: bool | None
    matched: bool | None
    findings: tuple[Finding, ...] = ()
    place: RulePlace | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and everything it rests on. ``str()`` of it is meant for people."""

    decision: Decision
    rules: tuple[ExplainedRule, ...]

    def __str__(self) -> str:
        decision = self.decision
        lines = [f"{decision.approval.value} (risk {decision.risk_level.name.lower()}): {visible(decision.reason)}"]
        for rule in self.rules:
            match = "" if rule.matched else " (names match only when folded or unprefixed, or one is not known)"
            place = "" if rule.place is None else f" ({visible(str(rule.place))})"
            lines.append(f"  {word(rule.truth):9} {visible(rule.name)} [{rule.approval.value}]{place}{match}")
            for finding in rule.findings:
                shown = "" if finding.value is None else f" = {visible(repr(finding.value))[:120]}"
                lines.append(
                    f"            {word(finding.truth):9} {visible(finding.condition)}{shown}: {visible(finding.why)}"
                )
        return "\n".join(lines)


def explain(policy: Policy, action: Action, context: Context, redactor: Redactor | None = None) -> Explanation:
    """Explain ``policy``'s decision for ``action``; rules whose names cannot match are left out."""
    redactor = redactor or Redactor()
    decision = policy.evaluate(action, session=context.session, now=context.now)
    explained: list[ExplainedRule] = []
    places = rule_places(policy) if len(policy.sources) > 1 else {}
    if decision.matched_rule != "<name>":
        for layer in policy.layers:
            for rule, matched in layer.concerned(action.names):
                findings = tuple(
                    Finding(found.condition, _redacted(redactor, found), found.truth, redactor.text(found.why))
                    for found in (condition.explain(action, context) for condition in rule.conditions)
                )
                truth = rule.holds(matched, action, context)
                place = places.get(id(rule))
                explained.append(
                    ExplainedRule(rule.name, rule.approval, rule.risk_level, truth, matched, findings, place)
                )
                if truth:
                    break
    return Explanation(decision, tuple(explained))


def _redacted(redactor: Redactor, finding: Finding) -> object:
    """The value as it may be shown; the condition names the parameter, so key rules apply too."""
    if finding.value is None:
        return None
    name = finding.condition.rpartition(" ")[2].rpartition(".")[2].removesuffix("[]")
    return redactor.params({name: finding.value})[name]
