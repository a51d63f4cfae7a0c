"""Conditions about parameters: what is asked of a value, of several, and of none; and that doubt never loosens."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.action import Action
from aegis_core.decision import Approval
from aegis_core.policy.conditions.truth import Context
from aegis_core.policy.policy import Policy
from aegis_core.snapshot import Opaque
from tests.core.policy.strategies import SAYS, approvals, examples, risks


def truth(conditions: dict[str, Any], params: dict[str, Any]) -> bool | None:
    rule = {"name": "r", "conditions": conditions, "approval": "auto"}
    (compiled,) = Policy.from_dict({"version": "1", "rules": [rule]}).rules
    return compiled.holds(True, Action("x", "y", params), Context())


@pytest.mark.parametrize("condition", ["param_eq", "param_gt", "param_in", "param_contains", "param_matches"])
def test_an_absent_or_null_parameter_makes_a_condition_false(condition: str):
    expected: Any = {"param_gt": 100, "param_in": ["a"]}.get(condition, "a")
    for params in ({}, {"other": 1}, {"count": None}, {"count": None, "Other": 1}):
        assert truth({condition: {"count": expected}}, params) is False


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (["a.csv", "b.csv"], True),
        (["a.txt", "b.txt"], False),
        (["a.csv", "b.txt"], None),
        (["a.csv", 5], None),
        (["a.csv", None], None),
        ([None, None], False),
        ([], False),
        (("a.csv",), True),
        ([["a.csv"]], None),
    ],
)
def test_all_elements_of_a_list_must_agree(value: Any, answer: bool | None):
    assert truth({"param_matches": {"files": r"\.csv$"}}, {"files": value}) is answer


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        ([{"path": "/data/a"}, {"path": "/data/b"}], True),
        ([{"path": "/etc/a"}, {"path": "/etc/b"}], False),
        ([{"path": "/data/a"}, {"path": "/etc/b"}], None),
        ([{"path": "/data/a"}, {}], None),
        ([{}, {}], False),
        ([], False),
        ([{"path": "/data/a"}, "x"], None),
        ([{"path": ["/data/a", "/data/b"]}, {"path": "/data/c"}], True),
        ([{"path": ["/data/a", "/etc/b"]}, {"path": "/data/c"}], None),
    ],
)
def test_all_values_a_path_names_must_agree(items: Any, answer: bool | None):
    assert truth({"param_matches": {"items[].path": "^/data/"}}, {"items": items}) is answer


def test_containing_asks_a_list_as_a_whole_and_with_brackets_every_element():
    assert truth({"param_contains": {"tags": "vip"}}, {"tags": ["vip", "new"]}) is True
    assert truth({"param_contains": {"tags": "vi"}}, {"tags": ["vip", "new"]}) is False
    assert truth({"param_contains": {"tags[]": "vi"}}, {"tags": ["vip", "new"]}) is None
    assert truth({"param_contains": {"tags[]": "v"}}, {"tags": ["vip", "avid"]}) is True
    assert (
        truth({"param_contains": {"users[].tags": "vip"}}, {"users": [{"tags": ["vip"]}, {"tags": ("vip", "x")}]})
        is True
    )


def test_equality_with_a_list_or_mapping_is_about_the_whole():
    assert truth({"param_eq": {"ids": [1, 2]}}, {"ids": [1, 2]}) is True
    assert truth({"param_eq": {"ids": [1, 2]}}, {"ids": [2, 1]}) is False
    assert truth({"param_eq": {"ids": 1}}, {"ids": [1, 1]}) is True
    assert truth({"param_eq": {"rows[].ids": [1]}}, {"rows": [{"ids": [1]}, {"ids": [1]}]}) is True
    assert truth({"param_eq": {"who": {"id": 1}}}, {"who": {"id": 1}}) is True


def test_another_spelling_of_the_parameters_name_is_doubt():
    for params in ({"SQL": "x"}, {"sql": "SELECT 1", "Sql": "DROP"}, {"ｓｑｌ": "x"}, {"sql ": "x", "sql": "y"}):
        assert truth({"param_matches": {"sql": "^SELECT"}}, params) is None


def test_all_conditions_must_hold():
    both = {"param_gt": {"a": 5, "b": 5}, "param_eq": {"c": "x"}}
    assert truth(both, {"a": 6, "b": 6, "c": "x"}) is True
    assert truth(both, {"a": 6, "b": 6, "c": "y"}) is False
    assert truth(both, {"a": 6, "b": "?", "c": "x"}) is None
    assert truth(both, {"a": 6, "b": "?", "c": "y"}) is False


@pytest.mark.parametrize(
    ("params", "answer"),
    [
        ({}, True),
        ({"path": "a"}, True),
        ({"path": "a", "content": None}, True),
        ({"path": "a", "force": True}, False),
        ({"Path": "a"}, None),
        ({"Path": "a", "force": True}, False),
    ],
)
def test_param_names_leave_no_room_for_parameters_nobody_named(params: dict[str, Any], answer: bool | None):
    assert truth({"param_names": ["path", "content"]}, params) is answer


def test_an_empty_list_of_param_names_is_for_calls_without_parameters():
    assert truth({"param_names": []}, {}) is True
    assert truth({"param_names": []}, {"path": "a"}) is False


def test_line_3_a_block_rule_whose_pattern_cannot_judge_the_value_still_blocks():
    guarded = Policy.from_dict(
        {
            "version": "1",
            "defaults": {"approval": "auto"},
            "rules": [{"name": "no_drop", "conditions": {"param_matches": {"sql": "DROP"}}, "approval": "block"}],
        }
    )
    for value in (
        ["SELECT 1", "DROP TABLE x"],
        [["DROP"]],
        {"text": "DROP"},
        5,
        b"DROP",
        "DROP\ud800",
        object(),
        "x" * 10**6 + "DROP",
    ):
        assert guarded.evaluate(Action("query", "db", {"sql": value})).approval is Approval.BLOCK
    assert guarded.evaluate(Action("query", "db", {"SQL": "DROP TABLE x"})).approval is Approval.BLOCK
    assert guarded.evaluate(Action("query", "db", {"sql": ["SELECT 1"]})).permitted


def test_line_6_a_pattern_of_doom_decides_at_once():
    rule = {"name": "r", "conditions": {"param_matches": {"x": "^(a+)+$"}}, "approval": "block"}
    doom = Policy.from_dict({"version": "1", "defaults": {"approval": "auto"}, "rules": [rule]})
    assert doom.evaluate(Action("x", "y", {"x": "a" * 28 + "!"})).permitted


# --- doubt never loosens, for every condition there is ----------------------------------------------------------------

UNREADABLE: list[Any] = [Opaque(object()), float("nan"), "\ud800", {"a": 1}, object()]
# Per condition: what the policy expects of parameter p, a value that satisfies it, one that does not, and values that
# leave it undecided.
WORLDS: list[tuple[str, Any, Any, Any, list[Any]]] = [
    ("param_eq", 5, 5, 6, ["5", True, [5, 6], [], *UNREADABLE]),
    ("param_eq", "a", "a", "b", [5, ["a", "b"], *UNREADABLE]),
    ("param_eq", True, True, False, [1, "true", *UNREADABLE]),
    ("param_eq", [1, 2], [1, 2], [2, 1], ["x", [1, "2"], {"a": 1}, Opaque([1, 2])]),
    ("param_eq", {"a": 1}, {"a": 1}, {"a": 2}, ["x", {"a": "1"}, Opaque({})]),
    ("param_gt", 5, 6, 5, ["6", True, [6, 5], *UNREADABLE]),
    ("param_gte", 5, 5, 4, ["6", False, [5, 4], *UNREADABLE]),
    ("param_lt", 5, 4, 5, ["4", True, [4, 5], *UNREADABLE]),
    ("param_lte", 5, 5, 6, ["4", True, [5, 6], *UNREADABLE]),
    ("param_gt", "b", "c", "a", [5, True, ["a", "c"], *UNREADABLE]),
    ("param_in", ["a", "b"], "a", "c", [5, ["a", "c"], *UNREADABLE]),
    ("param_contains", "x", "axb", "ab", [5, *UNREADABLE, [5, "y"]]),
    ("param_matches", "^a+$", "aa", "b", [5, ["a", "b"], *UNREADABLE]),
    ("param_matches", "^SELECT ", "SELECT 1", "DROP", [5, ["SELECT 1", "DROP"], *UNREADABLE]),
    ("param_path", {"under": "/data"}, "/data/x", "/etc/x", ["/data/../etc/x", "~/x", "/data/%2e%2e/x", *UNREADABLE]),
]
around = st.lists(
    st.fixed_dictionaries({"approval": approvals, "risk_level": risks, "holds": st.sampled_from([True, False, None])}),
    max_size=3,
)


@examples(150)
@given(
    world=st.sampled_from(WORLDS),
    before=around,
    after=around,
    approval=approvals,
    risk=risks,
    default=approvals,
    folded=st.booleans(),
    data=st.data(),
)
def test_doubt_about_a_value_is_at_least_as_strict_as_either_truth(
    world: tuple[str, Any, Any, Any, list[Any]],
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    approval: str,
    risk: str,
    default: str,
    folded: bool,
    data: st.DataObject,
):
    condition, expected, yes, no, doubtful = world
    asked = {"name": "asked", "conditions": {condition: {"p": expected}}, "approval": approval, "risk_level": risk}
    rules: list[dict[str, Any]] = []
    others: dict[str, Any] = {}
    for number, other in enumerate([*before, None, *after]):
        if other is None:
            rules.append(asked)
        else:
            others[f"r{number}"] = SAYS[other["holds"]]
            rules.append(
                {
                    "name": f"r{number}",
                    "conditions": {"param_eq": {f"r{number}": True}},
                    "approval": other["approval"],
                    "risk_level": other["risk_level"],
                }
            )
    policy = Policy.from_dict({"version": "1", "defaults": {"approval": default}, "rules": rules})

    def decided(params: dict[str, Any]) -> tuple[int, int]:
        decision = policy.evaluate(Action("x", "y", {**others, **params}))
        return decision.approval.strictness, decision.risk_level

    doubt = {"P": yes} if folded else {"p": data.draw(st.sampled_from(doubtful))}
    for certain in ({"p": yes}, {"p": no}, {}, {"p": None}):
        assert all(a >= b for a, b in zip(decided(doubt), decided(certain), strict=True))


@pytest.mark.parametrize("number", range(len(WORLDS)))
def test_the_worlds_are_what_they_say(number: int):
    condition, expected, yes, no, doubtful = WORLDS[number]
    conditions = {condition: {"p": expected}}
    assert truth(conditions, {"p": yes}) is True
    assert truth(conditions, {"p": no}) is False
    for value in doubtful:
        answer = truth(conditions, {"p": value})
        assert answer is None or (answer is False and value == [])


arguments = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.builds(object) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@examples(100)
@given(
    condition=st.sampled_from([world[:2] for world in WORLDS]),
    params=st.dictionaries(
        st.sampled_from(["p", "P", "p.q", "x", " p"]),
        arguments,
        max_size=4,
    ),
    path=st.sampled_from(["p", "P", "p.q", "p[]", "p[].q", "x"]),
)  # fmt: skip
def test_no_value_whatever_makes_a_condition_raise(condition: tuple[str, Any], params: dict[str, Any], path: str):
    name, expected = condition
    rule = {"name": "r", "conditions": {name: {path: expected}}, "approval": "block"}
    policy = Policy.from_dict({"version": "1", "defaults": {"approval": "auto"}, "rules": [rule]})
    action = Action("x", "y", params)
    explanation = policy.explain(action)
    assert explanation.decision == policy.evaluate(action)
    assert explanation.rules[0].truth is explanation.rules[0].findings[0].truth
    assert str(explanation)
