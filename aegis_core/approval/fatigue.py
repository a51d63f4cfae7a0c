"""How much people are asked, and what for: who says yes to everything no longer looks, and a rule could say it as well.

Counted on the trail, so that it covers every way of asking: the queue, the terminal, a callback, a framework's pause.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_core.audit.filters import Filters
    from aegis_core.audit.reader import Reader

__all__ = ["Asked", "Fatigue", "fatigue"]

ENOUGH = 20
"""Answers, all the same, from which on a hint is given: after twenty, hardly one in seven will differ."""
_SESSIONS = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """How often people were asked because of one rule, or in one session.

    Attributes:
        name: The rule, or the session's id; None for calls outside of any session.
        approved: Calls that somebody said yes to.
        denied: Calls that somebody said no to.
        unanswered: Calls that were denied because nobody answered, or nobody could be asked.
        hint: What the numbers suggest, for rules: ``approved 50 of 50: consider auto``.
    """

    name: str | None
    approved: int
    denied: int
    unanswered: int
    hint: str | None = None

    @property
    def asked(self) -> int:
        """Calls that stopped for a person."""
        return self.approved + self.denied + self.unanswered

    @property
    def approve_rate(self) -> float | None:
        """The share of answers that were a yes, from 0 to 1; None if there was no answer."""
        answers = self.approved + self.denied
        return self.approved / answers if answers else None


@dataclass(frozen=True, slots=True)
class Fatigue:
    """How much people were asked.

    Attributes:
        rules: By rule, the one that asked most first.
        sessions: By session, likewise; the twenty that asked most.
    """

    rules: tuple[Asked, ...]
    sessions: tuple[Asked, ...]


def fatigue(reader: Reader, filters: Filters) -> Fatigue:
    """Count what people were asked, and how they answered.

    Args:
        reader: The trail's: ``AuditLogger(...).reader``.
        filters: Which calls, ``limit`` aside.

    Raises:
        AuditError: The trail cannot be read.
    """
    rows = reader.asked(filters)
    rules = _added_up((rule, answer, count) for rule, _, answer, count in rows)
    sessions = _added_up((session, answer, count) for _, session, answer, count in rows)
    return Fatigue(
        tuple(Asked(name, *counts, hint=_hint(*counts)) for name, counts in rules),
        tuple(Asked(name, *counts) for name, counts in sessions[:_SESSIONS]),
    )


def _added_up(rows: Iterable[tuple[str | None, str | None, int]]) -> list[tuple[str | None, tuple[int, int, int]]]:
    """``(approved, denied, unanswered)`` by name, the most first."""
    found: dict[str | None, list[int]] = defaultdict(lambda: [0, 0, 0])
    for name, answer, count in rows:
        found[name][_PLACES.get(answer, 2)] += count
    ordered = sorted(found.items(), key=lambda item: (-sum(item[1]), item[0] or ""))
    return [(name, (counts[0], counts[1], counts[2])) for name, counts in ordered]


_PLACES: dict[str | None, int] = {"approved": 0, "denied": 1}


def _hint(approved: int, denied: int, unanswered: int) -> str | None:
    answers = approved + denied
    if answers >= ENOUGH and not denied:
        return f"approved {approved} of {answers}: consider auto"
    if answers >= ENOUGH and not approved:
        return f"denied {denied} of {answers}: consider block"
    if unanswered >= ENOUGH and not answers:
        return f"nobody answered any of {unanswered}: consider block, or who is asked"
    return None
