"""The three-valued logic every condition speaks: True, False, and None for undecided."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_core.action import Action

__all__ = ["Condition", "Context", "Finding", "Truth", "all_of", "word"]

Truth = bool | None
"""True, False, or None for undecided."""


class Context:
    """What a condition may look at besides the action.

    Args:
        session: The call's session, or None where there is none: conditions about it are then undecided.
        now: The time the call is judged at, timezone-aware; None for the time at which it is first asked for.

    Attributes:
        plain: Whether all parameters are plainly named (see `lookup.plainly_named`); None until it is first asked.

    Raises:
        ValueError: If ``now`` has no time zone.
    """

    __slots__ = ("_now", "plain", "session")

    def __init__(self, session: Any = None, now: datetime | None = None) -> None:
        if now is not None and now.utcoffset() is None:
            raise ValueError(f"now must be timezone-aware, got {now!r}; say datetime.now(UTC)")
        self.session = session
        self.plain: bool | None = None
        self._now = now

    @property
    def now(self) -> datetime:
        """The time the call is judged at: one and the same for all conditions of one evaluation."""
        if self._now is None:
            self._now = datetime.now(UTC)
        return self._now


class Finding(NamedTuple):
    """What one condition made of one call, for people.

    Attributes:
        condition: The condition as the policy has it, e.g. ``param_gt amount``.
        value: What it looked at. May hold secrets: redact before showing.
        truth: True, False or None for undecided.
        why: One sentence.
    """

    condition: str
    value: Any
    truth: Truth
    why: str


class Condition(Protocol):
    """One compiled condition."""

    def judge(self, action: Action, context: Context) -> Truth:
        """Whether it holds. Pure, never raises; doubt is None."""
        ...

    def explain(self, action: Action, context: Context) -> Finding:
        """The same answer with its reason."""
        ...


def all_of(truths: Iterable[Truth]) -> Truth:
    """The answer for several values: all true is true, all false is false, anything mixed or undecided is undecided."""
    seen = set(truths)
    if len(seen) != 1:
        return None if seen else False
    return seen.pop()


def word(truth: Truth) -> str:
    """``true``, ``false`` or ``undecided``."""
    return "undecided" if truth is None else "true" if truth else "false"
