"""What may stand under ``conditions:`` and how it becomes compiled conditions. Every kind of condition is named here once."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from aegis_core.policy.arguments import ARGUMENTS, EmailSpec, MissingExtra, PathSpec, ShellSpec, UrlSpec
from aegis_core.policy.conditions.clock import TimeWindow, load_timezone, parse_clock
from aegis_core.policy.conditions.params import COMPARISONS, ParamCondition, compile_regex
from aegis_core.policy.conditions.session import After, CallsDocument, ParamFrom, Sources
from aegis_core.policy.trust import NOBODY, ToolMatch, ToolPattern

if TYPE_CHECKING:
    from aegis_core.policy.conditions.session import Budget
    from aegis_core.policy.conditions.params import ValueTest
    from aegis_core.policy.conditions.truth import Condition
    from aegis_core.policy.trust import Trust

__all__ = ["Conditions", "compile_conditions"]

_DAYS = {"mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6, "sun": 7}


def _weekdays(value: object) -> object:
    days: object = [value] if isinstance(value, str | int) else value
    if not isinstance(days, list | tuple) or not days:
        raise ValueError(f"must be a list of days, 1-7 or mon-sun, got {value!r}")
    numbers: set[int] = set()
    for day in days:
        number = _DAYS.get(day.lower()[:3]) if isinstance(day, str) and len(day) >= 3 else day
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 7:
            raise ValueError(f"{day!r} is not a day; use 1-7 (1 is Monday) or mon-sun")
        numbers.add(number)
    return tuple(sorted(numbers))


def _clock(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f'must be "HH:MM" in quotes, got {value!r}')
    parse_clock(value)
    return value


def _zone(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"must be an IANA time zone name, got {value!r}")
    load_timezone(value)
    return value


def _path(value: object) -> object:
    if not isinstance(value, str) or not value or any(part in ("", "[]") for part in value.split(".")):
        raise ValueError(f"{value!r} is not a parameter path; write 'name', 'name.inner' or 'names[].inner'")
    return value


def _pattern(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"must be an RE2 pattern (text), got {value!r}")
    compile_regex(value)
    return value


def _orderable(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or (isinstance(value, float) and math.isnan(value)):
        raise ValueError(f"must be a number or text to compare with, got {value!r}")
    return value


def _expected(value: object) -> object:
    if value is None:
        raise ValueError("null never holds: an absent or null parameter makes the condition false; leave it out")
    return value


def _choices(value: object) -> object:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"must be a list of at least one value, got {value!r}")
    for choice in value:
        _expected(choice)
    return value


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
    param_gt: dict[Param, Orderable] | None = Field(None, description="The parameter is greater than this number (or text).")
    param_gte: dict[Param, Orderable] | None = Field(None, description="The parameter is at least this.")
    param_lt: dict[Param, Orderable] | None = Field(None, description="The parameter is less than this.")
    param_lte: dict[Param, Orderable] | None = Field(None, description="The parameter is at most this.")
    param_in: dict[Param, Annotated[list[Any], BeforeValidator(_choices)]] | None = Field(
        None, description="The parameter is one of these values."
    )
    param_contains: dict[Param, Annotated[Any, BeforeValidator(_expected)]] | None = Field(
        None, description="The text contains this text, or the list this element."
    )
    param_matches: dict[Param, Annotated[str, BeforeValidator(_pattern)]] | None = Field(
        None, description="RE2 finds this pattern anywhere in the text."
    )
    param_path: dict[Param, Annotated[PathSpec, _usable("param_path")]] | None = Field(
        None, description="The parameter is a path, and lies where this says."
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
    weekdays: Annotated[tuple[int, ...], BeforeValidator(_weekdays, json_schema_input_type=list[int | str])] | None = Field(
        None, description="Days the window begins on: 1-7 (1 is Monday) or mon-sun."
    )
    timezone: Annotated[str, BeforeValidator(_zone)] | None = Field(None, description="IANA name; default UTC.")
    after: ToolMatch | None = Field(None, description="Such a call was begun in the session before this one.")
    calls: CallsDocument | None = Field(
        None, description="A budget: past so many calls the rule no longer applies. Only on rules with approval auto."
    )
    param_from: dict[Param, Sources] | None = Field(
        None, description="The value was stated by the user, or returned by a tool that `trust` names: [user, trusted]."
    )

    @model_validator(mode="after")
    def _window(self) -> Conditions:
        if self.time_after is not None and self.time_after == self.time_before:
            raise ValueError(
                f"time_after and time_before are both {self.time_after!r}: the window is empty; leave both out for the whole day"
            )
        if self.timezone is not None and self.time_after is None and self.time_before is None and self.weekdays is None:
            raise ValueError("timezone without time_after, time_before or weekdays means nothing; remove it")
        return self

    @model_validator(mode="after")
    def _something(self) -> Conditions:
        for name in self.model_fields_set:
            value = getattr(self, name)
            if value is None or value == {}:
                raise ValueError(f"{name} is empty; give it a value or leave it out")
        if not self.model_fields_set:
            raise ValueError("conditions is empty; leave it out or name one")
        return self


def compile_conditions(conditions: Conditions, budget: Budget | None = None, trust: Trust = NOBODY) -> tuple[Condition, ...]:
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
