"""Everything wrong with a policy is listed, in words, in its place."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.errors import PolicyError, Problem
from aegis_core.policy.conditions.grammar import Conditions
from aegis_core.policy.document import Match, PolicyDocument, RuleDocument
from aegis_core.policy.policy import Policy
from aegis_core.policy.reading import keys_of
from aegis_core.policy.results import ResultRuleDocument
from tests.core.policy.strategies import examples, policies


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(PolicyError) as caught:
        Policy.from_string(text, source="p.yaml")
    return caught.value.problems


def messages(text: str) -> list[str]:
    return list(map(str, problems_of(text)))


def in_rule(body: str) -> str:
    """A policy whose only rule, named r, has these keys, from line 5 on."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f'version: "1"\nrules:\n  - name: r\n    approval: auto\n{lines}'


def wrong(what: str) -> list[tuple[str, str]]:
    """Wrong policies, or keys of a rule, each with the one message about it, from ``wrong_<what>.txt``."""
    entries = (Path(__file__).parent / f"wrong_{what}.txt").read_text(encoding="utf-8").split("\n\n")
    pairs = [entry.strip("\n").split("=> ") for entry in entries]
    return [(text.removesuffix("\n"), message) for text, message in pairs]


LOOK_AROUND = (
    "p.yaml:15:28: rule 'a': conditions.param_matches.sql is not an RE2 pattern: '(?=x)': "
    "invalid perl operator: (?=; RE2 has no look-around and no back-references"
)
DAY_RANGE = (
    "p.yaml:18:17: rule 'a': conditions.weekdays must be days, 1-7 (1 is Monday) or mon-sun, got 'mon-fri'; "
    "write the days of a range out: [mon, tue, wed]"
)


def test_a_policy_with_many_mistakes_lists_them_all_in_order():
    text = """version: "1"
defaults: {risk_levl: high, approval: aprove}
rulez: []
rules:
  - name: a
    matches: {type: x}
    aproval: auto
    conditon: {}
  - name: a
    match:
      types: x
      target: [fs, 5]
    conditions:
      param_gte: {amount: yes}
      param_matches: {sql: "(?=x)"}
      param_eq: 5
      time_after: 18:00
      weekdays: mon-fri
    risk_level: hi
    approval: block
  - match: []
    name: ""
    approval:
  - 5
  - name: z
    type: x
    param_eq: {a: 1}
    approval: auto
"""
    assert messages(text) == [
        "p.yaml:2:12: defaults: unknown key 'risk_levl'; did you mean 'risk_level'?",
        "p.yaml:2:39: defaults.approval must be one of auto, approve, block, got 'aprove'; did you mean 'approve'?",
        "p.yaml:3:1: unknown key 'rulez'; did you mean 'rules'?",
        "p.yaml:6:5: rule 'a': unknown key 'matches'; did you mean 'match'?",
        "p.yaml:7:5: rule 'a': unknown key 'aproval'; did you mean 'approval'?",
        "p.yaml:8:5: rule 'a': unknown key 'conditon'; did you mean 'conditions'?",
        "p.yaml:9:11: rule 'a': name is a duplicate: entry number 1 of rules has it too; rename one",
        "p.yaml:11:7: rule 'a': match: unknown key 'types'; did you mean 'type'?",
        "p.yaml:12:20: rule 'a': match.target[1] must be text, got 5",
        'p.yaml:14:27: unquoted yes is ambiguous (YAML reads it as true or false); write "yes" in quotes',
        LOOK_AROUND,
        "p.yaml:16:17: rule 'a': conditions.param_eq must be a mapping, got 5",
        'p.yaml:17:19: unquoted 18:00 is ambiguous (YAML reads it as a base-60 number); write "18:00" in quotes',
        DAY_RANGE,
        "p.yaml:19:17: rule 'a': risk_level must be one of low, medium, high, critical, got 'hi'; did you mean 'high'?",
        "p.yaml:21:12: rule number 3: match must be a mapping, got an empty list",
        "p.yaml:22:11: rule number 3: name must not be empty",
        "p.yaml:23:14: rule number 3: approval must be one of auto, approve, block, got nothing",
        "p.yaml:24:5: rule number 4: must be a mapping, got 5",
        "p.yaml:26:5: rule 'z': unknown key 'type'; it belongs under 'match'",
        "p.yaml:27:5: rule 'z': unknown key 'param_eq'; it belongs under 'conditions'",
    ]


@pytest.mark.parametrize(("text", "message"), wrong("files"))
def test_what_is_wrong_with_a_file_as_a_whole_is_said(text: str, message: str):
    assert messages(text) == [f"p.yaml:{message}"]


@pytest.mark.parametrize(("body", "message"), wrong("rules"))
def test_what_is_wrong_inside_a_rule_is_said(body: str, message: str):
    assert messages(in_rule(body)) == [f"p.yaml:{message}"]


