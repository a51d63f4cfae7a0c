"""What may stand under ``conditions:`` and how it becomes compiled conditions. Every kind is named here once."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from aegis_core.policy.arguments import ARGUMENTS, EmailSpec, MissingExtra, PathSpec, ShellSpec, SqlSpec, UrlSpec
from aegis_core.policy.conditions.clock import TimeWindow, Until, load_timezone, parse_clock, parse_moment
from aegis_core.policy.conditions.comparisons import COMPARISONS
from aegis_core.policy.conditions.params import ParamCondition, ParamNames
from aegis_core.policy.conditions.regex import compile_regex
from aegis_core.policy.conditions.session import SOURCES, After, CallsDocument, ParamFrom
from aegis_core.policy.readers import any_case, mapped, one_or_more, the
from aegis_core.policy.reading import Document, Reader, given, key, read
from aegis_core.policy.trust import NOBODY, ToolMatch, ToolPattern
from aegis_core.policy.wording import shown
from aegis_core.snapshot import FrozenDict, FrozenList

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aegis_core.policy.conditions.comparisons import ValueTest
    from aegis_core.policy.conditions.session import Budget, Source
    from aegis_core.policy.conditions.truth import Condition
    from aegis_core.policy.trust import Trust

__all__ = ["Conditions", "compile_conditions"]

_DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYS = {name: number for number, day in enumerate(_DAY_NAMES, 1) for name in (day, day[:3])}
_ONE_ELEMENT = re.compile(r"\[[0-9]+\]\Z")
_DEEPEST = 50
_LARGEST = 2**1024  # where floats end
_WINDOW = {"time_after", "time_before", "weekdays"}
_PATH_PATTERN = r"^(?!.*\[[0-9]+\](\.|$))[^.]*[^.\[\]][^.]*(\.[^.]*[^.\[\]][^.]*)*$"
_MOMENT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*(Z|[+-][0-9]{2}:?[0-9]{2})$"


def _weekdays(value: object) -> tuple[int, ...]:
    days: object = [value] if isinstance(value, str | int) else value
    if not isinstance(days, list | tuple) or not days:
        raise ValueError(f"must be a list of days, 1-7 (1 is Monday) or mon-sun, got {shown(value)}")
    numbers: set[int] = set()
    for day in days:
        number = _DAYS.get(day.lower()) if isinstance(day, str) else day
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 7:
            raise ValueError(f"must be days, 1-7 (1 is Monday) or mon-sun, got {shown(day)}{_range_hint(day)}")
        numbers.add(number)
    return tuple(sorted(numbers))


def _range_hint(day: object) -> str:
    return "; write the days of a range out: [mon, tue, wed]" if isinstance(day, str) and "-" in day else ""


def _clock(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'must be "HH:MM" in quotes, got {shown(value)}')
    parse_clock(value)
    return value


def _moment(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'must be a time with its zone in quotes, such as "2026-12-24T18:00:00Z", got {shown(value)}')
    parse_moment(value)
    return value


def _param_names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"must be a list of parameters' names, got {shown(value)}")
    return tuple(_plain(name) for name in value)


def _zone(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be an IANA time zone name, got {shown(value)}")
    load_timezone(value)
    return value


def _path(value: object) -> Any:
    if not isinstance(value, str) or any(part in ("", "[]") for part in value.split(".")):
        raise ValueError(f"{shown(value)} is not a parameter path; write 'name', 'name.inner' or 'names[].inner'")
    if any(map(_ONE_ELEMENT.search, value.split("."))):
        raise ValueError(f"{shown(value)} picks one element of a list; 'names[]' asks about every one")
    return _plain(value)


def _pattern(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be an RE2 pattern (text), got {shown(value)}")
    compile_regex(value)
    return value


def _orderable(value: object) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"must be a number or text to compare with, got {shown(value)}")
    return _plain(value)


def _expected(value: object) -> Any:
    if value is None:
        raise ValueError("is empty, and null never holds: an absent or null parameter makes the condition false")
    return _plain(value)


def _choices(value: object) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"must be a list of at least one value, got {shown(value)}")
    if any(choice is None for choice in value):
        raise ValueError("has an empty value, and null never holds: an absent or null parameter is none of them")
    return tuple(_plain(value))


def _plain(value: object, depth: int = 0) -> Any:
    """An immutable copy of what a policy expects of a parameter.

    Raises:
        ValueError: If no parameter could be compared with it.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not value.isascii():
            _encodable(value)
        return str(value)
    if (
        isinstance(value, int | float)
        and not (isinstance(value, float) and math.isnan(value))
        and abs(value) < _LARGEST
    ):
        return value
    if isinstance(value, list | tuple) and depth < _DEEPEST:
        return FrozenList([_plain(item, depth + 1) for item in value])
    if isinstance(value, dict) and depth < _DEEPEST and all(isinstance(key, str) for key in value):
        return FrozenDict({_plain(key): _plain(value[key], depth + 1) for key in sorted(value)})
    raise ValueError(f"must be text, a finite number, true, false, a list or a mapping of such, got {shown(value)}")


