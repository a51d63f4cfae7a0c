"""Conditions about one parameter: finding the value a dotted path names, and comparing it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import re2

from aegis_core.policy.conditions.truth import Finding, all_of
from aegis_core.policy.names import fold
from aegis_core.policy.wording import shown
from aegis_core.snapshot import FrozenDict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_core.action import Action
    from aegis_core.policy.conditions.truth import Context, Truth

__all__ = ["COMPARISONS", "ParamCondition", "ValueTest", "compile_regex"]


class _Mark:
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


_ABSENT = _Mark("the parameter is absent")
_NULL = _Mark("the parameter is null")
_FOLDED = _Mark("another spelling of the parameter's name is present, and the tool may read that one")
_NOT_A_MAPPING = _Mark("a part of the path is not a mapping, or not a list where the path says []")
_AMBIGUOUS = _Mark("the path names both a parameter with dots in its name and a nested value")


class ValueTest(Protocol):
    """What is asked of one value. Never raises; a value it does not understand is undecided (None)."""

    def judge(self, value: Any) -> bool | None:
        """Whether the value satisfies the test."""
        ...

    def why(self, value: Any) -> str:
        """One sentence about the answer. Must not repeat the value."""
        ...


class ParamCondition:
    """Asks a `ValueTest` about the value or values a dotted path names.

    ``message.to`` reaches into nested mappings, ``items[].path`` into every element of a list. Absent or null is false;
    a key that is there only under another spelling (``SQL`` for ``sql``) is undecided; several values must agree.
    """

    __slots__ = ("_steps", "kind", "path", "test", "whole")

    def __init__(self, kind: str, path: str, test: ValueTest, *, whole: bool = False) -> None:
        self.kind = kind
        self.path = path
        self.test = test
        self.whole = whole
        self._steps = _steps(path)

    def testing(self, test: ValueTest) -> ParamCondition:
        """The same parameter, put to another test."""
        other = object.__new__(ParamCondition)
        other.kind, other.path, other.whole, other._steps, other.test = (
            self.kind,
            self.path,
            self.whole,
            self._steps,
            test,
        )
        return other

    def judge(self, action: Action, context: Context) -> Truth:  # noqa: ARG002 - every condition is asked alike
        """Whether the value, or every one of the values, satisfies the test."""
        params = action.params
        value = params.get(self.path, _ABSENT)
        if value.__class__ is str and len(params) == 1:
            return self.test.judge(value)
        return self._judge_value(self._find(params))

    def _judge_value(self, value: Any) -> bool | None:
        if value.__class__ is _Mark:
            return False if value is _ABSENT or value is _NULL else None
        if not self.whole and isinstance(value, (list, tuple)):
            return all_of([False if item is None else self.test.judge(item) for item in value])
        return self.test.judge(value)

    def explain(self, action: Action, context: Context) -> Finding:
        """The same with the value and the reason."""
        truth = self.judge(action, context)
        value = self._find(action.params)
        label = f"{self.kind} {self.path}"
        if value.__class__ is _Mark:
            return Finding(label, None, truth, value.text)
        if not self.whole and isinstance(value, (list, tuple)):
            if not value:
                return Finding(label, value, truth, "the list is empty")
            parts = [f"[{number}] {self.test.why(item)}" for number, item in enumerate(value[:5])]
            return Finding(label, value, truth, "; ".join(parts) + ("; …" if len(value) > 5 else ""))
        return Finding(label, value, truth, self.test.why(value))

    def _find(self, params: Any) -> Any:
        """The value the path names, a tuple of them where it names several, or a `_Mark`."""
        if len(self._steps) == 1 and not self._steps[0][1]:
            return _null(_lookup(params, self.path))
        value = _walk(params, self._steps)
        # A parameter may itself be named with dots; both readings present is doubt.
        literal = _lookup(params, self.path)
        if literal is _ABSENT:
            return _null(value)
        return _null(literal) if value is _ABSENT or value is _NOT_A_MAPPING else _AMBIGUOUS


def _null(value: Any) -> Any:
    return _NULL if value is None else value


def _steps(path: str) -> tuple[tuple[str, bool], ...]:
    """``items[].path`` as ``(("items", True), ("path", False))``."""
    return tuple((part.removesuffix("[]"), part.endswith("[]")) for part in path.split("."))


def _lookup(mapping: Any, key: str) -> Any:
    """One key of a mapping, by its exact spelling only; a second spelling that folds to the same is doubt."""
    value = mapping.get(key, _ABSENT)
    if len(mapping) == (value is not _ABSENT):
        return value
    folded = _folded_counts(mapping)
    spellings = folded.get(fold(key), 0)
    return value if spellings == (value is not _ABSENT) else _FOLDED


def _folded_counts(mapping: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for key in mapping:
        folded = fold(key) if key.__class__ is str else repr(key)
        counts[folded] = counts.get(folded, 0) + 1
    return counts


def _walk(value: Any, steps: Sequence[tuple[str, bool]]) -> Any:
    for number, (key, every) in enumerate(steps):
        if value.__class__ is not FrozenDict:
            return _NOT_A_MAPPING
        value = _lookup(value, key)
        if value.__class__ is _Mark or value is None:
            return value
        if every:
            if not isinstance(value, (list, tuple)):
                return _NOT_A_MAPPING
            rest = steps[number + 1 :]
            return _flatten([_walk(item, rest) if rest else item for item in value])
    return value


def _flatten(values: list[Any]) -> Any:
    """Values of a ``[]`` step as one tuple; a mark in one element is doubt about all, but absent ones count as null."""
    flat: list[Any] = []
    for value in values:
        if value.__class__ is _Mark:
            if value is not _ABSENT and value is not _NULL:
                return value
            flat.append(None)
        elif isinstance(value, tuple):
            flat.extend(value)
        else:
            flat.append(value)
    return tuple(flat)


# --- comparing -------------------------------------------------------------------------------------------------------


def _comparable(value: Any, expected: Any) -> bool:
    """Whether two scalars are of one kind: numbers (bool is none), text, bool."""
    kind, wanted = value.__class__, expected.__class__
    if kind is int or kind is float:
        return wanted in (int, float) and not (kind is float and math.isnan(value))
    if kind is str:
        return wanted is str and _encodable(value)
    return kind is wanted


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _same(value: Any, expected: Any) -> bool | None:
    """Structural equality that tells 1 from True, and doubts where the kinds differ."""
    if isinstance(value, (list, tuple)):
        if not isinstance(expected, (list, tuple)):
            return None
        if len(value) != len(expected):
            return False
        return _conjunction([_same(one, other) for one, other in zip(value, expected, strict=True)])
    if value.__class__ is FrozenDict:
        if not isinstance(expected, dict):
            return None
        if value.keys() != expected.keys():
            return False
        return _conjunction([_same(item, expected[key]) for key, item in value.items()])
    if value is None or expected is None:
        return value is expected
    return value == expected if _comparable(value, expected) else None


def _conjunction(truths: list[bool | None]) -> bool | None:
    return False if False in truths else None if None in truths else True


def _any(truths: list[bool | None]) -> bool | None:
    return True if True in truths else None if None in truths else False


class _Comparison:
    """A comparison of one value with what the policy expects."""

    __slots__ = ("_compare", "expected", "phrase")

    def __init__(self, phrase: str, expected: Any, compare: Callable[[Any, Any], bool | None]) -> None:
        self.phrase = phrase
        self.expected = expected
        self._compare = compare

    def judge(self, value: Any) -> bool | None:
        return self._compare(value, self.expected)

    def why(self, value: Any) -> str:
        truth = self.judge(value)
        if truth is None:
            return f"a {_kind(value)} cannot be compared with {self.expected!r}"
        return f"the value is {'' if truth else 'not '}{self.phrase} {self.expected!r}"


def _kind(value: Any) -> str:
    if value.__class__ is float and math.isnan(value):
        return "NaN"
    if value.__class__ is str and not _encodable(value):
        return "text with a lone surrogate"
    names = {
        "FrozenDict": "mapping",
        "FrozenList": "list",
        "str": "text",
        "NoneType": "null",
        "Opaque": "non-JSON object",
    }
    kind: str = value.__class__.__name__
    return names.get(kind, kind)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    def judge(value: Any, expected: Any) -> bool | None:
        # bool orders like a number in Python and in nobody's policy.
        if value.__class__ is bool or not _comparable(value, expected):
            return None
        return compare(value, expected)

    return judge


def _in(value: Any, expected: Sequence[Any]) -> bool | None:
    return _any([_same(value, item) for item in expected])


def _contains(value: Any, expected: Any) -> bool | None:
    if isinstance(value, (list, tuple)):
        return _any([_same(item, expected) for item in value])
    if value.__class__ is str and expected.__class__ is str and _encodable(value):
        return expected in value
    return None


class _Regex:
    """An RE2 search: linear in the text, unanchored."""

    __slots__ = ("_search", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._search = compile_regex(pattern).search

    def judge(self, value: Any) -> bool | None:
        if value.__class__ is not str:
            return None
        try:
            return self._search(value) is not None
        except UnicodeEncodeError:  # a lone surrogate
            return None

    def why(self, value: Any) -> str:
        truth = self.judge(value)
        if truth is None:
            return f"a {_kind(value)} cannot be searched for {self.pattern!r}"
        return f"the text {'matches' if truth else 'does not match'} {self.pattern!r}"


@lru_cache(maxsize=16384)
def compile_regex(pattern: str) -> Any:
    """Compile an RE2 pattern.

    Raises:
        ValueError: If RE2 refuses it (look-around, back-references, bad syntax), saying why.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        detail = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    except UnicodeEncodeError:
        detail = "it has a lone surrogate"
    hint = "; RE2 has no look-around and no back-references" if "(?" in pattern or "\\" in pattern else ""
    raise ValueError(f"is not an RE2 pattern: {shown(pattern)}: {detail}{hint}")


COMPARISONS: dict[str, Callable[[Any], ValueTest]] = {
    "param_eq": lambda expected: _Comparison("equal to", expected, _same),
    "param_gt": lambda expected: _Comparison("greater than", expected, _ordered(lambda a, b: a > b)),
    "param_gte": lambda expected: _Comparison("at least", expected, _ordered(lambda a, b: a >= b)),
    "param_lt": lambda expected: _Comparison("less than", expected, _ordered(lambda a, b: a < b)),
    "param_lte": lambda expected: _Comparison("at most", expected, _ordered(lambda a, b: a <= b)),
    "param_in": lambda expected: _Comparison("one of", expected, _in),
    "param_contains": lambda expected: _Comparison("containing", expected, _contains),
    "param_matches": _Regex,
}
"""Per condition name, how to make the test from what the policy expects."""
