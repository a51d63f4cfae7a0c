"""Values for people's eyes: everything visible, everything escaped, in bounded space."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("jinja2")

from aegis.console.values import LONG, brief, leaves, marked
from aegis_core.text import visible


@given(st.text())
def test_nothing_invisible_and_no_markup_survives(text: str) -> None:
    shown = str(marked(text))
    inner = re.sub(r'<mark class="esc(?: nl)?" title="U\+[^"<>]*">([^<>]*)</mark>\n?', r"\1", shown)
    assert "<" not in inner
    assert html.unescape(inner) == visible(text)
    assert all(visible(char) == char for char in shown.replace("\n", ""))


def test_an_escape_that_was_written_is_told_from_a_character_that_was_hidden() -> None:
    assert "<mark" not in marked("\\u202e")
    assert "<mark" in marked("\u202e")


def test_every_value_has_its_pointer() -> None:
    params = {"a/b": {"c~d": [1, {"e": None}]}, "f": [], "g": {}, "": True}
    assert {leaf.at: leaf.kind for leaf in leaves(params)} == {
        "/a~1b/c~0d/0": "number", "/a~1b/c~0d/1/e": "null",
        "/f": "empty list", "/g": "empty mapping", "/": "true or false",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "whole", "plain"),
    [
        ("text", True, True),
        ("two\nlines", True, True),
        ("tab\there", True, False),
        ("\r\n", True, False),
        ("\u200b", True, False),
        ("[redacted]", False, True),
        ("x [redacted: 5 characters, abc] y", False, True),
        ("begin… [cut: 20000 characters]", False, True),
        (5, True, False),
    ],
)
def test_what_can_be_changed_and_how(value: object, whole: bool, plain: bool) -> None:
    (leaf,) = leaves({"x": value})
    assert (leaf.is_whole, leaf.is_plain_text) == (whole, plain)


def test_what_is_edited_as_json_shows_what_is_hidden() -> None:
    (leaf,) = leaves({"x": "a\u202eb\t"})
    assert leaf.editable == '"a\\u202eb\\t"'


def test_a_long_value_is_folded_up() -> None:
    (leaf,) = leaves({"x": "y" * (LONG + 1)})
    assert leaf.is_long
    assert len(leaf.beginning) == LONG


@given(st.dictionaries(st.text(max_size=300), st.text(max_size=300) | st.lists(st.integers()), max_size=20))
def test_a_summary_is_one_visible_line_of_bounded_length(params: dict[str, object]) -> None:
    line = brief(params)
    assert len(line) <= 160
    assert visible(line) == line
