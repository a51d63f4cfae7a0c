"""What the trail says about decisions: over time, by rule, by session; and what could be decided by rule."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aegis_core.audit.filters import Filters
from aegis_core.record import now_us

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_core.approval.store import Ticket

__all__ = ["KINDS", "RANGES", "Figures", "RuleFigures", "SessionFigures", "figures_of", "hint"]

KINDS: tuple[str, ...] = ("unasked", "approved", "denied", "blocked", "pending")
"""What became of calls: ran without anybody being asked, ran on a person's yes, refused, blocked by rule, waiting."""
RANGES = {
    "1h": ("the last hour", 3_600, 120),
    "24h": ("the last 24 hours", 86_400, 1_800),
    "7d": ("the last 7 days", 7 * 86_400, 4 * 3_600),
    "30d": ("the last 30 days", 30 * 86_400, 86_400),
}
"""Name to title, length and step, both in seconds."""
_ENOUGH_FOR_AUTO, _ENOUGH_FOR_BLOCK = 20, 10
_MOST_ROWS = 50


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """One rule: how many calls it decided, how often people were asked, what they said."""

    rule: str
    calls: int
    asked: int
    approved: int
    denied: int

    @property
    def answered(self) -> int:
        """Calls that a person answered."""
        return self.approved + self.denied

    @property
    def hint(self) -> str:
        """What its history suggests, or nothing."""
        return hint(self.approved, self.denied)


@dataclass(frozen=True, slots=True)
class SessionFigures:
    """One session: what people were asked in it. Many questions in a short time are answered without being read."""

    session: str | None
    agent: str | None
    asked: int
    approved: int
    denied: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything the page shows.

    Attributes:
        since: Microseconds since the epoch.
        step: Microseconds of one step of the plot.
        steps: Per step, its start and how many calls of each of `KINDS` began in it.
        totals: Calls by kind.
        rules: By rule, most calls first.
        sessions: By session, most questions first.
        answer_seconds: Half of the answers took no longer, in seconds; None if there was none.
        hasty: Answers given within two seconds.
        answers: Answers looked at for that.
    """

    since: int
    step: int
    steps: tuple[tuple[int, dict[str, int]], ...]
    totals: dict[str, int]
    rules: tuple[RuleFigures, ...]
    sessions: tuple[SessionFigures, ...]
    answer_seconds: float | None
    hasty: int
    answers: int

    @property
    def calls(self) -> int:
        """All calls."""
        return sum(self.totals.values())


def hint(approved: int, denied: int) -> str:
    """What a rule's answers suggest: what is always answered the same need not be asked."""
    if not denied and approved >= _ENOUGH_FOR_AUTO:
        return f"approved {approved} of {approved}: consider auto"
    if not approved and denied >= _ENOUGH_FOR_BLOCK:
        return f"denied {denied} of {denied}: consider block"
    return ""


def figures_of(trail: Any, approvals: Any, span: str) -> Figures:
    """Ask the trail. Takes time that grows with the number of calls in the span."""
    _, length, step = RANGES[span]
    step_us = step * 1_000_000
    now = now_us()
    since = (now - length * 1_000_000) // step_us * step_us + step_us
    wanted = Filters(since=since)
    columns = ("approval", "human_decision", "matched_rule", "session_id", "agent", "result_status")
    groups = trail.reader.groups(columns, wanted, bucket=step_us)
    steps = {at: dict.fromkeys(KINDS, 0) for at in range(since, now + 1, step_us)}
    totals = dict.fromkeys(KINDS, 0)
    for group in groups:
        kind = _kind(group)
        totals[kind] += group["count"]
        if group["bucket"] in steps:
            steps[group["bucket"]][kind] += group["count"]
    answers = [ticket for ticket in approvals.requests(since=since, limit=2_000) if ticket.answered_at is not None]
    seconds = [_seconds(ticket) for ticket in answers]
    return Figures(
        since,
        step_us,
        tuple(sorted(steps.items())),
        totals,
        _rules(groups),
        _sessions(groups),
        statistics.median(seconds) if seconds else None,
        sum(taken <= 2 for taken in seconds),
        len(seconds),
    )


def _seconds(ticket: Ticket) -> float:
    return max(0.0, ((ticket.answered_at or 0) - ticket.created_at) / 1e6)


def _kind(group: dict[str, Any]) -> str:
    if group["result_status"] == "blocked":
        return "blocked"
    if group["human_decision"] == "approved":
        return "approved"
    if group["human_decision"] == "denied" or group["result_status"] == "denied":
        return "denied"
    return "pending" if group["result_status"] == "pending_approval" else "unasked"


def _rules(groups: Sequence[dict[str, Any]]) -> tuple[RuleFigures, ...]:
    found: dict[str, list[int]] = {}
    for group in groups:
        row = found.setdefault(group["matched_rule"], [0, 0, 0, 0])
        row[0] += group["count"]
        row[1] += group["count"] if group["approval"] == "approve" else 0
        row[2] += group["count"] if group["human_decision"] == "approved" else 0
        row[3] += group["count"] if group["human_decision"] == "denied" else 0
    rules = sorted((RuleFigures(rule, *row) for rule, row in found.items()), key=lambda one: (-one.calls, one.rule))
    return tuple(rules[:_MOST_ROWS])


def _sessions(groups: Sequence[dict[str, Any]]) -> tuple[SessionFigures, ...]:
    found: dict[tuple[str | None, str | None], list[int]] = {}
    for group in groups:
        if group["approval"] == "approve":
            row = found.setdefault((group["session_id"], group["agent"]), [0, 0, 0])
            row[0] += group["count"]
            row[1] += group["count"] if group["human_decision"] == "approved" else 0
            row[2] += group["count"] if group["human_decision"] == "denied" else 0
    sessions = sorted((SessionFigures(*who, *row) for who, row in found.items()), key=lambda one: -one.asked)
    return tuple(sessions[:20])


class Remembered:
    """Figures that were asked for a moment ago need not be asked for again."""

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._known: dict[str, tuple[float, Figures]] = {}

    def get(self, trail: Any, approvals: Any, span: str) -> Figures:
        """The figures of a span."""
        at, found = self._known.get(span, (0.0, None))
        if found is None or time.monotonic() - at > self._seconds:
            found = figures_of(trail, approvals, span)
            self._known[span] = time.monotonic(), found
        return found
