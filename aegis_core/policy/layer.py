"""One layer of policy: its rules in order, found by index, and the law that doubt never loosens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast, final

from aegis_core.decision import Decision
from aegis_core.policy.globs import Test
from aegis_core.policy.index import RuleIndex
from aegis_core.policy.results import ResultRule
from aegis_core.policy.rule import ABSENT_DEFAULT, Default, Rule
from aegis_core.policy.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_core.action import Action
    from aegis_core.policy.conditions.truth import Context, Truth
    from aegis_core.policy.document import PolicyDocument
    from aegis_core.policy.rule import Names

__all__ = ["Layer", "Plan", "combine", "decide"]


def decide(deciders: Sequence[Rule | Default], floors: Sequence[Rule]) -> Decision:
    """The strictest approval and the highest risk of all that spoke, as one decision.

    Args:
        deciders: What decides, at least one: of a layer, the first rule that holds, else its default.
        floors: The rules passed on the way that could not be decided.
    """
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


def combine(decisions: Sequence[Decision]) -> Decision:
    """The layers' decisions as one. If every layer abstains the call is blocked, whatever floors were set."""
    # What a layer's decision rests on: its rule or default, then the rules that set floors.
    voices = [cast("tuple[Rule | Default, *tuple[Rule, ...]]", decision.deciders) for decision in decisions]
    deciders = [decider for decider, *_ in voices if decider is not ABSENT_DEFAULT] or [ABSENT_DEFAULT]
    return decide(deciders, [rule for _, *floors in voices for rule in floors])


_ANY: tuple[Test, Any] = (str.endswith, "")
_Entry = tuple[int, Test, Any, Test, Any, Decision | None, Rule]
"""All of a rule that is looked at for a tool never seen, together: scattered in memory, it is found far slower; and a
bare tuple is taken apart far faster than one with names.

Its place in the layer; whether the first pattern for the tool's name holds, given what comes after; the same for the
target; its decision, where nothing but these two tests stands before it: no caller, no condition; the rule.
"""


def _entry(number: int, rule: Rule) -> _Entry:
    """What is looked at of a rule."""
    tests = {axis: (test, operand) for axis, test, operand in rule.tests}
    of_type, of_target = tests.pop(0, _ANY), tests.pop(1, _ANY)
    return number, *of_type, *of_target, None if tests or rule.conditions else rule.decision, rule


class Step(NamedTuple):
    """A rule that may concern certain calls.

    Attributes:
        rule: The rule.
        matched: What its match says: True, or None for undecided.
    """

    rule: Rule
    matched: Truth


@final
class Plan(NamedTuple):
    """What is left to ask for calls with certain names.

    Attributes:
        steps: The rules that may concern them, in order.
        default: What decides where none of them does.
    """

    steps: tuple[Step, ...]
    default: Default

    def judge(self, action: Action, context: Context) -> Decision:
        """Walk the rules: the first true one decides, undecided ones before it set floors."""
        floors: list[Rule] = []
        for rule, matched in self.steps:
            truth = rule.holds(matched, action, context)
            if truth:
                return decide([rule], floors) if floors else rule.decision
            if truth is None:
                floors.append(rule)
        return decide([self.default], floors) if floors else self.default.decision


class Layer:
    """The rules and defaults of one policy file (or of several merged ones), compiled.

    Args:
        documents: The files' contents; their rules in order. The first one's defaults count.
        name: The layer's name under a hierarchy, or None for a policy that stands alone. Without ``defaults`` a layer
            abstains where no rule decides, and a policy that stands alone blocks.
    """

    __slots__ = ("_index", "_last", "default", "documents", "name", "results", "rules", "trust")

    def __init__(self, documents: tuple[PolicyDocument, ...], *, name: str | None = None) -> None:
        self.name = name
        self.documents = documents
        self.trust = Trust(entry for document in documents for entry in document.trust)
        self.rules = tuple(Rule(rule, name, self.trust) for document in documents for rule in document.rules)
        self.results = tuple(ResultRule(rule, name) for document in documents for rule in document.results)
        self._index = RuleIndex(
            [_entry(number, rule) for number, rule in enumerate(self.rules)],
            [(rule.document.match.type, rule.document.match.target) for rule in self.rules],
        )
        defaults = documents[0].defaults
        if defaults is not None:
            self.default: Default | None = Default(defaults.approval, defaults.risk_level)
        else:
            self.default = ABSENT_DEFAULT if name is None else None
        self._last = self.default or ABSENT_DEFAULT  # ``default`` still says who abstains

    def under(self, name: str) -> Layer:
        """The same rules as a layer of a hierarchy."""
        return Layer(self.documents, name=name)

    def plan(self, names: Names, plain: str | None = None) -> Decision | Plan:
        """What calls with these names come down to: a decision where names alone settle it, else what is left to ask.

        ``plain`` is the tool's name, if it is known to be its own and only folded form.
        """
        type_name, target, _, _ = names
        index = self._index
        around = index.around.get(target)
        if plain is None or around is None:
            candidates = index.candidates(type_name, target)
        else:
            candidates = index.of_type(plain, around)
        steps: tuple[Step, ...] = ()
        for _, type_test, type_operand, target_test, target_operand, settled, rule in candidates:
            if settled is not None and type_test(type_name, type_operand) and target_test(target, target_operand):
                if not steps:
                    return settled
                matched: Truth = True
            else:
                matched = rule.match(names)
            if matched is not False:
                steps += (Step(rule, matched),)
                if matched and not rule.conditions:
                    break
        return self._planned(steps) if steps else self._last.decision

    def _planned(self, steps: tuple[Step, ...]) -> Decision | Plan:
        """What these steps come down to."""
        if any(rule.conditions for rule, _ in steps):
            return Plan(steps, self._last)
        floors = [rule for rule, matched in steps if matched is None]
        decider = self._last if len(floors) == len(steps) else steps[-1].rule
        return decide([decider], floors) if floors else decider.decision

    def concerned(self, names: Names) -> list[tuple[Rule, Truth]]:
        """Every rule whose match does not rule out calls with these names, in order, and what the match says."""
        rules = [entry[-1] for entry in self._index.candidates(names[0], names[1])]
        return [(rule, matched) for rule in rules if (matched := rule.match(names)) is not False]
