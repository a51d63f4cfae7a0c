"""Finding what a dotted path names, or saying why there is nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.policy.conditions.lookup import (
    ABSENT,
    AMBIGUOUS,
    ASTRAY,
    FOLDED,
    NULL,
    ParamPath,
    Several,
    plainly_named,
)
from aegis_core.policy.names import fold
from aegis_core.snapshot import Opaque, freeze_params
from tests.core.policy.strategies import examples


def found(path: str, params: dict[str, Any]) -> Any:
    return ParamPath(path).find(freeze_params(params))


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("a", {"a": 1}, 1),
        ("a", {"a": 1, "b": 2}, 1),
        ("a", {}, ABSENT),
        ("a", {"b": 1}, ABSENT),
        ("a", {"a": None}, NULL),
        ("a", {"a": False}, False),
        ("a", {"a": ""}, ""),
        ("a", {"A": 1}, FOLDED),
        ("a", {"a": 1, "A": 2}, FOLDED),
        ("a", {"a": 1, "ａ": 2}, FOLDED),
        ("a", {"a": 1, " a": 2}, FOLDED),
        ("A", {"a": 1}, FOLDED),
        ("A", {"A": 1, "b": 2}, 1),
        ("straße", {"STRASSE": 1}, FOLDED),
        ("message.to", {"message": {"to": "x"}}, "x"),
        ("message.to", {"message": {}}, ABSENT),
        ("message.to", {}, ABSENT),
        ("message.to", {"message": None}, NULL),
        ("message.to", {"message": {"to": None}}, NULL),
        ("message.to", {"message": {"To": "x"}}, FOLDED),
        ("message.to", {"Message": {"to": "x"}}, FOLDED),
        ("message.to", {"message": "x"}, ASTRAY),
        ("message.to", {"message": ["x"]}, ASTRAY),
        ("message.to", {"message": Opaque(object())}, ASTRAY),
        ("message.to", {"message.to": "x"}, "x"),
        ("message.to", {"message.to": "x", "message": {}}, "x"),
        ("message.to", {"message.to": "x", "message": "y"}, "x"),
        ("message.to", {"message.to": "x", "message": {"to": "y"}}, AMBIGUOUS),
        ("message.to", {"message.to": "x", "message": {"to": None}}, AMBIGUOUS),
        ("message.to", {"Message.To": "x"}, FOLDED),
        ("message.to", {"Message.To": "x", "message": {"to": "y"}}, AMBIGUOUS),
        ("items[]", {"items": [1, 2]}, Several((1, 2))),
        ("items[]", {"items": (1, 2)}, Several((1, 2))),
        ("items[]", {"items": []}, Several(())),
        ("items[]", {"items": "x"}, ASTRAY),
        ("items[]", {"items": {"0": "x"}}, ASTRAY),
        ("items[]", {"items[]": "x"}, "x"),
        ("items[].path", {"items": [{"path": "a"}, {"path": "b"}]}, Several(("a", "b"))),
        ("items[].path", {"items": [{"path": "a"}, {}]}, Several(("a", None))),
        ("items[].path", {"items": [{"path": "a"}, {"path": None}]}, Several(("a", None))),
        ("items[].path", {"items": [{"path": "a"}, {"Path": "b"}]}, FOLDED),
        ("items[].path", {"items": [{"path": "a"}, "b"]}, ASTRAY),
        ("items[].path", {"items": []}, Several(())),
        ("a[].b[].c", {"a": [{"b": [{"c": 1}, {"c": 2}]}, {"b": [{"c": 3}]}, {}]}, Several((1, 2, 3, None))),
        ("a[].b", {"a": [{"b": ("x", "y")}, {"b": ["z"]}]}, Several((("x", "y"), ["z"]))),
        ("a.1", {"a": {1: "x"}}, FOLDED),
        ("a.true", {"a": {True: "x"}}, FOLDED),
        ("a.1", {"a": {10**5000: "x", 1.5: "y"}}, ABSENT),
        ("a-b", {"a-b": 1, "a_b": 2}, 1),
    ],
)  # fmt: skip
def test_a_path_names(path: str, params: dict[str, Any], expected: Any):
    answer = found(path, params)
    assert answer == expected
    assert type(answer) is type(expected) or not isinstance(expected, Several)


keys = st.text("aAbBﬁé_. -", max_size=4)


@examples(100)
@given(st.dictionaries(keys, st.integers(), max_size=6), keys.filter(lambda key: "." not in key and key))
def test_a_parameter_is_found_exactly_when_no_other_is_spelt_like_it(params: dict[str, int], path: str):
    others = [key for key in params if key != path and fold(key) == fold(path)]
    expected = FOLDED if others else params.get(path, ABSENT)
    assert found(path, params) == expected
    if plainly_named(params) and ParamPath(path).plain is not None:
        assert params.get(path, ABSENT) == expected


@pytest.mark.parametrize("names", [["a"], ["path", "sql_2", "x"], ["_a"]])
def test_ordinary_names_are_plain(names: list[str]):
    assert plainly_named(dict.fromkeys(names))


@pytest.mark.parametrize(
    "names", [[], ["A"], ["a", "B"], ["é"], ["a b"], [" a"], ["a-b"], ["a.b"], ["ａ"], ["1"], [""]]
)
def test_names_that_need_a_second_look_are_not(names: list[str]):
    assert not plainly_named(dict.fromkeys(names))
