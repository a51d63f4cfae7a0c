"""What a policy may answer whatever the arguments: every answer that some call gets is among them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.decision import Approval
from aegis_core.policy.hierarchy import PolicyHierarchy
from aegis_core.policy.policy import Policy
from aegis_core.policy.reach import possible
from tests.core.policy.strategies import call, examples, policies, truths

AUTO, APPROVE, BLOCK = Approval.AUTO, Approval.APPROVE, Approval.BLOCK


@examples(300)
@given(
    st.lists(policies(), min_size=1, max_size=3),
    st.lists(truths, min_size=6, max_size=6),
    st.sampled_from(["tool", "Tool", "fs__tool", "other", "tоol"]),
)
def test_no_call_gets_an_answer_that_is_not_among_them(layers: list[dict[str, Any]], truth: Any, tool: str) -> None:
    loaded = [Policy.from_dict(layer) for layer in layers]
    policy = loaded[0]
    if len(loaded) > 1:
        policy = PolicyHierarchy(**dict(zip(("org", "team", "agent"), loaded, strict=False))).flatten()
    action = call(truth, tool)
    assert policy.evaluate(action).approval in possible(policy, action.names)


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    return Policy.from_dict(
        {"version": "1", "rules": [{"name": f"r{n}", **rule} for n, rule in enumerate(rules)], **more}
    )


IF = {"conditions": {"param_eq": {"a": 1}}}
T, FOLDED = {"match": {"type": "t"}}, {"match": {"type": "T"}}


@pytest.mark.parametrize(
    ("rules", "more", "answers"),
    [
        ([], {}, {BLOCK}),
        ([], {"defaults": {"approval": "auto"}}, {AUTO}),
        ([{**T, "approval": "auto"}], {}, {AUTO}),
        ([{**T, **IF, "approval": "auto"}], {}, {AUTO, BLOCK}),
        ([{**T, **IF, "approval": "block"}], {"defaults": {"approval": "auto"}}, {AUTO, BLOCK}),
        ([{**T, **IF, "approval": "block"}, {"approval": "block"}], {"defaults": {"approval": "auto"}}, {BLOCK}),
        ([{"approval": "block"}, {**T, "approval": "auto"}], {}, {BLOCK}),
        ([{**FOLDED, "approval": "auto"}], {}, {BLOCK}),
        ([{**FOLDED, "approval": "block"}, {**T, "approval": "auto"}], {}, {BLOCK}),
        ([{**FOLDED, "approval": "approve"}, {**T, "approval": "auto"}], {}, {APPROVE}),
        ([{**FOLDED, **IF, "approval": "block"}, {**T, "approval": "auto"}], {}, {AUTO, BLOCK}),
        ([{"match": {"agent": "ann"}, "approval": "auto"}], {}, {BLOCK}),
    ],
)
def test_the_answers_are_those_that_some_arguments_bring_about(
    rules: list[Any], more: dict[str, Any], answers: set[Approval]
) -> None:
    assert possible(policy(*rules, **more), ("t", "server", None, None)) == answers


def test_a_layer_that_blocks_always_is_enough_and_silent_layers_block() -> None:
    names = ("t", "server", None, None)
    shut, silent, opens = policy({**T, "approval": "block"}), policy(), policy({"approval": "auto"})
    assert possible(PolicyHierarchy(org=shut, team=opens).flatten(), names) == {BLOCK}
    assert possible(PolicyHierarchy(org=silent, team=opens).flatten(), names) == {AUTO}
    assert possible(PolicyHierarchy(org=silent, team=silent).flatten(), names) == {BLOCK}
    doubtful = policy({**FOLDED, "approval": "approve"})
    assert possible(PolicyHierarchy(org=doubtful, team=opens).flatten(), names) == {APPROVE}
    assert possible(PolicyHierarchy(org=doubtful, team=silent).flatten(), names) == {BLOCK}


def test_a_name_that_is_refused_is_blocked() -> None:
    assert possible(policy({"approval": "auto"}), ("read\u202e", "server", None, None)) == {BLOCK}