@pytest.mark.parametrize(
    ("typo", "instead_of"),
    [
        ("matches:", "match:"), ("condition:", "conditions:"), ("aproval:", "approval:"), ("rulez:", "rules:"),
        ("typ:", "type:"), ("default:", "defaults:"), ("param_match:", "param_matches:"), ("risklevel:", "risk_level:"),
        ("nme:", "name:"), ("verson:", "version:"), ("targets:", "target:"), ("timeafter:", "time_after:"),
    ],
)  # fmt: skip
def test_line_2_a_typo_in_any_key_is_an_error_that_names_the_right_one(typo: str, instead_of: str):
    whole = """version: "1"
defaults: {approval: auto}
rules:
  - name: r
    match: {type: x, target: z}
    conditions: {param_matches: {a: b}, time_after: "10:00"}
    risk_level: low
    approval: block
"""
    Policy.from_string(whole)
    (problem,) = problems_of(whole.replace(instead_of, typo, 1))
    assert problem.message.endswith(f"unknown key '{typo[:-1]}'; did you mean '{instead_of[:-1]}'?")


@pytest.mark.parametrize(
    "pattern", ["(?=x)", "(?!x)", "(?<=x)y", r"(a)\1", "(a", "a{2,1}", "*a", "[z-a]", "(?P<n>a)(?P=n)"]
)
def test_line_3_a_pattern_that_re2_refuses_is_an_error_naming_pattern_and_rule(pattern: str):
    body = f"conditions:\n  param_matches:\n    sql: '{pattern}'"
    (problem,) = problems_of(in_rule(body))
    assert problem.message.startswith(f"rule 'r': conditions.param_matches.sql is not an RE2 pattern: {pattern!r}: ")
    assert (problem.line, problem.column, problem.rule, problem.key) == (
        7,
        14,
        "r",
        "rules[0].conditions.param_matches.sql",
    )


def test_line_3_a_pattern_too_large_to_compile_is_an_error():
    (problem,) = problems_of(in_rule('conditions: {param_matches: {a: "((a{1000}){1000}){1000}"}}'))
    assert "is not an RE2 pattern" in problem.message


def test_line_8_a_pattern_that_no_name_can_match_is_an_error():
    for pattern in ('"read\\u200b*"', '"dеlete_*"', '"a\\tb"', '"read_* "'):
        assert len(problems_of(in_rule(f"match: {{type: {pattern}}}"))) == 1


def test_line_8_a_condition_that_can_never_hold_is_an_error():
    for conditions in (
        "{param_eq: {a: null}}", "{param_in: {a: []}}", '{time_after: "08:00", time_before: "08:00"}', "{weekdays: []}",
        "{param_gt: {a: [5]}}", '{param_eq: {"items[0]": 1}}',
    ):  # fmt: skip
        assert len(problems_of(in_rule(f"conditions: {conditions}"))) == 1


def test_line_7_unquoted_times_are_an_error_and_not_a_number():
    assert [
        problem.message.split(" ")[1]
        for problem in problems_of(in_rule("conditions: {time_after: 18:00, time_before: 08:00}"))
    ] == ["18:00", "08:00"]


def test_a_problem_reported_when_reading_is_not_reported_again_when_checking():
    assert (
        len(
            messages(
                in_rule("match: {type: *read, target: no}\nconditions: {param_in: {a: [1, no]}, time_after: 18:00}")
            )
        )
        == 4
    )


def test_a_syntax_error_is_not_followed_by_errors_about_what_could_not_be_read():
    assert len(messages('version: "1"\nrules:\n  - name: x\n    match: {type: a\n')) == 1


def test_problems_know_rule_and_key():
    (problem,) = problems_of(in_rule("match: {type: [x, 5]}"))
    assert (problem.source, problem.line, problem.column) == ("p.yaml", 5, 23)
    assert (problem.rule, problem.key) == ("r", "rules[0].match.type[1]")


def test_without_a_text_problems_have_no_position():
    with pytest.raises(PolicyError) as caught:
        Policy.from_dict({"version": "1", "rules": [{"name": "r", "aproval": "auto"}, 7]}, source="config service")
    assert list(map(str, caught.value.problems)) == [
        "config service: rule 'r': unknown key 'aproval'; did you mean 'approval'?",
        "config service: rule number 2: must be a mapping, got 7",
    ]


class Weird:
    """An object no policy holds."""

    def __repr__(self) -> str:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


CYCLE: dict[str, Any] = {}
CYCLE["again"] = [CYCLE]


