"""Text for people's eyes."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.text import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("read_file", "read_file"),
        ("naïve Größe 文件 🙂", "naïve Größe 文件 🙂"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2J\x07", "\\e[2J\\x07"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\u200b\ufeff\u00ad", "\\u200b\\ufeff\\xad"),
        ("\U000e0041\U000e0042", "\\U000e0041\\U000e0042"),
        ("\ufe0f\U000e0100\u3164\u2800", "\\ufe0f\\U000e0100\\u3164\\u2800"),
        ("\ud800", "\\ud800"),
        ("\u2028\u2029", "\\u2028\\u2029"),
    ],
    ids=ascii,
)
def test_what_a_person_would_not_see_is_written_out(text, shown):
    assert visible(text) == shown


@given(st.text(st.characters(codec=None)))
def test_nothing_that_steers_a_terminal_or_hides_comes_through(text):
    shown = visible(text)
    assert all(unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp") for character in shown)
    assert len(shown) >= len(text)
    assert visible(shown) == shown
