"""Rules in order, floors, and the law that doubt never loosens."""

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.action import Action
from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.policy.conditions.truth import Context
from aegis_core.policy.layer import Plan, combine, decide
from aegis_core.policy.policy import Policy
from aegis_core.policy.rule import ABSENT_DEFAULT
from tests.core.policy.strategies import (
    STRICTNESS,
    call,
    examples,
    expected,
    names,
    pattern_lists,
    policies,
    resolutions,
    rules,
    truths,
)

if TYPE_CHECKING:
    from aegis_core.policy.rule import Default, Rule


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    return Policy.from_dict(
        {"version": "1", "rules": [{"name": f"r{n}", **rule} for n, rule in enumerate(rules)], **more}
    )


def outcome(decision: Decision) -> tuple[Approval, RiskLevel]:
    return decision.approval, decision.risk_level


def undecided_when(param: str, approval: str, risk: str = "low") -> dict[str, Any]:
    """A rule that is undecided for calls whose ``param`` is text."""
    return {"conditions": {"param_gt": {param: 5}}, "approval": approval, "risk_level": risk}


# --- examples --------------------------------------------------------------------------------------------------------


def test_the_first_rule_that_holds_decides():
    first = policy({"match": {"type": "read_*"}, "approval": "auto"}, {"match": {"type": "*"}, "approval": "block"})
    assert first.evaluate(Action("read_x", "fs")).matched_rule == "r0"
    assert first.evaluate(Action("write_x", "fs")).matched_rule == "r1"


def test_where_no_rule_holds_the_defaults_decide():
    decision = policy(defaults={"approval": "approve", "risk_level": "HIGH"}).evaluate(Action("x", "y"))
    assert (decision.matched_rule, outcome(decision)) == ("<default>", (Approval.APPROVE, RiskLevel.HIGH))


def test_absent_defaults_block_with_medium_risk():
    assert outcome(policy().evaluate(Action("x", "y"))) == (Approval.BLOCK, RiskLevel.MEDIUM)


def test_a_default_left_out_is_medium_or_block():
    assert outcome(policy(defaults={"approval": "auto"}).evaluate(Action("x", "y"))) == (
        Approval.AUTO,
        RiskLevel.MEDIUM,
    )
    assert outcome(policy(defaults={"risk_level": "low"}).evaluate(Action("x", "y"))) == (Approval.BLOCK, RiskLevel.LOW)


def test_an_undecided_rule_sets_a_floor_under_the_one_that_decides():
    mixed = policy(undecided_when("n", "block", "critical"), {"approval": "auto", "risk_level": "low"})
    decision = mixed.evaluate(Action("x", "y", {"n": "many"}))
    assert outcome(decision) == (Approval.BLOCK, RiskLevel.CRITICAL)
    assert decision.matched_rule == "r1"
    assert [floor.rule for floor in decision.floors] == ["r0"]
    assert decision.reason == "rule 'r0' could not be decided for this call, so its 'block' stands"


def test_an_undecided_rule_that_is_less_strict_changes_nothing_but_is_named():
    mixed = policy(undecided_when("n", "auto"), {"approval": "block", "risk_level": "high"})
    decision = mixed.evaluate(Action("x", "y", {"n": "many"}))
    assert outcome(decision) == (Approval.BLOCK, RiskLevel.HIGH)
    assert (decision.reason, len(decision.floors)) == ("blocked by rule 'r1'", 1)


def test_an_undecided_rule_after_the_deciding_one_sets_no_floor():
    decided = policy({"approval": "auto"}, undecided_when("n", "block"))
    assert decided.evaluate(Action("x", "y", {"n": "many"})) == policy({"approval": "auto"}).evaluate(Action("x", "y"))


def test_an_undecided_rule_sets_a_floor_under_the_defaults_too():
    lenient = policy(undecided_when("n", "approve"), defaults={"approval": "auto"})
    decision = lenient.evaluate(Action("x", "y", {"n": "many"}))
    assert (decision.approval, decision.matched_rule) == (Approval.APPROVE, "<default>")


def test_several_floors_raise_approval_and_risk_apart_from_each_other():
    mixed = policy(
        undecided_when("n", "approve", "critical"), undecided_when("n", "block", "low"), {"approval": "auto"}
    )
    assert outcome(mixed.evaluate(Action("x", "y", {"n": "many"}))) == (Approval.BLOCK, RiskLevel.CRITICAL)


def test_a_rule_with_a_false_and_an_undecided_condition_is_false():
    rule = {"conditions": {"param_gt": {"n": 5}, "param_eq": {"m": 1}}, "approval": "block"}
    decision = policy(rule, {"approval": "auto"}).evaluate(Action("x", "y", {"n": "many", "m": 2}))
    assert (decision.approval, decision.floors) == (Approval.AUTO, ())


