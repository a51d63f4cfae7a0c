"""Which entries of a trail are asked for."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, TypedDict

from aegis_core.decision import RiskLevel

__all__ = ["FilterOptions", "Filters", "Time", "moment"]

Time = datetime.datetime | datetime.date | str | int
"""A point in time: a datetime (naive means UTC) or a date, ISO 8601 text, or microseconds since the epoch."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def moment(time: Time) -> int:
    """Microseconds since the epoch.

    Raises:
        ValueError: The text is not ISO 8601.
        TypeError: It is none of these.
    """
    if isinstance(time, int):
        return time
    if isinstance(time, str):
        time = datetime.datetime.fromisoformat(time)
    if not isinstance(time, datetime.datetime):
        time = datetime.datetime.combine(time, datetime.time.min)
    if time.tzinfo is None:
        time = time.replace(tzinfo=datetime.UTC)
    return (time - _EPOCH) // datetime.timedelta(microseconds=1)


class FilterOptions(TypedDict, total=False):
    """The filters as keyword arguments; see `Filters`."""

    session_id: str | None
    type: str | None
    target: str | None
    risk: RiskLevel | str | None
    status: str | None
    rule: str | None
    agent: str | None
    since: Time | None
    until: Time | None
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Conditions on entries; all that are given must hold.

    Attributes:
        session_id: Exactly this session. Likewise ``type``, ``target``, ``rule`` and ``agent``.
        risk: A `RiskLevel`, or ``low`` to ``critical`` in any case.
        status: A result status, ``running`` or ``unknown``.
        since: Not before this time.
        until: Before this time.
        limit: The newest so many.
    """

    session_id: str | None = None
    type: str | None = None
    target: str | None = None
    risk: RiskLevel | str | None = None
    status: str | None = None
    rule: str | None = None
    agent: str | None = None
    since: Time | None = None
    until: Time | None = None
    limit: int | None = None

    def exact(self) -> dict[str, str]:
        """The values that columns must equal, by column."""
        wanted = {
            "session_id": self.session_id,
            "action_type": self.type,
            "action_target": self.target,
            "risk_level": self.risk.name if isinstance(self.risk, RiskLevel) else self.risk and self.risk.upper(),
            "matched_rule": self.rule,
            "agent": self.agent,
        }
        return {column: value for column, value in wanted.items() if value is not None}

    def times(self) -> tuple[int | None, int | None]:
        """``since`` and ``until`` in microseconds since the epoch."""
        since, until = self.since, self.until
        return None if since is None else moment(since), None if until is None else moment(until)

    def accepts(self, entry: dict[str, Any], at: int) -> bool:
        """Whether an entry, written at ``at``, is asked for (``limit`` aside)."""
        since, until = self.times()
        return (
            all(entry[column] == value for column, value in self.exact().items())
            and (self.status is None or entry["result_status"] == str(self.status).lower())
            and (since is None or at >= since)
            and (until is None or at < until)
        )
