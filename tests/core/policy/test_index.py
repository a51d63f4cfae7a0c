"""The index finds every rule that may match, and not many more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.policy.globs import match_any, parse_glob
from aegis_core.policy.index import RuleIndex
from aegis_core.policy.names import folded_forms
from tests.core.policy.strategies import examples, names, pattern_lists

Rules = list[tuple[list[str], list[str]]]


def matching(rules: Rules, type_name: str, target: str) -> list[int]:
    """Numbers of the rules that match or may match, by looking at every one."""
    return [
        number
        for number, (types, targets) in enumerate(rules)
        if match_any(tuple(map(parse_glob, types)), type_name) is not False
        and match_any(tuple(map(parse_glob, targets)), target) is not False
    ]


def indexed(rules: Rules) -> RuleIndex[tuple[int]]:
    return RuleIndex([(number,) for number in range(len(rules))], rules)


def numbers(rules: Rules, name: str) -> list[int]:
    return [number for (number,) in indexed(rules).candidates(name, "t")]


@examples(60)
@given(
    rules=st.lists(st.tuples(pattern_lists, pattern_lists), max_size=30),
    asked=st.lists(st.tuples(names, names), min_size=1, max_size=5),
)
def test_every_rule_that_may_match_is_a_candidate_in_order(rules: Rules, asked: list[tuple[str, str]]):
    index = indexed(rules)
    for type_name, target in [*asked, *asked]:
        candidates = [number for (number,) in index.candidates(type_name, target)]
        assert candidates == sorted(set(candidates))
        assert set(candidates) >= set(matching(rules, type_name, target))
        if type_name.isascii() and folded_forms(type_name) == (type_name,):
            assert [number for (number,) in index.of_type(type_name, index.around[target])] == candidates


@examples(100)
@given(
    runs=st.lists(st.text("abc_", min_size=1, max_size=5), min_size=17, max_size=60, unique=True),
    name=st.text("abc_", min_size=1, max_size=12),
)
def test_many_patterns_with_a_run_in_the_middle_are_all_found(runs: list[str], name: str):
    rules: Rules = [([f"*{run}*"], ["*"]) for run in runs]
    candidates = numbers(rules, name)
    assert candidates == sorted(set(candidates))
    assert set(candidates) >= set(matching(rules, name, "t"))


@examples(100)
@given(
    runs=st.lists(st.text("abc_", min_size=1, max_size=5), min_size=1, max_size=16, unique=True),
    others=st.lists(st.text("abc_", min_size=3, max_size=5), max_size=3, unique=True),
    name=st.text("abc_", min_size=1, max_size=12),
)
def test_few_patterns_with_a_run_in_the_middle_are_all_found(runs: list[str], others: list[str], name: str):
    rules: Rules = [([f"*{run}*"], ["*"]) for run in runs] + [([f"{other}*"], ["*"]) for other in others]
    assert numbers(rules, name) == matching(rules, name, "t")


@examples(100)
@given(
    stems=st.lists(st.text("ab", min_size=3, max_size=7), min_size=1, max_size=40, unique=True),
    name=st.text("ab", min_size=1, max_size=8),
    from_the_end=st.booleans(),
)
def test_nested_prefixes_and_suffixes_are_all_found(stems: list[str], name: str, from_the_end: bool):
    rules: Rules = [([f"*{stem}" if from_the_end else f"{stem}*"], ["*"]) for stem in stems]
    assert numbers(rules, name) == matching(rules, name, "t")


def test_of_ten_thousand_rules_only_a_few_are_looked_at():
    rules: Rules = [
        (
            [[f"tool_{n}_*", f"*_op{n}x", f"exact_{n}", f"*mid{n}dle*", "*"][n % 5]],
            [f"server{n}" if n % 5 == 4 else "*"],
        )
        for n in range(10_000)
    ]
    index = indexed(rules)
    for type_name, target, number in [
        ("tool_5_x", "s", 5), ("do_op6x", "s", 6), ("exact_7", "s", 7), ("amid8dle", "s", 8), ("any", "server9", 9),
    ]:  # fmt: skip
        candidates = index.candidates(type_name, target)
        assert (number,) in candidates
        assert len(candidates) < 5
    assert len(index.candidates("none_of_them", "s")) == 0


@pytest.mark.parametrize("name", ["tool_1", "Tool_1", "gw__tool_1", "ｔool_1", " tool_1", "to\u0301ol_1"])
def test_rules_are_found_under_every_form_of_a_name(name: str):
    rules: Rules = [(["tool_1"], ["*"]), (["tóol_1"], ["*"])]
    assert set(numbers(rules, name)) >= set(matching(rules, name, "t")) != set()


@pytest.mark.parametrize("name", ["", " ", "\u3000"])
def test_a_name_that_folding_leaves_nothing_of_is_compared_with_every_rule(name: str):
    rules: Rules = [(["read_*"], ["*"]), (["*"], ["fs"]), (["*_x"], ["*"])]
    assert numbers(rules, name) == [0, 1, 2]
    assert len(indexed(rules).candidates("read_x", name)) >= 2


def test_a_rule_with_several_patterns_is_a_candidate_once():
    assert (numbers([(["read_*", "*_file", "*ad_f*"], ["*"])], "read_file")) == [0]


def test_what_is_remembered_about_targets_is_bounded():
    index = indexed([(["*"], ["s*"])])
    for number in range(3000):
        index.candidates("x", f"s{number}")
    index.candidates("x", "s" * 100_000)
    assert len(index.around) <= 1024
    assert max(map(len, index.around)) <= 1024