def _encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"has a lone surrogate, which no text has: {shown(text)}") from None


@lru_cache(maxsize=4096)
def _argument(kind: str, spec: Any) -> ValueTest:
    """The test that a condition about an argument compiles to; made once, when the file is checked."""
    test: ValueTest = ARGUMENTS[kind][1](spec)
    return test


PARAM = Reader(_path, {"type": "string"})
CLOCK = Reader(_clock, {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"})
_SOMETHING = {"not": {"type": "null"}}
_EXPECTED = Reader(_expected, _SOMETHING)
_ORDERABLE = Reader(_orderable, {"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "string"}]})
_WEEKDAY = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": 7},
        {"enum": list(_DAYS)},
        {"type": "string", "pattern": f"^({'|'.join(map(any_case, _DAYS))})$"},
    ]
}


def _given(reader: Reader) -> Reader:
    """A value that is not empty."""

    def reads(value: object) -> Any:
        if isinstance(value, dict | list | tuple) and not value:
            raise ValueError("is empty; give it a value or leave it out")
        return reader.read(value)

    return Reader(reads, reader.schema)


def _per_param(item: Reader) -> Reader:
    """Something about each of some parameters."""
    about = mapped(PARAM, item, lambda found: FrozenDict({name: found[name] for name in sorted(found)}))
    names = {"minProperties": 1, "propertyNames": {"pattern": _PATH_PATTERN}}
    return Reader(_given(about).read, {"type": "object", "additionalProperties": item.schema, **names})


def _argument_of(kind: str) -> Reader:
    """A condition whose parser is not installed is an error of the file, not of the first call."""
    model = ARGUMENTS[kind][0]

    def reads(value: object) -> Document:
        spec = read(model, value)
        try:
            _argument(kind, spec)
        except MissingExtra as missing:
            raise ValueError(str(missing)) from None
        return spec

    return _per_param(Reader(reads, model))


class Conditions(Document):
    """What must hold, besides the match, for a rule to decide. All of them must."""

    param_eq: Mapping[str, Any] | None = key(
        _per_param(_EXPECTED), "The parameter equals this value; 1 is not '1'.", default=None
    )
    param_gt: Mapping[str, int | float | str] | None = key(
        _per_param(_ORDERABLE), "The parameter is greater than this number (or text).", default=None
    )
    param_gte: Mapping[str, int | float | str] | None = key(
        _per_param(_ORDERABLE), "The parameter is at least this.", default=None
    )
    param_lt: Mapping[str, int | float | str] | None = key(
        _per_param(_ORDERABLE), "The parameter is less than this.", default=None
    )
    param_lte: Mapping[str, int | float | str] | None = key(
        _per_param(_ORDERABLE), "The parameter is at most this.", default=None
    )
    param_in: Mapping[str, tuple[Any, ...]] | None = key(
        _per_param(Reader(_choices, {"type": "array", "minItems": 1, "items": _SOMETHING})),
        "The parameter is one of these values.",
        default=None,
    )
    param_contains: Mapping[str, Any] | None = key(
        _per_param(_EXPECTED), "The text contains this text, or the list this element.", default=None
    )
    param_matches: Mapping[str, str] | None = key(
        _per_param(Reader(_pattern, {"type": "string"})), "RE2 finds this pattern anywhere in the text.", default=None
    )
    param_path: Mapping[str, PathSpec] | None = key(
        _argument_of("param_path"), "The parameter is a path, and lies where this says.", default=None
    )
    param_sql: Mapping[str, SqlSpec] | None = key(
        _argument_of("param_sql"), "The parameter is SQL, and does no more than this says.", default=None
    )
    param_url: Mapping[str, UrlSpec] | None = key(
        _argument_of("param_url"), "The parameter is a URL, and leads where this says.", default=None
    )
    param_shell: Mapping[str, ShellSpec] | None = key(
        _argument_of("param_shell"), "The parameter is a shell command, and runs what this says.", default=None
    )
    param_email: Mapping[str, EmailSpec] | None = key(
        _argument_of("param_email"),
        "The parameter holds e-mail addresses, and all of them are what this says.",
        default=None,
    )
    time_after: str | None = key(CLOCK, "Not before this time of day, HH:MM (inclusive).", default=None)
    time_before: str | None = key(CLOCK, "Before this time of day, HH:MM (exclusive).", default=None)
    weekdays: tuple[int, ...] | None = key(
        _given(one_or_more(_weekdays, _WEEKDAY)),
        "Days the window begins on: 1-7 (1 is Monday) or mon-sun.",
        default=None,
    )
    timezone: str | None = key(Reader(_zone, {"type": "string"}), "IANA name; default UTC.", default=None)
    until: str | None = key(
        Reader(_moment, {"type": "string", "pattern": _MOMENT_PATTERN}),
        "Before this point in time, ISO 8601 with a zone: the rule ends by itself.",
        default=None,
    )
    param_names: tuple[str, ...] | None = key(
        Reader(_param_names, {"type": "array", "items": {"type": "string"}}),
        "The call has no parameters but these; an empty list: it has none.",
        default=None,
    )
    after: ToolMatch | None = key(
        _given(the(ToolMatch)), "Such a call was begun in the session before this one.", default=None
    )
    calls: CallsDocument | None = key(
        _given(the(CallsDocument)),
        "A budget: past so many calls the rule no longer applies. Only on rules with approval auto.",
        default=None,
    )
    param_from: Mapping[str, tuple[Source, ...]] | None = key(
        _per_param(SOURCES),
        "The value was stated by the user, or returned by a tool that `trust` names: [user, trusted].",
        default=None,
    )

    @classmethod
    def check_related(cls, data: Mapping[str, Any], fit: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """A window must not be empty, and a time zone needs one."""
        before = fit.get("time_before")
        if before is not None and before == fit.get("time_after"):
            yield "time_before", "is the same as time_after: the window is empty; leave both out for the whole day"
        if "timezone" in fit and data.keys().isdisjoint(_WINDOW):
            yield "timezone", "means nothing without time_after, time_before or weekdays; remove it"

    def check_whole(self) -> None:
        """There must be a condition."""
        if not given(self):
            raise ValueError("is empty; leave it out or name a condition")


def compile_conditions(
    conditions: Conditions, budget: Budget | None = None, trust: Trust = NOBODY
) -> tuple[Condition, ...]:
    """Compile, cheapest first: all of them must hold, and a cheap false spares the rest.

    Args:
        conditions: What the rule says.
        budget: The rule's budget, if it has one: it takes a unit of it when the rule decides.
        trust: What the policy says about the tools whose results count as trusted.
    """
    compiled: list[Condition] = []
    if conditions.after is not None:
        compiled.append(After(ToolPattern.of(conditions.after)))
    if not _WINDOW.isdisjoint(given(conditions)):
        compiled.append(_time_window(conditions))
    if conditions.until is not None:
        compiled.append(Until(conditions.until))
    if conditions.param_names is not None:
        compiled.append(ParamNames(conditions.param_names))
    for kind, make in COMPARISONS.items():
        for path, expected in (getattr(conditions, kind) or {}).items():
            whole = kind == "param_contains" or (kind == "param_eq" and isinstance(expected, list | dict))
            compiled.append(ParamCondition(kind, path, make(expected), whole=whole))
    for kind in ARGUMENTS:
        for path, spec in (getattr(conditions, kind) or {}).items():
            compiled.append(ParamCondition(kind, path, _argument(kind, spec)))
    for path, sources in (conditions.param_from or {}).items():
        compiled.append(ParamFrom(path, sources, trust))
    if budget is not None:
        compiled.append(budget)
    return tuple(compiled)


def _time_window(conditions: Conditions) -> TimeWindow:
    after, before = conditions.time_after, conditions.time_before
    label = " ".join(
        f"{name} {getattr(conditions, name)}"
        for name in ("time_after", "time_before", "weekdays", "timezone")
        if getattr(conditions, name) is not None
    )
    return TimeWindow(
        after=None if after is None else parse_clock(after),
        before=None if before is None else parse_clock(before),
        weekdays=conditions.weekdays,
        timezone=load_timezone(conditions.timezone or "UTC"),
        label=label,
    )