def test_a_match_that_is_undecided_and_a_condition_that_is_false_make_a_rule_false():
    rule = {"match": {"type": "delete_*"}, "conditions": {"param_eq": {"m": 1}}, "approval": "block"}
    decision = policy(rule, {"approval": "auto"}).evaluate(Action("Delete_x", "y", {"m": 2}))
    assert decision.approval is Approval.AUTO


def test_a_decision_binds_to_the_rules_it_rests_on():
    mixed = policy(undecided_when("n", "approve"), {"approval": "approve"})
    certain = mixed.evaluate(Action("x", "y", {"n": 1}))
    doubtful = mixed.evaluate(Action("x", "y", {"n": "many"}))
    assert certain.rules_digest == mixed.rules[1].digest
    assert doubtful.rules_digest not in {rule.digest for rule in mixed.rules}


def test_a_layer_with_floors_and_no_decider_still_counts_its_floors():
    rule = policy({"approval": "approve"}).rules[0]
    silent, cautious = ABSENT_DEFAULT.decision, decide([ABSENT_DEFAULT], [rule])
    lenient = policy({"approval": "auto"}).rules[0].decision
    assert combine([lenient, cautious]).approval is Approval.APPROVE
    assert combine([silent, cautious]).approval is Approval.BLOCK
    assert combine([lenient, silent]).approval is Approval.AUTO


# --- for every policy ------------------------------------------------------------------------------------------------


@examples(150)
@given(data=policies(), decided=st.lists(truths, min_size=6, max_size=6))
def test_a_decision_is_what_a_plain_walk_over_the_rules_says(data: dict[str, Any], decided: list[bool | None]):
    action = call(decided)
    known = [truth_of(rule, action, number, decided) for number, rule in enumerate(data["rules"])]
    assert outcome(Policy.from_dict(data).evaluate(action)) == expected([(data, known)], hierarchy=False)


@examples(150)
@given(data=policies(), decided=st.lists(truths, min_size=6, max_size=6))
def test_doubt_never_loosens_whatever_the_truth_may_be(data: dict[str, Any], decided: list[bool | None]):
    action = call(decided)
    decision = Policy.from_dict(data).evaluate(action)
    known = [truth_of(rule, action, number, decided) for number, rule in enumerate(data["rules"])]
    for world in resolutions(known):
        approval, risk = expected([(data, world)], hierarchy=False)
        assert STRICTNESS.index(decision.approval) >= STRICTNESS.index(approval)
        assert decision.risk_level >= risk


def truth_of(rule: dict[str, Any], action: Action, number: int, decided: list[bool | None]) -> bool | None:
    """What a rule comes to for a call of ``tool``: a conjunction of its match and its condition."""
    matched = {"t*": True, "T*": None, "*": True}[rule["match"]["type"][0]] if "match" in rule else True
    holds = decided[number] if "conditions" in rule else True
    return False if holds is False else None if matched is None or holds is None else True


@examples(100)
@given(
    listed=rules(most=8, types=pattern_lists),
    targets=st.lists(st.one_of(st.none(), pattern_lists), min_size=8, max_size=8),
    type_name=names,
    target=names,
    decided=st.lists(truths, min_size=8, max_size=8),
)
def test_the_index_changes_nothing(
    listed: list[dict[str, Any]],
    targets: list[list[str] | None],
    type_name: str,
    target: str,
    decided: list[bool | None],
):
    for rule, patterns in zip(listed, targets, strict=False):
        if patterns is not None:
            rule["match"]["target"] = patterns
    loaded = Policy.from_dict({"version": "1", "rules": listed})
    action = call(decided, type_name, target)
    context = Context()
    floors: list[Rule] = []
    decider: Rule | Default = ABSENT_DEFAULT
    for compiled in loaded.rules:
        matched = compiled.match(action.names)
        truth = matched if matched is False else compiled.holds(matched, action, context)
        if truth:
            decider = compiled
            break
        if truth is None:
            floors.append(compiled)
    assert loaded.evaluate(action) == decide([decider], floors)
    concerned = [(rule, rule.match(action.names)) for rule in loaded.rules]
    assert loaded.layers[0].concerned(action.names) == [pair for pair in concerned if pair[1] is not False]


@pytest.mark.parametrize("with_conditions", [False, True])
def test_what_names_alone_settle_is_not_planned(with_conditions: bool):
    rule: dict[str, Any] = {"match": {"type": "read_*"}, "approval": "auto"}
    if with_conditions:
        rule["conditions"] = {"param_eq": {"x": 1}}
    layer = policy(rule).layers[0]
    assert isinstance(layer.plan(("read_x", "fs", None, None)), Plan if with_conditions else Decision)
    assert isinstance(layer.plan(("write_x", "fs", None, None)), Decision)
