"""A rule of which lint says that it never decides decides no call: tried on every call of a small world."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aegis import Action, Policy
from aegis.workbench.cells import cells
from aegis.workbench.reach import reach_of
from aegis.workbench.shadow import Shadows
from tests.core.policy.strategies import examples
from tests.workbench.universe import calls, rules


def shadows(policy: Policy) -> Shadows:
    return Shadows(policy.rules, policy.layers[0].trust)


def policy_of(found: list[dict[str, Any]]) -> Policy:
    return Policy.from_dict({"version": "1", "rules": found})


@examples(60)
@given(rules(most=6), st.integers(0, 1 << 30))
def test_a_rule_that_is_said_never_to_decide_decides_no_call(found: list[dict[str, Any]], seed: int):
    policy = policy_of(found)
    asked = shadows(policy)
    never = {
        policy.rules[n].name
        for n in range(len(policy.rules))
        if asked.over(n) is not None or asked.contradicts_itself(n)
    }
    if never:
        for action, session, now in calls(seed):
            decision = policy.evaluate(action, session=session, now=now)
            assert decision.matched_rule not in never, (action, decision)


@examples(50)
@given(rules(most=5, conditional=False))
def test_over_names_alone_every_rule_that_never_decides_is_found(found: list[dict[str, Any]]):
    # The other way round: without conditions the answer is exact, so a rule not named decides some call, and the name
    # that the reasoning comes upon shows it.
    policy = policy_of(found)
    asked = shadows(policy)
    for number, rule in enumerate(policy.rules):
        if asked.over(number) is None:
            reaches = [reach_of(other.document.match) for other in policy.rules[:number]]
            free = [cell for cell in cells(reach_of(rule.document.match), reaches) if not cell.matched]
            decided = [
                policy.evaluate(Action(names[0], names[1], agent=names[2], user=names[3])).matched_rule
                for names, _ in free
            ]
            assert rule.name in decided
