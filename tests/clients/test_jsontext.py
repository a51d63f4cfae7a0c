"""JSON is read with the place of everything, and what could be read in two ways is refused."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.clients.jsontext import Edit, JsonTextError, Node, apply, parse, quoted

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def value(node: Node) -> object:
    if node.members is not None:
        return {member.key: value(member.value) for member in node.members}
    if node.items is not None:
        return [value(item) for item in node.items]
    return node.scalar


@given(VALUES, st.sampled_from([None, 0, 2, "\t"]), st.booleans())
def test_it_reads_what_json_writes(written: object, indent: int | str | None, ascii_only: bool) -> None:
    text = json.dumps(written, indent=indent, ensure_ascii=ascii_only)
    assert value(parse(text)) == written


@given(VALUES)
def test_every_part_stands_where_it_is_said_to_stand(written: object) -> None:
    text = json.dumps(written)
    waiting = [parse(text)]
    while waiting:
        node = waiting.pop()
        assert json.loads(text[node.start : node.end]) == value(node)
        waiting += [*(node.items or ()), *(member.value for member in node.members or ())]
        for member in node.members or ():
            assert text[member.start] == '"'


@given(st.text())
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    with contextlib.suppress(JsonTextError):
        parse(text)


@given(st.text())
def test_a_string_is_quoted_so_that_it_reads_back(text: str) -> None:
    assert json.loads(quoted(text)) == text


def test_comments_and_a_last_comma_are_read_as_editors_do() -> None:
    text = """// servers
    {
      "a": [1, /* two, */ 2, ], // "b": 3
      "url": "http://x//y", /* end */
    } // done"""
    assert value(parse(text)) == {"a": [1, 2], "url": "http://x//y"}


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('{"a": 1,\n "a": 2}', "2:2", "the key 'a' is there twice"),
        ('{"a": 1,\r\n "\\u0061": 2}', "2:2", "twice"),
        ('{\n  "a": 1\n  "b": 2\n}', "3:3", "expected a comma or '}'"),
        ('{"a" 1}', "1:6", "expected a colon"),
        ("{a: 1}", "1:2", "double quotes"),
        ("{'a': 1}", "1:2", "double quotes"),
        ('{"a": [1, 2}', "1:12", "expected a comma or ']'"),
        ('{"a": ', "1:7", "ends too early"),
        ("", "1:1", "ends too early"),
        ('{"a": 1} x', "1:10", "after the end"),
        ('{"a": 01}', "1:7", "expected a value"),
        ('{"a": NaN}', "1:7", "expected a value"),
        ('{"a": "x\ny"}', "1:9", "control character"),
        ('{"a": "x', "1:7", "unterminated string"),
        ('{"a": 1} /* x', "1:10", "a comment that does not end"),
        ("[,]", "1:2", "expected a value"),
        ('{"a": 1,,}', "1:9", "double quotes"),
        ("[" * 500, "1:202", "nested deeper"),
    ],
)
def test_broken_json_is_refused_with_its_line_and_column(text: str, where: str, what: str) -> None:
    with pytest.raises(JsonTextError) as refused:
        parse(text)
    assert str(refused.value).startswith(f"{where}: ")
    assert what in str(refused.value)


def test_edits_are_made_where_they_are_meant_whatever_their_order() -> None:
    assert apply("abcdef", [Edit(1, 2, "XX"), Edit(4, 4, "-"), Edit(5, 6, "")]) == "aXXcd-e"
