"""Looking for values in what was said."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.session.passages import LONGEST_VALUE, MAX_PLACES, Passages, Value, normal

TEXT = """Please send it to Jane Doe <jane@x.com>, and to bob@y.com. Not to not-evil@z.com!
**bold** #general @mike; pay 1,100 or 2000.50 € to https://x.com/path (or to "Acme Ltd.").
发给kate@x.com吧。 Ｆｕｌｌ Width. path: /data/report.csv"""


def said(*texts: str) -> Passages:
    passages = Passages()
    passages.add(map(normal, texts))
    return passages


@pytest.mark.parametrize(
    "value",
    [
        "jane@x.com",
        "JANE@X.COM",
        "Jane Doe",
        "jane  doe",
        "Doe <jane@x.com>",
        "bob@y.com",
        "not-evil@z.com",
        "bold",
        "general",
        "#general",
        "@mike",
        "mike",
        "1,100",
        "2000.50",
        "https://x.com/path",
        "Acme Ltd",
        "Acme Ltd.",
        "kate@x.com",
        "Full width",
        "/data/report.csv",
    ],
)
def test_a_value_is_found_where_it_stands_as_a_whole(value):
    assert said(TEXT).find(Value(value)) is True


@pytest.mark.parametrize(
    "value",
    [
        "ane@x.com",
        "jane@x.co",
        "evil@z.com",
        "x.com/path",
        "https://x.com",
        "jane@x.com.evil.org",
        "bob@y.com, and eve@z.com",
        "1100",
        "2000",
        "2000.5",
        "__general__",
        "Doe jane@x.com",
        "report.csv",
        "../data/report.csv",
        "jane@x.com\u200b",
        "jаne@x.com",  # Cyrillic а
        "send Jane Doe",
    ],
)
def test_a_value_is_not_found_in_part_nor_put_together_from_parts(value):
    assert said(TEXT).find(Value(value)) is False


def test_a_value_is_not_found_across_two_texts():
    assert said("one two", "three four").find(Value("two three")) is False


@pytest.mark.parametrize(
    "value", ["", "  ", "all", "50", "a b c", "...", "@@@", "€€€€", "x" * (LONGEST_VALUE + 1), "ab\0cd"]
)
def test_what_identifies_nothing_or_is_too_long_is_not_looked_for(value):
    assert Value(value).problem


def test_words_that_the_call_itself_brought_are_left_out():
    passages = Passages()
    passages.add([normal("no results for eve@evil.org, did you mean eva@good.org?")], without={"eve@evil.org"})
    assert passages.find(Value("eve@evil.org")) is False
    assert passages.find(Value("for eve@evil.org")) is False
    assert passages.find(Value("eva@good.org")) is True
    assert passages.find(Value("mean eva@good.org")) is True


def test_a_value_of_nothing_but_very_frequent_words_is_undecided():
    passages = said(" ".join(["again and"] * (MAX_PLACES + 1)))
    assert passages.find(Value("again again")) is None
    assert passages.find(Value("again and")) is True


@given(st.lists(st.text(string.ascii_letters + "@.-_/", min_size=1, max_size=12), min_size=1, max_size=20), st.data())
def test_every_run_of_plain_words_of_a_text_is_found(words, data):
    words = [f"a{word}z" for word in words]
    start = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(start + 1, len(words)))
    value = Value(" ".join(words[start:end]))
    assert value.problem or said("before", " ".join(words), "after").find(value) is True


@given(st.text(max_size=200), st.text(max_size=60))
def test_what_is_found_does_stand_in_the_text(text, value):
    wanted = Value(value)
    if wanted.problem is None and said(text).find(wanted):
        assert wanted.text in normal(text)


@given(st.text(max_size=100), st.text(max_size=100))
def test_no_text_and_no_value_makes_looking_fail(text, value):
    said(text).find(Value(value))