ODD: dict[str, Any] = {
    "broken object": Weird(), "cycle": CYCLE, "huge int": 10**5000, "nan": float("nan"), "inf": float("inf"),
    "bytes": b"x", "int key": {1: 2}, "inner int key": {"a": {1: 2}}, "surrogate": "\ud800",
    "list of nan": [float("nan")],
    "list of surrogate": ["\ud800"], "surrogate key": {"\ud800": 1}, "class": object, "2**1024": 2**1024,
    "deep broken object": [[[Weird()]]],
}  # fmt: skip


def with_conditions(conditions: Any) -> dict[str, Any]:
    return {"version": "1", "rules": [{"name": "r", "approval": "auto", "conditions": conditions}]}


PLACES: dict[str, Callable[[Any], Any]] = {
    "policy": lambda value: value,
    "version": lambda value: {"version": value},
    "rules": lambda value: {"version": "1", "rules": value},
    "rule": lambda value: {"version": "1", "rules": [value]},
    "name": lambda value: {"version": "1", "rules": [{"name": value, "approval": "auto"}]},
    "approval": lambda value: {"version": "1", "rules": [{"name": "r", "approval": value}]},
    "type": lambda value: {"version": "1", "rules": [{"name": "r", "approval": "auto", "match": {"type": value}}]},
    "conditions": with_conditions,
    "param_eq": lambda value: with_conditions({"param_eq": {"x": value}}),
    "param_in": lambda value: with_conditions({"param_in": {"x": [value]}}),
    "param_contains": lambda value: with_conditions({"param_contains": {"x": value}}),
    "param_gt": lambda value: with_conditions({"param_gt": {"x": value}}),
    "param_matches": lambda value: with_conditions({"param_matches": {"x": value}}),
    "weekdays": lambda value: with_conditions({"weekdays": value}),
    "time_after": lambda value: with_conditions({"time_after": value}),
    "timezone": lambda value: with_conditions({"weekdays": 1, "timezone": value}),
    "defaults": lambda value: {"version": "1", "defaults": value},
    "unknown": lambda value: {"version": "1", "unknown": value},
}


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("place", PLACES)
def test_any_object_anywhere_is_a_policy_error_and_nothing_else(place: str, value: str):
    with pytest.raises(PolicyError) as caught:
        Policy.from_dict(PLACES[place](ODD[value]))
    assert all(len(str(problem)) < 1000 for problem in caught.value.problems)


def test_a_key_that_is_no_text_is_an_error():
    with pytest.raises(PolicyError, match="must have text as keys"):
        Policy.from_dict({"version": "1", 5: 6})  # type: ignore[dict-item]


def test_many_problems_are_all_listed():
    listed = problems_of('version: "1"\nrules:\n' + "  - {name: x, aprovl: auto}\n" * 300)
    assert len(listed) == 300 * 2 - 1
    assert all(len(problem.message) < 700 for problem in listed)


def test_a_value_without_end_is_cut_in_messages():
    (problem,) = problems_of(in_rule(f'risk_level: "{"x" * 100_000}"'))
    assert len(problem.message) < 200


@examples(60)
@given(data=policies(most=3), where=st.data())
def test_a_key_that_does_not_belong_is_found_at_every_level(data: dict[str, Any], where: st.DataObject):
    def mappings(value: Any) -> list[dict[str, Any]]:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
        return ([value] if isinstance(value, dict) and "c0" not in value else []) + [
            m for item in inner for m in mappings(item)
        ]

    params = [rule["conditions"]["param_eq"] for rule in data["rules"] if "conditions" in rule]
    chosen = where.draw(st.sampled_from([m for m in mappings(data) if not any(m is p for p in params)]))
    chosen["surprise"] = 1
    with pytest.raises(PolicyError, match="unknown key 'surprise'"):
        Policy.from_dict(data)


@pytest.mark.parametrize("value", [*ODD, "empty tuple"])
def test_whatever_stands_at_a_key_gives_a_policy_or_a_policy_error(value: str):
    odd = ODD.get(value, ())

    def tried(data: Any) -> None:
        with contextlib.suppress(PolicyError):
            assert Policy.from_dict(data).digest

    for key in keys_of(PolicyDocument):
        tried({"version": "1", key: odd})
        tried({"version": "1", key: [odd]})
    for key in keys_of(Match):
        tried({"version": "1", "rules": [{"name": "a", "approval": "auto", "match": {key: odd}}]})
    for key in keys_of(RuleDocument):
        tried({"version": "1", "rules": [{"name": "a", "approval": "auto", key: odd}]})
    for key in keys_of(Conditions):
        for asked in (odd, {"p": odd}, {"p": [odd]}, {"p": [[odd]]}):
            tried({"version": "1", "rules": [{"name": "a", "approval": "auto", "conditions": {key: asked}}]})
    for key in keys_of(ResultRuleDocument):
        tried({"version": "1", "results": [{"name": "a", key: odd}]})
