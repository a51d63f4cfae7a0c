"""What may stand under ``conditions:`` and how it becomes compiled conditions. Every kind is named here once."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from aegis_core.policy.arguments import ARGUMENTS, EmailSpec, MissingExtra, PathSpec, ShellSpec, SqlSpec, UrlSpec
from aegis_core.policy.conditions.clock import TimeWindow, Until, load_timezone, parse_clock, parse_moment
from aegis_core.policy.conditions.comparisons import COMPARISONS
from aegis_core.policy.conditions.params import ParamCondition, ParamNames
from aegis_core.policy.conditions.regex import compile_regex
from aegis_core.policy.conditions.session import After, CallsDocument, ParamFrom, Sources
from aegis_core.policy.trust import NOBODY, ToolMatch, ToolPattern
from aegis_core.policy.wording import shown
from aegis_core.snapshot import FrozenDict, FrozenList

if TYPE_CHECKING:
    from aegis_core.policy.conditions.comparisons import ValueTest
    from aegis_core.policy.conditions.session import Budget
    from aegis_core.policy.conditions.truth import Condition
    from aegis_core.policy.trust import Trust

__all__ = ["Conditions", "compile_conditions"]

_DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYS = {name: number for number, day in enumerate(_DAY_NAMES, 1) for name in (day, day[:3])}
_ONE_ELEMENT = re.compile(r"\[[0-9]+\]\Z")
_DEEPEST = 50
_LARGEST = 2**1024  # where floats end


def _weekdays(value: object) -> object:
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


def _clock(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f'must be "HH:MM" in quotes, got {shown(value)}')
    parse_clock(value)
    return value


def _moment(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f'must be a time with its zone in quotes, such as "2026-12-24T18:00:00Z", got {shown(value)}')
    parse_moment(value)
    return value


def _param_names(value: object) -> object:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"must be a list of parameters' names, got {shown(value)}")
    return tuple(_plain(name) for name in value)


def _zone(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"must be an IANA time zone name, got {shown(value)}")
    load_timezone(value)
    return value


def _path(value: object) -> object:
    if not isinstance(value, str) or any(part in ("", "[]") for part in value.split(".")):
        raise ValueError(f"{shown(value)} is not a parameter path; write 'name', 'name.inner' or 'names[].inner'")
    if any(map(_ONE_ELEMENT.search, value.split("."))):
        raise ValueError(f"{shown(value)} picks one element of a list; 'names[]' asks about every one")
    return _plain(value)


def _pattern(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"must be an RE2 pattern (text), got {shown(value)}")
    compile_regex(value)
    return value


def _orderable(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"must be a number or text to compare with, got {shown(value)}")
    return _plain(value)


def _expected(value: object) -> object:
    if value is None:
        raise ValueError("is empty, and null never holds: an absent or null parameter makes the condition false")
    return _plain(value)


def _choices(value: object) -> object:
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


def _usable(kind: str) -> AfterValidator:
    """A condition whose parser is not installed is an error of the file, not of the first call."""

    def check(spec: Any) -> Any:
        try:
            _argument(kind, spec)
        except MissingExtra as missing:
            raise ValueError(str(missing)) from None
        return spec

    return AfterValidator(check)


Param = Annotated[str, BeforeValidator(_path)]
Clock = Annotated[str, BeforeValidator(_clock)]
Orderable = Annotated[int | float | str, BeforeValidator(_orderable)]


class Conditions(BaseModel):
    """What must hold, besides the match, for a rule to decide. All of them must."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    param_eq: dict[Param, Annotated[Any, BeforeValidator(_expected)]] | None = Field(
        None, description="The parameter equals this value; 1 is not '1'."
    )
    param_gt: dict[Param, Orderable] | None = Field(
        None, description="The parameter is greater than this number (or text)."
    )
    param_gte: dict[Param, Orderable] | None = Field(None, description="The parameter is at least this.")
    param_lt: dict[Param, Orderable] | None = Field(None, description="The parameter is less than this.")
    param_lte: dict[Param, Orderable] | None = Field(None, description="The parameter is at most this.")
    param_in: (
        dict[Param, Annotated[tuple[Any, ...], BeforeValidator(_choices, json_schema_input_type=list[Any])]] | None
    ) = Field(None, description="The parameter is one of these values.")
    param_contains: dict[Param, Annotated[Any, BeforeValidator(_expected)]] | None = Field(
        None, description="The text contains this text, or the list this element."
    )
    param_matches: dict[Param, Annotated[str, BeforeValidator(_pattern)]] | None = Field(
        None, description="RE2 finds this pattern anywhere in the text."
    )
    param_path: dict[Param, Annotated[PathSpec, _usable("param_path")]] | None = Field(
        None, description="The parameter is a path, and lies where this says."
    )
    param_sql: dict[Param, Annotated[SqlSpec, _usable("param_sql")]] | None = Field(
        None, description="The parameter is SQL, and does no more than this says."
    )
    param_url: dict[Param, Annotated[UrlSpec, _usable("param_url")]] | None = Field(
        None, description="The parameter is a URL, and leads where this says."
    )
    param_shell: dict[Param, Annotated[ShellSpec, _usable("param_shell")]] | None = Field(
        None, description="The parameter is a shell command, and runs what this says."
    )
    param_email: dict[Param, Annotated[EmailSpec, _usable("param_email")]] | None = Field(
        None, description="The parameter holds e-mail addresses, and all of them are what this says."
    )
    time_after: Clock | None = Field(None, description="Not before this time of day, HH:MM (inclusive).")
    time_before: Clock | None = Field(None, description="Before this time of day, HH:MM (exclusive).")
    weekdays: Annotated[tuple[int, ...], BeforeValidator(_weekdays, json_schema_input_type=list[int | str])] | None = (
        Field(None, description="Days the window begins on: 1-7 (1 is Monday) or mon-sun.")
    )
    timezone: Annotated[str, BeforeValidator(_zone)] | None = Field(None, description="IANA name; default UTC.")
    until: Annotated[str, BeforeValidator(_moment)] | None = Field(
        None, description="Before this point in time, ISO 8601 with a zone: the rule ends by itself."
    )
    param_names: Annotated[tuple[str, ...], BeforeValidator(_param_names, json_schema_input_type=list[str])] | None = (
        Field(None, description="The call has no parameters but these; an empty list: it has none.")
    )
    after: ToolMatch | None = Field(None, description="Such a call was begun in the session before this one.")
    calls: CallsDocument | None = Field(
        None, description="A budget: past so many calls the rule no longer applies. Only on rules with approval auto."
    )
    param_from: dict[Param, Sources] | None = Field(
        None, description="The value was stated by the user, or returned by a tool that `trust` names: [user, trusted]."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _given(cls, value: object, info: ValidationInfo) -> object:
        empty = isinstance(value, dict | list | tuple) and not value and info.field_name != "param_names"
        if value is None or empty:
            raise ValueError("is empty; give it a value or leave it out")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _frozen(cls, value: object) -> object:
        return FrozenDict({key: value[key] for key in sorted(value)}) if isinstance(value, dict) else value

    @field_validator("time_before", mode="after")
    @classmethod
    def _window(cls, value: str, info: ValidationInfo) -> str:
        if value == info.data.get("time_after"):
            raise ValueError("is the same as time_after: the window is empty; leave both out for the whole day")
        return value

    @field_validator("timezone", mode="after")
    @classmethod
    def _zone_of_a_window(cls, value: str, info: ValidationInfo) -> str:
        # A key with a problem of its own is not in the data, and not None.
        if all(info.data.get(name, name) is None for name in ("time_after", "time_before", "weekdays")):
            raise ValueError("means nothing without time_after, time_before or weekdays; remove it")
        return value

    @model_validator(mode="after")
    def _something(self) -> Conditions:
        if not self.model_fields_set:
            raise ValueError("is empty; leave it out or name a condition")
        return self


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
    if {"time_after", "time_before", "weekdays"} & conditions.model_fields_set:
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
