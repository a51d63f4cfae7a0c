"""Conditions about the time: a window by ``time_after``, ``time_before``, ``weekdays``, ``timezone``; and ``until``."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

from aegis_core.policy.conditions.truth import Finding
from aegis_core.policy.wording import shown

if TYPE_CHECKING:
    from aegis_core.action import Action
    from aegis_core.policy.conditions.truth import Context

__all__ = ["TimeWindow", "Until", "load_timezone", "parse_clock", "parse_moment"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def parse_clock(text: str) -> int:
    """``"18:00"`` as minutes since midnight.

    Raises:
        ValueError: If it is not HH:MM on a 24-hour clock.
    """
    hours, colon, minutes = text.partition(":")
    if not (colon and len(hours) == len(minutes) == 2 and text.isascii() and hours.isdigit() and minutes.isdigit()):
        raise ValueError(f'must be "HH:MM", got {shown(text)}')
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError(f'must be "HH:MM" between 00:00 and 23:59, got {shown(text)}')
    return int(hours) * 60 + int(minutes)


def parse_moment(text: str) -> datetime:
    """``"2026-12-24T18:00:00Z"`` as a point in time.

    Raises:
        ValueError: If it is not ISO 8601 with a time and a zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None or "T" not in text:
        raise ValueError(f'must be a time with its zone, such as "2026-12-24T18:00:00Z", got {shown(text)}')
    return moment


def load_timezone(name: str) -> tzinfo:
    """A time zone by its IANA name.

    Raises:
        ValueError: If there is none of that name on this machine.
    """
    if name == "UTC":
        return UTC
    import zoneinfo  # noqa: PLC0415 - only policies that name a zone load it

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = "use an IANA name such as 'Europe/Berlin'"
        if not zoneinfo.available_timezones():
            hint = "this machine has no time zone database; pip install tzdata"
        raise ValueError(f"is not a known time zone: {shown(name)}; {hint}") from None


class TimeWindow:
    """Holds from ``after`` (inclusive) until ``before`` (exclusive), on the given days.

    With ``after`` later than ``before`` the window runs over midnight, and ``weekdays`` means the day it began.
    """

    __slots__ = ("_after", "_before", "_days", "_label", "_zone")

    def __init__(
        self, *, after: int | None, before: int | None, weekdays: tuple[int, ...] | None, timezone: tzinfo, label: str
    ) -> None:
        self._after = after
        self._before = before
        self._days = weekdays
        self._zone = timezone
        self._label = label

    def judge(self, action: Action, context: Context) -> bool:  # noqa: ARG002 - every condition is asked alike
        """Whether the call is judged at a time within the window."""
        local = context.now.astimezone(self._zone)
        minute = local.hour * 60 + local.minute
        day = local.isoweekday()
        after, before = self._after, self._before
        if after is not None and before is not None and after > before:
            if before <= minute < after:
                return False
            if minute < before:  # it began yesterday
                day = (day - 2) % 7 + 1
        elif (after is not None and minute < after) or (before is not None and minute >= before):
            return False
        return self._days is None or day in self._days

    def explain(self, action: Action, context: Context) -> Finding:
        """The same with the time it is in the window's zone."""
        truth = self.judge(action, context)
        local = context.now.astimezone(self._zone)
        shown = f"{_DAYS[local.isoweekday() - 1]} {local:%H:%M} {self._zone}"
        return Finding(self._label, shown, truth, f"{'within' if truth else 'outside'} the window")


class Until:
    """Holds before a point in time: a rule that has it ends by itself."""

    __slots__ = ("_moment", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._moment = parse_moment(text)

    def judge(self, action: Action, context: Context) -> bool:  # noqa: ARG002 - every condition is asked alike
        """Whether the call is judged before that time."""
        return context.now < self._moment

    def explain(self, action: Action, context: Context) -> Finding:
        """The same with the time it is."""
        truth = self.judge(action, context)
        now = context.now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return Finding(
            f"until {self._text}", now, truth, "it is not yet that time" if truth else "that time has passed"
        )
