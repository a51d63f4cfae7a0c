"""YAML is read strictly and safely, and every piece of it has its place."""

import string
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.policy.yamltext import MAX_BYTES, MAX_PROBLEMS, Path, Place, parse_yaml
from tests.core.policy.strategies import examples


def problems(text: str) -> list[str]:
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in parse_yaml(text, "p").problems]


def data(text: str) -> Any:
    parsed = parse_yaml(text, "p")
    assert parsed.problems == []
    assert parsed.whole
    return parsed.data


def test_plain_yaml_is_read_as_everybody_reads_it():
    text = """
a: text with spaces # and a comment
b: [1, -2, 1.5, true, False, null, ~, "no", '18:00']
c: {nested: {deep: "é"}}
d: |
  two
  lines
e:
- - x
"""
    assert data(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    "plain",
    [
        "no", "No", "NO", "yes", "on", "off", "y", "N", "18:00", "1:30", "190:20:30.15", "2026-01-01",
        "2026-01-01T10:00:00Z", "2026-1-1 10:00", "0777", "08", "0x1F", "0b11", "0o17", "1_000", "1_0.5", "1e3",
        "1.5e3", "-1E5", ".5_0", ".inf", "-.INF", ".nan", "1.0e+999", "=",
    ],
)  # fmt: skip
def test_line_7_what_yaml_readers_take_differently_must_be_in_quotes(plain: str):
    (problem,) = problems(f"a: {plain}")
    assert problem.startswith(f"1:4: unquoted {plain} is ambiguous (")
    assert problem.endswith(f'; write "{plain}" in quotes')
    assert data(f'a: "{plain}"') == {"a": plain}
    assert data(f"a: '{plain}'") == {"a": plain}


def test_parameters_may_be_called_x_y_and_n():
    text = "x: 1\ny: 2\nn: 3\nY: 4\nN: 5\n"
    assert data(text) == {"x": 1, "y": 2, "n": 3, "Y": 4, "N": 5} == yaml.safe_load(text)
    assert problems("y: 1\ny: 2") == ["2:1: duplicate key 'y': this mapping has it already; remove one of the two"]


@pytest.mark.parametrize(
    "plain",
    [
        "nope",
        "yesterday",
        "o",
        "1:99",
        "18:00h",
        "v1.2.3",
        "0.1.2",
        "1-2",
        "-",
        "a:b",
        "10.0.0.1",
        "1_a",
        "+x",
        "e3",
        "==",
        "1,5",
        "0xZZ",
        "N/A",
    ],
)
def test_what_looks_like_text_is_text(plain: str):
    assert data(f"a: {plain}x" if plain == "-" else f"a: {plain}") == {"a": f"{plain}x" if plain == "-" else plain}


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("+5", 5),
        ("10", 10),
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1.5e-3", -0.0015),
        ("007.5", 7.5),
    ],
)
def test_what_looks_like_a_number_is_one(plain: str, value: float):
    assert data(f"a: {plain}") == {"a": value}
    assert yaml.safe_load(f"a: {plain}") == {"a": value}


@examples(300)
@given(st.text(string.ascii_letters + string.digits + "+-._:~=<> ", min_size=1, max_size=10))
def test_a_plain_scalar_is_read_as_pyyaml_reads_it_or_is_a_problem(plain: str):
    text = f"a: {plain}"
    try:
        other = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError):
        other = ...
    parsed = parse_yaml(text, "p")
    if not parsed.problems:
        assert parsed.data == other
        assert repr(parsed.data) == repr(other)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x 1", "1:4: anchors (&) are not allowed in a policy; write the value out, or put it in quotes"),
        ("a: &x [1]", "1:4: anchors (&) are not allowed in a policy; write the value out, or put it in quotes"),
        ("a: *read", '1:4: aliases (*read) are not allowed in a policy; if it is a pattern, put it in quotes: "*read"'),
        ("- a\n- *x_*", "2:6: a value that begins with '*' must be in quotes"),
        ("a: *", "1:5: a value that begins with '*' must be in quotes"),
        ("a: !!str 1", "1:4: tags (!) are not allowed in a policy; write the value out, or put it in quotes"),
        ("a: !x {}", "1:4: tags (!) are not allowed in a policy; write the value out, or put it in quotes"),
        ("a: ! x", "1:4: tags (!) are not allowed in a policy; write the value out, or put it in quotes"),
        ("<<: {a: 1}", "1:1: merge keys (<<) are not allowed in a policy; write the keys out"),
        ("a: 1\na: 2", "2:1: duplicate key 'a': this mapping has it already; remove one of the two"),
        ('a: 1\n"a": 2', "2:1: duplicate key 'a': this mapping has it already; remove one of the two"),
        ("a: {b: {c: 1, c: 1}}", "1:15: duplicate key 'c': this mapping has it already; remove one of the two"),
        ("? [a]\n: 1", "1:3: a key must be text, not a list or a mapping"),
        ("? {a: b}\n: 1", "1:3: a key must be text, not a list or a mapping"),
        ("1: x", '1:1: a key must be text; write "1" in quotes'),
        ("null: x", '1:1: a key must be text; write "null" in quotes'),
        ("?\n: x", "1:2: a key is missing here"),
        ("on: x", '1:1: unquoted on is ambiguous (YAML reads it as true or false); write "on" in quotes'),
        ("a: <<", '1:4: unquoted << is ambiguous (YAML gives it a meaning of its own); write "<<" in quotes'),
        ("a: 1\n---\nb: 2", "2:1: a policy file holds one YAML document, and this is a second one"),
        ("a: 1\n...\n# end\n---\n", "4:1: a policy file holds one YAML document, and this is a second one"),
        ("a:\n\tb: 1", "2:1: a tab cannot indent here; use spaces"),
        ("a: b: c", "1:5: a ':' is not allowed here; put a value with ': ' in it in quotes, or check the indentation"),
        ("a: [1, 2", "1:9: not valid YAML: while parsing a flow sequence did not find expected ',' or ']'"),
        ("a: 'open", "1:9: not valid YAML: while scanning a quoted scalar found unexpected end of stream"),
        ("a: \x00", "1:4: the character U+0000 is not allowed; remove it"),
        ("é: é\n  \x1b", "2:3: the character U+001B is not allowed; remove it"),
        ("# comment\u2028a: 1", "1:10: the character U+2028 is not allowed; remove it"),
        ("# comment\x85a: 1", "1:10: the character U+0085 is not allowed; remove it"),
        ("# \u202e", "1:3: the character U+202E is not allowed; remove it"),
        ("a: \ud800", "1:4: the character U+D800 is not allowed; remove it"),
        ("a: \ufeff", "1:4: the character U+FEFF is not allowed; remove it"),
    ],
)  # fmt: skip
def test_what_a_policy_does_not_need_of_yaml_is_a_problem(text: str, problem: str):
    assert problems(text) == [problem]


