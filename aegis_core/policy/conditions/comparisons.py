"""What may be asked of one parameter's value: to be equal, greater, less, one of, containing, or matching a pattern."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Protocol, cast

from aegis_core.policy.conditions.regex import finder
from aegis_core.snapshot import FrozenDict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_core.policy.conditions.truth import Truth

__all__ = ["COMPARISONS", "ValueTest"]

_LONGEST = 80
"""Characters shown of what a policy expects."""


class ValueTest(Protocol):
    """What is asked of one value. Never raises; a value it does not understand is undecided (None)."""

    def judge(self, value: Any) -> bool | None:
        """Whether the value satisfies the test."""
        ...

    def why(self, value: Any) -> str:
        """One sentence about the answer. Must not repeat the value."""
        ...


class _Comparison:
    """A comparison of one value with what the policy expects."""

    __slots__ = ("_compare", "_expected", "_phrase")

    def __init__(self, phrase: str, expected: Any, compare: Callable[[Any, Any], Truth]) -> None:
        self._phrase = phrase
        self._expected = expected
        self._compare = compare

    def judge(self, value: Any) -> Truth:
        """Whether the comparison holds."""
        return self._compare(value, self._expected)

    def why(self, value: Any) -> str:
        """The answer in words."""
        truth = self.judge(value)
        if truth is None:
            return f"{_kind(value)} cannot be compared with {_brief(self._expected)}"
        return f"the value is {'' if truth else 'not '}{self._phrase} {_brief(self._expected)}"


class _Regex:
    """An RE2 search, unanchored."""

    __slots__ = ("_pattern", "judge")

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.judge: Callable[[Any], Truth] = finder(pattern)  # not a method: the hottest of all calls spares one step

    def why(self, value: Any) -> str:
        """The answer in words."""
        truth = self.judge(value)
        if truth is None:
            return f"{_kind(value)} cannot be searched for {_brief(self._pattern)}"
        return f"the text {'matches' if truth else 'does not match'} {_brief(self._pattern)}"


def _comparable(value: Any, expected: Any) -> bool:
    """Whether two scalars are of one kind: numbers (bool is none), text, bool."""
    kind, wanted = value.__class__, expected.__class__
    if kind is int or kind is float:
        return wanted in (int, float) and not (kind is float and math.isnan(value))
    return kind is wanted and (kind is not str or _encodable(value))


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _same(value: Any, expected: Any) -> Truth:
    """Structural equality that tells 1 from True, and doubts where the kinds differ."""
    if isinstance(value, (list, tuple)):
        if not isinstance(expected, (list, tuple)):
            return None
        if len(value) != len(expected):
            return False
        return _all([_same(one, other) for one, other in zip(value, expected, strict=True)])
    if isinstance(value, FrozenDict):
        if not isinstance(expected, dict) or any(key.__class__ is not str for key in value):
            return None
        if value.keys() != expected.keys():
            return False
        return _all([_same(item, expected[key]) for key, item in value.items()])
    if value is None or expected is None:
        return value is expected
    return value == expected if _comparable(value, expected) else None


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Truth]:
    def judge(value: Any, expected: Any) -> Truth:
        # bool orders like a number in Python and in nobody's policy.
        if value.__class__ is bool or not _comparable(value, expected):
            return None
        return compare(value, expected)

    return judge


def _in(value: Any, expected: Sequence[Any]) -> Truth:
    return _any([_same(value, item) for item in expected])


def _contains(value: Any, expected: Any) -> Truth:
    if isinstance(value, (list, tuple)):
        return _any([_same(item, expected) for item in value])
    if value.__class__ is str and expected.__class__ is str and _encodable(value):
        return expected in value
    return None


def _all(truths: list[Truth]) -> Truth:
    return False if False in truths else None if None in truths else True


def _any(truths: list[Truth]) -> Truth:
    return True if True in truths else None if None in truths else False


_KINDS = {"FrozenDict": "a mapping", "FrozenList": "a list", "str": "text", "NoneType": "null", "bool": "true or false"}


def _kind(value: Any) -> str:
    """What a value is, for people."""
    if value.__class__ is float and math.isnan(value):
        return "NaN"
    if value.__class__ is str and not _encodable(value):
        return "text with a lone surrogate"
    kind: str = value.__class__.__name__
    return _KINDS.get(kind, "a number" if kind in ("int", "float") else "an object that is not JSON-like")


def _brief(expected: Any) -> str:
    text = repr(expected)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


COMPARISONS: dict[str, Callable[[Any], ValueTest]] = {
    "param_eq": lambda expected: _Comparison("equal to", expected, _same),
    "param_gt": lambda expected: _Comparison("greater than", expected, _ordered(operator.gt)),
    "param_gte": lambda expected: _Comparison("at least", expected, _ordered(operator.ge)),
    "param_lt": lambda expected: _Comparison("less than", expected, _ordered(operator.lt)),
    "param_lte": lambda expected: _Comparison("at most", expected, _ordered(operator.le)),
    "param_in": lambda expected: _Comparison("one of", list(expected), _in),
    "param_contains": lambda expected: _Comparison("containing", expected, _contains),
    "param_matches": cast("Callable[[Any], ValueTest]", _Regex),
}
"""Per condition name, how to make the test from what the policy expects."""
