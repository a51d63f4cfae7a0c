"""One layer of policy: its rules in order, found by index, and the law that doubt never loosens."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aegis_core.decision import Approval, Decision, RiskLevel, strictest
from aegis_core.policy.index import RuleIndex
from aegis_core.policy.rule import Default, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_core.action import Action
    from aegis_core.policy.conditions.truth import Condition, Context
    from aegis_core.policy.document import PolicyDocument
    from aegis_core.policy.rule import Names

__all__ = ["ABSENT_DEFAULT", "NO_OPINION", "Layer", "Plan", "Step"]

ABSENT_DEFAULT = Default(Approval.BLOCK, RiskLevel.MEDIUM)
"""What a policy without ``defaults`` says."""
NO_OPINION = Decision(Approval.AUTO, RiskLevel.LOW, "<none>", "no rule of this layer decides this call")
"""What a layer without ``defaults`` says where no rule decides; never the answer to a call."""


class Step(NamedTuple):
    """One rule that may concern a call: what its match says, and what is still to be asked."""

    rule: Rule
    matched: bool | None
    conditions: tuple[Condition, ...]

    def judge(self, action: Action, context: Context) -> bool | None:
        """Whether the rule holds: false if any part is false, else undecided if any is, else true."""
        truth = self.matched
        for condition in self.conditions:
            answer = condition.judge(action, context)
            if answer is False:
                return False
            if answer is None:
                truth = None
        return truth


class Layer:
    """The rules and defaults of one policy file (or of several merged ones), compiled.

    Args:
        name: The layer's name under a hierarchy, or None for a policy that stands alone.
        documents: The files' contents; their rules in order. The first one's defaults count.
        abstains: Whether absent defaults mean no opinion (a layer) instead of block (a policy that stands alone).
    """

    __slots__ = ("_decisions", "_index", "abstains", "default", "documents", "name", "rules")

    def __init__(self, documents: tuple[PolicyDocument, ...], *, name: str | None = None, abstains: bool = False) -> None:
        self.name = name
        self.documents = documents
        self.abstains = abstains
        self.rules = tuple(Rule(rule, layer=name) for document in documents for rule in document.rules)
        self._index = RuleIndex([(rule.document.match.type, rule.document.match.target) for rule in self.rules])
        self._decisions: dict[tuple[Rule | None, tuple[Rule, ...]], Decision] = {}
        defaults = documents[0].defaults
        if defaults is not None:
            self.default: Default | None = Default(defaults.approval, defaults.risk_level)
        else:
            self.default = None if abstains else ABSENT_DEFAULT

    def under(self, name: str) -> Layer:
        """The same rules as a layer of a hierarchy."""
        return Layer(self.documents, name=name, abstains=True)

    def plan(self, names: Names) -> Plan | Decision | None:
        """What calls with these names come down to.

        Returns:
            The decision where the names alone settle it (None: the layer abstains), else the rules still to be asked, in order, up to
            the first that holds whatever the arguments.
        """
        steps: list[Step] = []
        settled = True
        rules = self.rules
        for number in self._index.candidates(names[0], names[1]):
            rule = rules[number]
            matched = rule.match(names)
            if matched is False:
                continue
            if rule.conditions:
                settled = False
            elif matched:
                if not steps:
                    return rule.decision
                steps.append(Step(rule, matched, ()))
                break
            steps.append(Step(rule, matched, rule.conditions))
        plan = Plan(self, tuple(steps))
        return plan.settle((step, step.matched) for step in steps) if settled else plan

    def steps(self, names: Names) -> tuple[Step, ...]:
        """Every rule that may concern calls with these names, in order."""
        numbers = self._index.candidates(names[0], names[1])
        matches = [(self.rules[number], self.rules[number].match(names)) for number in numbers]
        return tuple(Step(rule, matched, rule.conditions) for rule, matched in matches if matched is not False)

    def settle(self, deciding: Rule | None, floors: tuple[Rule, ...]) -> Decision | None:
        """The decision when ``deciding`` (or the default, for None) holds and ``floors`` could not be decided."""
        if not floors and deciding is not None:
            return deciding.decision
        key = (deciding, floors)
        decision = self._decisions.get(key)
        if decision is None:
            decision = self._combine(deciding, floors)
            if decision is not None and len(self._decisions) < 4096:
                self._decisions[key] = decision
        return decision

    def _combine(self, deciding: Rule | None, floors: tuple[Rule, ...]) -> Decision | None:
        base = deciding.decision if deciding is not None else self.default.decision if self.default is not None else None
        if not floors:
            return base
        if base is None:  # a layer without an opinion still has the floors it set
            base = NO_OPINION
        approval = strictest(base.approval, *(rule.approval for rule in floors))
        reason = base.reason
        if approval is not base.approval:
            binding = next(rule for rule in floors if rule.approval is approval)
            reason = f"rule {binding.name!r} could not be decided for this call, so its {approval.value!r} stands"
        return Decision(
            approval,
            max(base.risk_level, *(rule.risk_level for rule in floors)),
            base.matched_rule,
            reason,
            floors=tuple(rule.floor for rule in floors),
            deciders=(*base.deciders, *floors),
        )


class Plan(NamedTuple):
    """The rules of a layer that may concern calls with certain names, in order."""

    layer: Layer
    steps: tuple[Step, ...]

    def decide(self, action: Action, context: Context) -> Decision | None:
        """Walk the rules: the first true one decides, undecided ones before it set floors. None: the layer abstains."""
        return self.settle((step, step.judge(action, context)) for step in self.steps)

    def settle(self, truths: Iterable[tuple[Step, bool | None]]) -> Decision | None:
        """The decision that follows from what each rule came to."""
        floors: list[Rule] = []
        for step, truth in truths:
            if truth:
                return self.layer.settle(step.rule, tuple(floors))
            if truth is None:
                floors.append(step.rule)
        return self.layer.settle(None, tuple(floors))
