"""The time window condition: ``time_after``, ``time_before``, ``weekdays`` and ``timezone`` together."""

from __future__ import annotations

from datetime import UTC, timedelta, tzinfo
from typing import TYPE_CHECKING

from aegis_core.policy.conditions.truth import Finding

if TYPE_CHECKING:
    from aegis_core.action import Action
    from aegis_core.policy.conditions.truth import Context

__all__ = ["TimeWindow", "load_timezone", "parse_clock"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def parse_clock(text: str) -> int:
    """``"18:00"`` as minutes since midnight.

    Raises:
        ValueError: If it is not HH:MM on a 24-hour clock.
    """
    hours, colon, minutes = text.partition(":")
    if not (colon and len(hours) == len(minutes) == 2 and text.isascii() and hours.isdigit() and minutes.isdigit()):
        raise ValueError(f'must be "HH:MM", got {text!r}')
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError(f'must be "HH:MM" between 00:00 and 23:59, got {text!r}')
    return int(hours) * 60 + int(minutes)


def load_timezone(name: str) -> tzinfo:
    """A time zone by its IANA name.

    Raises:
        ValueError: If there is none of that name on this machine.
    """
    if name == "UTC":
        return UTC
    import zoneinfo  # Loads its own machinery; only policies that name a zone pay for it.

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name!r}; use an IANA name such as 'Europe/Berlin'") from None


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

    def judge(self, _action: Action, context: Context) -> bool:
        local = context.now.astimezone(self._zone)
        minute = local.hour * 60 + local.minute
        begun = local
        after, before = self._after, self._before
        if after is not None and before is not None and after > before:
            if before <= minute < after:
                return False
            if minute < before:
                begun = local - timedelta(days=1)
        elif (after is not None and minute < after) or (before is not None and minute >= before):
            return False
        return self._days is None or begun.isoweekday() in self._days

    def explain(self, action: Action, context: Context) -> Finding:
        truth = self.judge(action, context)
        local = context.now.astimezone(self._zone)
        shown = f"{_DAYS[local.isoweekday() - 1]} {local:%H:%M} {self._zone}"
        return Finding(self._label, shown, truth, f"{shown} is {'within' if truth else 'outside'} the window")

