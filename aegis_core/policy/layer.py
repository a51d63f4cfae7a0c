"""One layer of policy: its rules in order, found by index, and the law that doubt never loosens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, final

from aegis_core.decision import Decision
from aegis_core.policy.index import RuleIndex
from aegis_core.policy.results import ResultRule
from aegis_core.policy.rule import ABSENT_DEFAULT, Default, Rule
from aegis_core.policy.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_core.action import Action
    from aegis_core.policy.conditions.truth import Context, Truth
    from aegis_core.policy.document import PolicyDocument
    from aegis_core.policy.globs import Test
    from aegis_core.policy.rule import Names

__all__ = ["Layer", "Plan", "Verdict", "decide"]


@final
class Verdict:
    """What one layer says about a call.

    Attributes:
        decider: The first rule that holds, else the layer's default, else None: the layer abstains.
        floors: The rules passed on the way that could not be decided.
        alone: The decision of a policy that has no other layer, where the decider alone makes it; else None.
    """

    __slots__ = ("alone", "decider", "floors")

    def __init__(self, decider: Rule | Default | None, floors: tuple[Rule, ...] = ()) -> None:
        self.decider = decider
        self.floors = floors
        self.alone = decider.decision if decider is not None and not floors else None


def decide(verdicts: Sequence[Verdict]) -> Decision:
    """The layers' verdicts as one decision: the strictest approval and the highest risk of all that spoke.

    If every layer abstains the call is blocked, whatever floors were set.
    """
    deciders = [verdict.decider for verdict in verdicts if verdict.decider is not None] or [ABSENT_DEFAULT]
    floors = [rule for verdict in verdicts for rule in verdict.floors]
    strictest = max(deciders, key=lambda decider: decider.approval.strictness)
    approval, reason = strictest.approval, strictest.decision.reason
    for rule in floors:
        if rule.approval.strictness > approval.strictness:
            approval = rule.approval
            reason = f"rule {rule.name!r} could not be decided for this call, so its {approval.value!r} stands"
    return Decision(
        approval,
        max(voice.risk_level for voice in (*deciders, *floors)),
        strictest.decision.matched_rule,
        reason,
        floors=tuple(rule.floor for rule in floors),
        deciders=(*deciders, *floors),
    )


class Entry(NamedTuple):
    """All of a rule that is looked at for a tool never seen, together: scattered in memory, it is found far slower.

    Attributes:
        number: Its place in the layer.
        type_test: Whether the first pattern for the tool's name holds, given ``type_operand``.
        type_operand: What it compares with.
        target_test: The same for the target.
        target_operand: What it compares with.
        caller: Whether the match restricts the agent or the user.
        conditional: Whether it has conditions.
        verdict: The layer's verdict where this rule decides and no other sets a floor.
        rule: The rule.
    """

    number: int
    type_test: Test
    type_operand: Any
    target_test: Test
    target_operand: Any
    caller: bool
    conditional: bool
    verdict: Verdict
    rule: Rule

    @classmethod
    def of(cls, number: int, rule: Rule) -> Entry:
        """What is looked at of this rule."""
        tests = {axis: (test, operand) for axis, test, operand in rule.tests}
        (type_test, type_operand), (target_test, target_operand) = tests.pop(0, _ANY), tests.pop(1, _ANY)
        conditional = bool(rule.conditions)
        return cls(
            number, type_test, type_operand, target_test, target_operand, bool(tests), conditional, Verdict(rule), rule
        )


_ANY: tuple[Test, Any] = (str.endswith, "")


class Step(NamedTuple):
    """A rule that may concern certain calls.

    Attributes:
        rule: The rule.
        matched: What its match says: True, or None for undecided.
        verdict: The layer's verdict where this rule decides and no other sets a floor.
    """

    rule: Rule
    matched: Truth
    verdict: Verdict


@final
class Plan(NamedTuple):
    """What is left to ask for calls with certain names.

    Attributes:
        steps: The rules that may concern them, in order.
        silent: The layer's verdict where none of them decides or sets a floor.
    """

    steps: tuple[Step, ...]
    silent: Verdict

    def judge(self, action: Action, context: Context) -> Verdict:
        """Walk the rules: the first true one decides, undecided ones before it set floors."""
        floors: list[Rule] = []
        for rule, matched, verdict in self.steps:
            truth = rule.holds(matched, action, context)
            if truth:
                return Verdict(rule, tuple(floors)) if floors else verdict
            if truth is None:
                floors.append(rule)
        return Verdict(self.silent.decider, tuple(floors)) if floors else self.silent


class Layer:
    """The rules and defaults of one policy file (or of several merged ones), compiled.

    Args:
        documents: The files' contents; their rules in order. The first one's defaults count.
        name: The layer's name under a hierarchy, or None for a policy that stands alone. Without ``defaults`` a layer
            abstains where no rule decides, and a policy that stands alone blocks.
    """

    __slots__ = ("_index", "_silent", "default", "documents", "name", "results", "rules", "trust")

    def __init__(self, documents: tuple[PolicyDocument, ...], *, name: str | None = None) -> None:
        self.name = name
        self.documents = documents
        self.trust = Trust(entry for document in documents for entry in document.trust)
        self.rules = tuple(Rule(rule, name, self.trust) for document in documents for rule in document.rules)
        self.results = tuple(ResultRule(rule, name) for document in documents for rule in document.results)
        self._index = RuleIndex(
            [Entry.of(number, rule) for number, rule in enumerate(self.rules)],
            [(rule.document.match.type, rule.document.match.target) for rule in self.rules],
        )
        defaults = documents[0].defaults
        if defaults is not None:
            self.default: Default | None = Default(defaults.approval, defaults.risk_level)
        else:
            self.default = ABSENT_DEFAULT if name is None else None
        self._silent = Verdict(self.default)

    def under(self, name: str) -> Layer:
        """The same rules as a layer of a hierarchy."""
        return Layer(self.documents, name=name)

    def plan(self, names: Names, plain: str | None = None) -> Plan | Verdict:
        """What calls with these names come down to: a verdict where names alone settle it, else what is left to ask.

        ``plain`` is the tool's name, if it `is_plain`.
        """
        type_name, target, _, _ = names
        candidates = self._index.candidates(type_name, target, plain)
        if not candidates:
            return self._silent
        steps: list[Step] = []
        settled = True
        for (
            _, type_test, type_operand, target_test, target_operand, caller, conditional, verdict, rule
        ) in candidates:  # fmt: skip
            matched: Truth = True
            if caller or not type_test(type_name, type_operand) or not target_test(target, target_operand):
                matched = rule.match(names)
            if matched is False:
                continue
            if conditional:
                settled = False
            elif matched:
                if not steps:
                    return verdict
                steps.append(Step(rule, matched, verdict))
                break
            steps.append(Step(rule, matched, verdict))
        if not steps:
            return self._silent
        if not settled:
            return Plan(tuple(steps), self._silent)
        floors = tuple(step.rule for step in steps if step.matched is None)
        return Verdict(steps[-1].rule if len(floors) < len(steps) else self.default, floors)

    def concerned(self, names: Names) -> list[tuple[Rule, Truth]]:
        """Every rule whose match does not rule out calls with these names, in order, and what the match says."""
        rules = [entry.rule for entry in self._index.candidates(names[0], names[1])]
        return [(rule, matched) for rule in rules if (matched := rule.match(names)) is not False]
