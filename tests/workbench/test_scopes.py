"""What a rule may say about an argument: narrow, and true of every value it was made from."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis import Action, Policy
from aegis.workbench.scopes import scope_of

SEGMENTS = st.lists(st.sampled_from(["data", "a", "b.txt", "..", ".", ""]), min_size=1, max_size=4)
VALUES = st.one_of(
    st.lists(st.builds(lambda parts: "/" + "/".join(parts), SEGMENTS), min_size=1, max_size=6),
    st.lists(st.integers(-5, 5) | st.floats(allow_nan=True), min_size=1, max_size=6),
    st.lists(st.sampled_from(["fast", "slow", "*", "a@b.org", "https://x.org/a", None, True]), min_size=1, max_size=8),
)


@pytest.mark.parametrize(
    ("name", "values", "scope"),
    [
        ("path", ["/data/a/x.csv", "/data/a/b/y.csv"], {"param_path": {"under": ["/data/a"]}}),
        ("path", ["/data/x", "/etc/passwd"], None),
        ("path", ["/x", "/y"], None),
        ("mode", ["fast"] * 4 + ["slow"] * 4, {"param_in": ["fast", "slow"]}),
        ("mode", ["fast"] * 3, {"param_eq": "fast"}),
        ("amount", [1, 20, 2.5], {"param_gte": 1, "param_lte": 20}),
        ("flag", [True] * 4 + [False] * 4, {"param_in": [True, False]}),
        ("content", ["one", "another", "third"], None),
        ("to", ["ann@a.org", "bob@b.org"], {"param_email": {"addresses": ["ann@a.org", "bob@b.org"]}}),
        ("command", ["git status", "git push --force"], None),  # a program's name says little about what it does
        ("message.to", ["x"] * 9, None),  # in a policy it would be a path
        ("options", [{"a": 1}] * 3, {"param_eq": {"a": 1}}),
    ],
)  # fmt: skip
def test_a_scope_is_what_the_values_have_in_common(name: str, values: list[Any], scope: Any):
    assert scope_of(name, values) == scope


@pytest.mark.skipif(find_spec("sqlglot") is None, reason="the extra sql is not installed")
def test_sql_is_scoped_by_kind_and_tables_and_changes_by_a_where():
    reads = scope_of("sql", ["SELECT a FROM t", "SELECT b FROM u WHERE c = 1"])
    assert reads == {"param_sql": {"statements": ["select"], "tables": ["t", "u"]}}
    deletes = scope_of("query", ["DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id = 2"])
    assert deletes == {"param_sql": {"statements": ["delete"], "tables": ["t"], "where_required": True}}
    assert scope_of("sql", ["DELETE FROM t WHERE id = 1", "DELETE FROM t"]) is None
    assert scope_of("query", ["weather in rome", "rain"]) is None


@pytest.mark.skipif(find_spec("ada_url") is None, reason="the extra url is not installed")
def test_urls_are_scoped_by_scheme_and_host():
    scope = scope_of("url", ["https://api.example.com/v1", "https://api.example.com/v2?x=1"])
    assert scope == {"param_url": {"schemes": ["https"], "hosts": ["api.example.com"]}}
    assert scope_of("url", ["https://a@b.example.com/", "https://c.example.com:99999/"]) is None


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_a_scope_holds_for_every_value_it_was_made_from(values: list[Any]):
    scope = scope_of("path", values)
    if scope is None:
        return
    conditions = {condition: {"path": expected} for condition, expected in scope.items()}
    policy = Policy.from_dict({"version": "1", "rules": [{"name": "r", "conditions": conditions, "approval": "auto"}]})
    for value in values:
        assert policy.evaluate(Action("call", "server", {"path": value})).approval == "auto"