def test_a_number_without_end_is_a_problem_and_cut_in_the_message():
    begun = "1" * 40 + "…"
    assert problems("a: " + "1" * 200) == [
        f'1:4: unquoted {begun} is ambiguous (it is too long for a number); write "{begun}" in quotes'
    ]


def test_problems_are_collected_and_not_only_the_first_one():
    assert [found.split(":")[0] for found in problems("a: no\nb: &x on\nc: *x\nd: 18:00\nd: 1")] == [
        "1",
        "2",
        "2",
        "3",
        "4",
        "5",
    ]


@pytest.mark.parametrize(
    "text", ["\ufeffa: 1\n", "a: 1\r\nb: 2\r\n", "a: 1\rb: 2\r", "\n\n# c\na: 1", "---\na: 1\n...\n"]
)
def test_byte_order_marks_line_ends_comments_and_markers_are_fine(text: str):
    assert data(text)["a"] == 1


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "\ufeff", "~", "null"])
def test_an_empty_text_is_no_data(text: str):
    assert data(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000, "{a: " * 200_000, "- " * 200_000, "? " * 200_000, '{"a":' * 200_000,
        "a:\n" + "".join(" " * n + "b:\n" for n in range(1, 2000)), "a: " + "[" * 51 + "]" * 51,
    ],
    ids=["brackets", "braces", "dashes", "questions", "json", "indentation", "just-too-deep"],
)  # fmt: skip
def test_nesting_without_end_is_a_problem_and_no_crash(text: str):
    parsed = parse_yaml(text, "p")
    assert parsed.data is None
    assert not parsed.whole
    assert "nested more than 50 deep" in parsed.problems[-1].message


def test_fifty_levels_are_not_too_deep():
    assert data("[" * 50 + "]" * 50)


def test_a_text_that_is_too_large_is_not_looked_at():
    assert problems("#" * (MAX_BYTES + 1)) == ["1:1: the text is larger than 16 MiB; split it"]


def test_after_a_thousand_problems_the_rest_is_not_looked_at():
    for text in ("- *a\n" * 50_000, "\x01" * 50_000, "- no\n" * 50_000):
        assert len(parse_yaml(text, "p").problems) == MAX_PROBLEMS


@pytest.mark.parametrize(
    "text",
    ["a: " + "1_" * 500_000 + "x", "a: " + "1" * 1_000_000, "a: " + "1:" * 300_000, "a: " + "-" * 1_000_000 + "x"],
)
def test_a_long_plain_scalar_takes_no_time(text: str):
    parse_yaml(text, "p")


def test_every_key_and_value_has_its_place():
    text = """a: 1
b:
  - x
  - {c: d}
"é": >
  folded
"""
    places: dict[Path, Place] = {}
    parse_yaml(text, "p", places=places)
    assert places == {
        (): Place((1, 1), (1, 1)),
        ("a",): Place((1, 1), (1, 4)),
        ("b",): Place((2, 1), (3, 3)),
        ("b", 0): Place((3, 5), (3, 5)),
        ("b", 1): Place((4, 5), (4, 5)),
        ("b", 1, "c"): Place((4, 6), (4, 9)),
        ("é",): Place((5, 1), (5, 6)),
    }


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@examples(100)
@given(value=json_like, flow=st.sampled_from([True, False, None]))
def test_what_yaml_writes_is_read_back(value: Any, flow: bool | None):
    text = yaml.dump(value, Dumper=yaml.SafeDumper, allow_unicode=True, default_flow_style=flow)
    places: dict[Path, Place] = {}
    parsed = parse_yaml(text, "p", places=places)
    if not parsed.problems:
        assert parsed.data == value
    elif parsed.whole:  # PyYAML writes a few things plain that other YAML reads as something else
        assert all("is ambiguous" in problem.message for problem in parsed.problems)
    lines = text.splitlines(keepends=True) or [""]
    for place in places.values():
        for line, column in place:
            assert 1 <= line <= len(lines) + 1
            assert 1 <= column <= max(map(len, lines)) + 1
