"""RE2 patterns: linear whatever they are, and found alike by every way that finds them."""

import time
from types import SimpleNamespace

import pytest
import re2
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_core.policy.conditions import regex
from aegis_core.policy.conditions.regex import compile_regex, finder
from tests.core.policy.strategies import examples

HINT = "RE2 has no look-around and no back-references"
LITERALS = [
    "SELECT ",
    "DROP|TRUNCATE",
    "DROP|",
    "|x",
    "^a|b",
    "a|^b",
    "SEL|-x|a",
    "^SELECT ",
    "^/data/",
    "DROP",
    "^a",
    "é",
    "^-x-$",
    "a.b",
    "^^a",
    "^",
    "",
    "a^b",
    "~/.ssh",
]
texts = st.one_of(st.text(max_size=12), st.text("SELECT DROP/data-x^a.b~é\ud800", max_size=12))


@examples(100)
@given(pattern=st.one_of(st.sampled_from(LITERALS), st.text("^$ab. |*(é", max_size=5)), text=texts)
def test_a_pattern_is_found_as_the_public_wrapper_finds_it(pattern: str, text: str):
    try:
        compiled = compile_regex(pattern)
    except ValueError:
        assume(False)
    try:
        expected: bool | None = compiled.search(text) is not None
    except UnicodeEncodeError:
        expected = None
    assert finder(pattern)(text) is expected


@pytest.mark.parametrize("pattern", LITERALS)
def test_a_version_without_the_inner_way_is_searched_by_the_public_one(pattern: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(regex, "re2", SimpleNamespace(Options=re2.Options, compile=re2.compile, error=re2.error))
    for text in ("SELECT 1", "x SELECT 1", "/data/x", "a", "é", "-x-", "a.b", "", "~/.ssh"):
        assert finder(pattern)(text) is (compile_regex(pattern).search(text) is not None)


@pytest.mark.parametrize("value", [None, 5, True, ["a"], {"a": 1}, b"a", "a\ud800"])
def test_what_is_no_text_or_cannot_be_encoded_is_undecided(value: object):
    for pattern in ("a", "a+"):
        assert finder(pattern)(value) is None


def test_line_6_a_pattern_that_stalls_other_engines_does_not_stall():
    begun = time.perf_counter()
    assert finder("^(a+)+$")("a" * 28 + "!") is False
    assert finder("(a|aa)+$")("a" * 10_000 + "!") is False
    assert finder("(x+x+)+y")("x" * 10_000) is False
    assert time.perf_counter() - begun < 5  # the first alone takes others 15 s


def test_line_3_a_huge_value_is_searched_to_its_end():
    assert finder("needle$")("x" * 5_000_000 + "needle") is True
    assert finder("needle")("x" * 5_000_000 + "needle") is True
    assert finder("^needle")("x" * 5_000_000 + "needle") is False


def test_the_same_pattern_is_compiled_once():
    assert compile_regex("abc+") is compile_regex("abc+")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=x)", f"is not an RE2 pattern: '(?=x)': invalid perl operator: (?=; {HINT}"),
        (r"(a)\1", rf"is not an RE2 pattern: '(a)\\1': invalid escape sequence: \1; {HINT}"),
        ("(a", "is not an RE2 pattern: '(a': missing ): (a"),
        ("\ud800", "is not an RE2 pattern: '\\ud800': it has a lone surrogate"),
    ],
)  # fmt: skip
def test_a_pattern_that_is_refused_says_why(pattern: str, reason: str):
    for make in (compile_regex, finder):
        with pytest.raises(ValueError, match="is not an RE2 pattern") as caught:
            make(pattern)
        assert str(caught.value) == reason


def test_the_inner_way_is_the_one_taken():
    """If this fails, google-re2 has changed: the answers stay right, but every search takes five times as long."""
    assert hasattr(compile_regex("a+"), "_regexp")
    assert hasattr(re2, "_Anchor")
    assert regex._BEGINNING.fullmatch("^SELECT ")
