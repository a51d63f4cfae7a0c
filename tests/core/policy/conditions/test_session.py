"""Conditions about the session."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.action import Action
from aegis_core.decision import Approval
from aegis_core.errors import PolicyError
from aegis_core.policy.hierarchy import PolicyHierarchy
from aegis_core.policy.policy import Policy
from aegis_core.session import SessionState

NOW = datetime(2026, 3, 22, 12, tzinfo=UTC)


@dataclass
class Scripted:
    """A session that answers from a script, per value, pattern and budget."""

    stated: dict[str, bool | None] = field(default_factory=dict)
    was_begun: dict[str, bool | None] = field(default_factory=dict)
    used_up: set[str] = field(default_factory=set)

    def origin(self, text: str, *, user: bool, trust: Any) -> tuple[bool | None, str]:
        return self.stated.get(text, False), "scripted"

    def begun(self, calls: Any) -> bool | None:
        return self.was_begun.get(calls.text, False)

    def exhausted_until(self, budget: str) -> int | None:
        return int(NOW.timestamp() * 1e6) + 1 if budget in self.used_up else None


def policy(*rules: str, trust: str = "[]") -> Policy:
    listed = "\n".join(f"  - {{name: r{number}, {rule}}}" for number, rule in enumerate(rules))
    body = f"rules:\n{listed}" if rules else "rules: []"
    return Policy.from_string(f'version: "1"\ndefaults: {{approval: approve}}\ntrust: {trust}\n{body}')


def decided(policy: Policy, session: Any, **params: Any) -> Approval:
    action = Action("send", "mail", params, session_id="s", agent="a", user="u")
    return policy.evaluate(action, session=session, now=NOW).approval


FROM = policy("conditions: {param_from: {to: [user]}}, approval: auto")


@pytest.mark.parametrize(
    ("to", "stated", "approval"),
    [
        ("jane", {"jane": True}, Approval.AUTO),
        ("jane", {"jane": False}, Approval.APPROVE),
        ("jane", {"jane": None}, Approval.APPROVE),
        (["jane", "john"], {"jane": True, "john": True}, Approval.AUTO),
        (["jane", "eve"], {"jane": True}, Approval.APPROVE),
        ([], {}, Approval.APPROVE),
        (None, {}, Approval.APPROVE),
        (True, {"True": True}, Approval.APPROVE),
        ({"a": "jane"}, {"jane": True}, Approval.APPROVE),
        (1100, {"1,100": True}, Approval.AUTO),
        (1100.0, {"1100": True}, Approval.AUTO),
        (2000.5, {"2000.50": True}, Approval.AUTO),
        (50, {"50.00": True}, Approval.APPROVE),
        (10**20, {str(10**20): True}, Approval.APPROVE),
        (float("nan"), {"nan": True}, Approval.APPROVE),
        (object(), {}, Approval.APPROVE),
    ],
)
def test_param_from_asks_where_each_value_came_from(to, stated, approval):
    assert decided(FROM, Scripted(stated=stated), to=to) is approval


def test_param_from_reaches_into_nested_values():
    nested = policy("conditions: {param_from: {'message.to[].address': user}}, approval: auto")
    message = {"to": [{"address": "jane"}, {"address": "john"}]}
    assert decided(nested, Scripted(stated={"jane": True, "john": True}), message=message) is Approval.AUTO
    assert decided(nested, Scripted(stated={"jane": True}), message=message) is Approval.APPROVE


def test_another_spelling_of_the_parameter_is_undecided():
    assert decided(FROM, Scripted(stated={"jane": True}), To="jane") is Approval.APPROVE


@pytest.mark.parametrize(
    ("begun", "approval"), [(True, Approval.BLOCK), (None, Approval.BLOCK), (False, Approval.AUTO)]
)
def test_after_shuts_also_where_it_is_not_known_what_was_begun(begun, approval):
    after = policy("conditions: {after: {type: fetch, target: web}}, approval: block", "approval: auto")
    assert decided(after, Scripted(was_begun={"fetch@web": begun})) is approval


def test_a_budget_opens_until_it_is_used_up_and_is_taken_by_the_rule_that_decides():
    budget = policy("conditions: {calls: {max: 2, per: 1h, by: rule}}, approval: auto")
    action = Action("send", "mail", session_id="s")
    decision = budget.evaluate(action, session=Scripted(), now=NOW)
    assert decision.approval is Approval.AUTO
    assert [(taken.key, taken.limit, taken.window) for taken in decision.reserves] == [("r0", 2, 3600.0)]
    decision = budget.evaluate(action, session=Scripted(used_up={"r0"}), now=NOW)
    assert decision.approval is Approval.APPROVE
    assert decision.reserves == ()


@pytest.mark.parametrize("by", ["session", "agent", "user"])
def test_a_budget_is_counted_by_whom_it_says_and_is_undecided_where_nobody_is_named(by):
    budget = policy(f"conditions: {{calls: {{max: 1, per: 1d, by: {by}}}}}, approval: auto")
    keys = set()
    for whom in ("one", "two"):
        action = Action("send", "mail").replace(**{"session_id" if by == "session" else by: whom})
        [taken] = budget.evaluate(action, session=Scripted(), now=NOW).reserves
        keys.add(taken.key)
        assert whom not in taken.key
    assert len(keys) == 2
    assert budget.evaluate(Action("send", "mail"), session=Scripted(), now=NOW).approval is Approval.APPROVE


def test_without_a_session_every_condition_about_it_is_undecided():
    every = policy(
        "conditions: {param_from: {to: user}}, approval: block",
        "conditions: {after: {type: fetch}}, approval: block",
        "conditions: {calls: {max: 1, per: 1h}}, approval: auto",
    )
    decision = every.evaluate(Action("send", "mail", {"to": "jane@x.com"}), now=NOW)
    assert decision.approval is Approval.BLOCK
    assert [floor.rule for floor in decision.floors] == ["r0", "r1", "r2"]


truths = st.sampled_from([True, False, None])
conditions = st.sampled_from(
    ["param_from: {to: user}", "param_from: {to: [trusted]}", "after: {type: fetch}", "after: {target: web}"]
)


@st.composite
def rules(draw: Any) -> str:
    approval = draw(st.sampled_from(["auto", "approve", "block"]))
    held = draw(st.lists(conditions, unique=True, max_size=2))
    if len(held) == 2 and held[0].split(":")[0] == held[1].split(":")[0]:
        held.pop()
    if approval == "auto" and draw(st.booleans()):
        held.append("calls: {max: 1, per: 1h, by: session}")
    return f"conditions: {{{', '.join(held)}}}, approval: {approval}" if held else f"approval: {approval}"


@given(st.lists(rules(), min_size=1, max_size=4), truths, truths, truths)
def test_doubt_about_a_session_never_loosens(listed, stated, fetched, web):
    """What the session cannot tell is answered at least as strictly as either answer would have been."""
    judged = policy(*listed)

    def strictness(stated: bool | None, fetched: bool | None, web: bool | None) -> int:
        session = Scripted({"jane": stated}, {"fetch@*": fetched, "*@web": web})
        return decided(judged, session, to="jane").strictness

    doubtful = strictness(stated, fetched, web)
    known = [[True, False] if truth is None else [truth] for truth in (stated, fetched, web)]
    if [stated, fetched, web].count(None) == 1:
        assert doubtful >= max(strictness(a, b, c) for a in known[0] for b in known[1] for c in known[2])


@given(st.lists(rules(), max_size=3), st.lists(rules(), max_size=3), truths, truths, truths)
def test_a_hierarchy_and_its_flattened_policy_agree_about_sessions(org, team, stated, fetched, web):
    hierarchy = PolicyHierarchy(org=policy(*org), team=policy(*team))
    session = Scripted({"jane": stated}, {"fetch@*": fetched, "*@web": web})
    action = Action("send", "mail", {"to": "jane"}, session_id="s")
    decision, _ = hierarchy.evaluate(action, session=session, now=NOW)
    flat = hierarchy.flatten().evaluate(action, session=session, now=NOW)
    assert (decision.approval, decision.reserves) == (flat.approval, flat.reserves)


def test_each_layer_is_judged_with_its_own_trust():
    rule = "match: {type: send}, conditions: {param_from: {to: trusted}}, approval: auto"
    trusting = policy(rule, trust="[{match: {type: get_contacts}, results: trusted}]")
    strict = policy(rule)
    state = SessionState()
    state.add_result("get_contacts", "crm", "jane@x.com")
    assert decided(trusting, state, to="jane@x.com") is Approval.AUTO
    assert decided(strict, state, to="jane@x.com") is Approval.APPROVE
    for layers in ({"org": trusting, "team": strict}, {"org": strict, "team": trusting}):
        assert decided(Policy.of_layers(layers), state, to="jane@x.com") is Approval.APPROVE
    both = Policy.of_layers({"org": trusting, "team": trusting})
    assert decided(both, state, to="jane@x.com") is Approval.AUTO


def test_merged_policies_share_their_trust():
    rules = policy("conditions: {param_from: {to: trusted}}, approval: auto")
    trust = policy(trust="[{match: {type: get_contacts}, results: trusted}]")
    state = SessionState()
    state.add_result("get_contacts", "crm", "jane@x.com")
    assert decided(rules.merge(trust), state, to="jane@x.com") is Approval.AUTO


def test_the_digest_covers_trust_results_redact_and_session_conditions():
    texts = [
        "rules: []",
        "trust: [{match: {type: a}, results: trusted}]",
        "trust: [{match: {type: a}, results: untrusted}]",
        "results: [{name: a, block: true}]",
        "redact: {keys: [a]}",
        "rules: [{name: a, conditions: {after: {type: a}}, approval: auto}]",
        "rules: [{name: a, conditions: {calls: {max: 1, per: 1h}}, approval: auto}]",
        "rules: [{name: a, conditions: {calls: {max: 1, per: 2h}}, approval: auto}]",
        "rules: [{name: a, conditions: {param_from: {a: user}}, approval: auto}]",
    ]
    assert len({Policy.from_string(f'version: "1"\n{text}').digest for text in texts}) == len(texts)
    same = [
        "rules: [{name: a, conditions: {calls: {max: 1, per: 60m}, param_from: {a: user}}, approval: auto}]",
        "rules: [{name: a, conditions: {calls: {max: 1, per: 1h, by: rule}, param_from: {a: [user]}}, approval: auto}]",
    ]
    assert len({Policy.from_string(f'version: "1"\n{text}').digest for text in same}) == 1


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("conditions: {calls: {max: 1, per: 1h}}, approval: block", "calls stands on rules with approval: auto only"),
        ("conditions: {calls: {max: 0, per: 1h}}, approval: auto", "max"),
        ("conditions: {calls: {max: 1, per: 1 hour}}, approval: auto", "must be a duration like 30s"),
        ("conditions: {calls: {max: 1, per: 3600}}, approval: auto", "must be a duration like 30s"),
        ("conditions: {calls: {max: 1, per: 400d}}, approval: auto", "must be a duration like 30s"),
        ("conditions: {calls: {max: 1, per: 1h, by: team}}, approval: auto", "by"),
        ("conditions: {calls: {max: 1}}, approval: auto", "missing key 'per'"),
        ("conditions: {after: fetch}, approval: auto", "must be a mapping"),
        ("conditions: {after: {tool: fetch}}, approval: auto", "unknown key 'tool'"),
        ("conditions: {after: {type: '[a'}}, approval: auto", "never closed"),
        ("conditions: {param_from: {to: []}}, approval: auto", "must be a list of user, trusted or both"),
        ("conditions: {param_from: {to: [user, tools]}}, approval: auto", "must be 'user' or 'trusted', got 'tools'"),
        ("conditions: {param_from: {'': user}}, approval: auto", "is not a parameter path"),
        ("conditions: {param_form: {to: user}}, approval: auto", "did you mean 'param_from'"),
    ],
)
def test_a_wrong_condition_is_a_problem_with_a_place(rule, message):
    with pytest.raises(PolicyError) as raised:
        policy(rule)
    assert message in str(raised.value)
    assert raised.value.problems[0].line == 5
    assert raised.value.problems[0].rule == "r0"


def test_explain_shows_value_truth_and_reason():
    state = SessionState()
    state.add_user_text("write to jane@x.com")
    state.add_calls([("fetch", "web")])
    judged = policy(
        "conditions: {param_from: {to: user, password: user}, after: {type: fetch}, calls: {max: 1, per: 1h}}, "
        "approval: auto"
    )
    text = str(judged.explain(Action("send", "mail", {"to": "jane@x.com", "password": "hunter2!"}), session=state))
    assert "true      param_from to = 'jane@x.com': the user stated it" in text
    assert "false     param_from password = '[redacted]': the user did not state it" in text
    assert "true      after fetch@*: such a call was begun in this session" in text
    assert "hunter2" not in text
