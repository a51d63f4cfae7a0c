"""Layers: each judged on its own, the strictest answer wins, and flatten() says the same as evaluate()."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.action import Action
from aegis_core.decision import Approval, RiskLevel
from aegis_core.errors import PolicyError
from aegis_core.policy.hierarchy import PolicyHierarchy
from aegis_core.policy.policy import Policy
from tests.core.policy.strategies import STRICTNESS, call, examples, expected, policies, resolutions, truths
from tests.core.policy.test_layer import outcome, truth_of, undecided_when

LAYERS = ("org", "team", "agent")


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    return Policy.from_dict(
        {"version": "1", "rules": [{"name": f"r{n}", **rule} for n, rule in enumerate(rules)], **more}
    )


READS = {"match": {"type": "read_*"}, "approval": "auto", "risk_level": "low"}
SECRETS = {"match": {"type": "read_secret"}, "approval": "block", "risk_level": "high"}


def test_line_1_a_team_that_blocks_what_the_organisation_allows_blocks_it_flattened_too():
    hierarchy = PolicyHierarchy(org=policy(READS), team=policy(SECRETS))
    action = Action("read_secret", "fs")
    decision, _ = hierarchy.evaluate(action)
    assert decision.approval is Approval.BLOCK
    assert hierarchy.flatten().evaluate(action) == decision


def test_the_strictest_approval_and_the_highest_risk_win_each_for_itself():
    org = policy({"approval": "approve", "risk_level": "low"})
    team = policy({"approval": "auto", "risk_level": "critical"})
    decision, _ = PolicyHierarchy(org=org, team=team).evaluate(Action("x", "y"))
    assert outcome(decision) == (Approval.APPROVE, RiskLevel.CRITICAL)
    assert (decision.matched_rule, decision.reason) == ("org/r0", "approval is required by rule 'org/r0'")


def test_a_lower_layer_cannot_loosen():
    org = policy({"match": {"type": "drop_*"}, "approval": "block"})
    for lenient in (policy({"approval": "auto"}), policy(defaults={"approval": "auto"})):
        decision, conflicts = PolicyHierarchy(org=org, team=lenient, agent=lenient).evaluate(Action("drop_table", "db"))
        assert decision.approval is Approval.BLOCK
        assert [(conflict.layer, conflict.decision.approval) for conflict in conflicts] == [
            ("team", Approval.AUTO),
            ("agent", Approval.AUTO),
        ]


def test_conflicts_say_what_each_layer_alone_would_have_said_and_what_won():
    hierarchy = PolicyHierarchy(org=policy(READS), team=policy(SECRETS), agent=policy())
    decision, (conflict,) = hierarchy.evaluate(Action("read_secret", "fs"))
    assert (conflict.layer, conflict.decision.matched_rule, conflict.winner) == ("org", "org/r0", decision)


def test_layers_that_agree_or_have_no_opinion_are_no_conflict():
    hierarchy = PolicyHierarchy(org=policy(READS), team=policy(READS), agent=policy(SECRETS))
    assert hierarchy.evaluate(Action("read_x", "fs"))[1] == ()


def test_a_layer_without_defaults_abstains_and_one_with_them_does_not():
    quiet = PolicyHierarchy(org=policy(READS), team=policy(SECRETS))
    assert quiet.evaluate(Action("read_x", "fs"))[0].approval is Approval.AUTO
    strict = PolicyHierarchy(org=policy(READS), team=policy(SECRETS, defaults={"approval": "approve"}))
    assert strict.evaluate(Action("read_x", "fs"))[0].approval is Approval.APPROVE


def test_where_all_layers_are_silent_the_call_is_blocked():
    decision, conflicts = PolicyHierarchy(org=policy(READS), team=policy(), agent=policy()).evaluate(Action("x", "y"))
    assert (outcome(decision), decision.matched_rule, conflicts) == (
        (Approval.BLOCK, RiskLevel.MEDIUM),
        "<default>",
        (),
    )


def test_a_lone_silent_layer_blocks_too():
    hierarchy = PolicyHierarchy(org=policy(READS))
    assert hierarchy.evaluate(Action("x", "y"))[0].approval is Approval.BLOCK
    assert hierarchy.evaluate(Action("Read_x", "y"))[0].approval is Approval.BLOCK


def test_floors_alone_are_no_opinion_and_do_not_open():
    hierarchy = PolicyHierarchy(org=policy(undecided_when("n", "auto")), team=policy(undecided_when("n", "approve")))
    decision, conflicts = hierarchy.evaluate(Action("x", "y", {"n": "many"}))
    assert (decision.approval, conflicts) == (Approval.BLOCK, ())
    assert [floor.rule for floor in decision.floors] == ["org/r0", "team/r0"]


def test_a_floor_of_one_layer_holds_under_the_rule_of_another():
    hierarchy = PolicyHierarchy(org=policy(undecided_when("n", "approve")), team=policy({"approval": "auto"}))
    decision, _ = hierarchy.evaluate(Action("x", "y", {"n": "many"}))
    assert (decision.approval, decision.matched_rule) == (Approval.APPROVE, "team/r0")
    assert decision.reason == "rule 'org/r0' could not be decided for this call, so its 'approve' stands"


def test_a_refused_name_is_refused_by_all_and_no_conflict():
    decision, conflicts = PolicyHierarchy(org=policy({"approval": "auto"})).evaluate(Action("x\n", "y"))
    assert (decision.matched_rule, conflicts) == ("<name>", ())


def test_every_layer_is_judged_at_the_same_moment():
    night = policy(
        {"conditions": {"time_after": "22:00", "time_before": "06:00"}, "approval": "block"}, {"approval": "auto"}
    )
    hierarchy = PolicyHierarchy(org=night, team=policy({"approval": "auto"}))
    for hour, approval, conflicts in ((23, Approval.BLOCK, 1), (12, Approval.AUTO, 0)):
        now = datetime(2026, 3, 22, hour, tzinfo=UTC)
        decision, found = hierarchy.evaluate(Action("x", "y"), now=now)
        assert (decision.approval, len(found)) == (approval, conflicts)


def test_a_hierarchy_needs_a_layer():
    with pytest.raises(PolicyError, match="at least one of org, team and agent"):
        PolicyHierarchy()


def test_layers_of_layers_are_refused():
    flat = PolicyHierarchy(org=policy(READS)).flatten()
    with pytest.raises(PolicyError, match="layer 'team' is itself layered"):
        PolicyHierarchy(team=flat)
    with pytest.raises(PolicyError, match="a layered policy cannot be merged"):
        flat.merge(policy())
    with pytest.raises(PolicyError, match="a layered policy cannot be merged"):
        policy().merge(flat)


def test_a_flat_policy_knows_all_its_rules_and_sources():
    flat = PolicyHierarchy(
        org=Policy.from_string('version: "1"\nrules: [{name: a, approval: auto}]', source="org.yaml"),
        agent=Policy.from_string('version: "1"\nrules: [{name: a, approval: block}]', source="agent.yaml"),
    ).flatten()
    assert [rule.name for rule in flat.rules] == ["org/a", "agent/a"]
    assert flat.sources == ("org.yaml", "agent.yaml")


three = st.fixed_dictionaries({}, optional=dict.fromkeys(LAYERS, policies(most=4))).filter(bool)


@examples(150)
@given(data=three, decided=st.lists(truths, min_size=4, max_size=4))
def test_line_1_a_hierarchy_says_what_a_plain_reading_says_flattened_or_not(
    data: dict[str, dict[str, Any]], decided: list[bool | None]
):
    action = call(decided)
    hierarchy = PolicyHierarchy(**{name: Policy.from_dict(part) for name, part in data.items()})
    decision, conflicts = hierarchy.evaluate(action)
    assert hierarchy.flatten().evaluate(action) == decision
    parts = [data[name] for name in LAYERS if name in data]
    known = [[truth_of(rule, action, n, decided) for n, rule in enumerate(part["rules"])] for part in parts]
    assert outcome(decision) == expected(list(zip(parts, known, strict=True)), hierarchy=True)
    for world in resolutions([truth for rules in known for truth in rules]):
        one_by_one = iter(world)
        resolved = [(part, [next(one_by_one) for _ in part["rules"]]) for part in parts]
        approval, risk = expected(resolved, hierarchy=True)
        assert STRICTNESS.index(decision.approval) >= STRICTNESS.index(approval)
        assert decision.risk_level >= risk
    assert all(conflict.decision.approval is not decision.approval for conflict in conflicts)


@examples(100)
@given(data=three, lower=policies(most=4), decided=st.lists(truths, min_size=4, max_size=4))
def test_line_1_one_more_layer_never_loosens(
    data: dict[str, dict[str, Any]], lower: dict[str, Any], decided: list[bool | None]
):
    data.pop("agent", None)
    if data and any("defaults" in part for part in data.values()):  # without, all may be silent, and silence blocks
        layers = {name: Policy.from_dict(part) for name, part in data.items()}
        action = call(decided)
        before, _ = PolicyHierarchy(**layers).evaluate(action)
        after, _ = PolicyHierarchy(**layers, agent=Policy.from_dict(lower)).evaluate(action)
        assert after.approval.strictness >= before.approval.strictness
        assert after.risk_level >= before.risk_level


def test_a_layer_that_is_no_policy_is_a_clear_error():
    with pytest.raises(TypeError, match=r"team must be a Policy, got 'team.yaml'; Policy.from_yaml reads a file"):
        PolicyHierarchy(team="team.yaml")  # type: ignore[arg-type]
