"""Conditions about the session a call belongs to: where its values came from, what was called before it, and how often.

Without a session, and wherever the session's state cannot vouch for an answer, they are undecided.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal, Protocol

from aegis_core.decision import Reservation
from aegis_core.policy.conditions.params import ParamCondition
from aegis_core.policy.conditions.truth import Finding
from aegis_core.policy.readers import one_of, one_or_more, whole
from aegis_core.policy.reading import Document, Reader, key
from aegis_core.policy.wording import shown

if TYPE_CHECKING:
    from aegis_core.action import Action
    from aegis_core.policy.conditions.truth import Context
    from aegis_core.policy.trust import ToolPattern, Trust

__all__ = ["SOURCES", "After", "Budget", "CallsDocument", "ParamFrom", "SessionView", "Source"]

Source = Literal["user", "trusted"]


class SessionView(Protocol):
    """What the conditions ask of a session. Pure to ask: the same state gives the same answers."""

    def origin(self, text: str, *, user: bool, trust: Trust | None) -> tuple[bool | None, str]:
        """Whether a value was stated by the user or returned by a trusted tool, and one sentence saying why."""
        ...

    def begun(self, calls: ToolPattern) -> bool | None:
        """Whether such a call was begun."""
        ...

    def exhausted_until(self, budget: str) -> int | None:
        """Microseconds since the epoch until which a budget is known to be used up; None if it is not known to be."""
        ...


# --- param_from ------------------------------------------------------------------------------------------------------


_SOURCE = one_of("user", "trusted")


def _sources(value: object) -> tuple[str, ...]:
    named = [value] if isinstance(value, str) else value
    if not isinstance(named, list | tuple) or not named:
        raise ValueError(f"must be a list of user, trusted or both, got {shown(value)}")
    return tuple(sorted({_SOURCE.read(name) for name in named}))


SOURCES = one_or_more(_sources, _SOURCE.schema)
"""Where a value may have come from."""


class ParamFrom:
    """The parameter's value was stated by the user, or returned by a tool that the policy trusts."""

    __slots__ = ("_param", "_trust", "_user")

    def __init__(self, path: str, sources: tuple[Source, ...], trust: Trust) -> None:
        self._param = ParamCondition("param_from", path, _NO_SESSION)
        self._user = "user" in sources
        self._trust = trust if "trusted" in sources else None

    def judge(self, action: Action, context: Context) -> bool | None:
        """Whether it holds."""
        return self._asking(context).judge(action, context)

    def explain(self, action: Action, context: Context) -> Finding:
        """The same with its reason."""
        return self._asking(context).explain(action, context)

    def _asking(self, context: Context) -> ParamCondition:
        if context.session is None:
            return self._param
        return self._param.testing(_Origin(context.session, user=self._user, trust=self._trust))


class _Origin:
    """Asks a session where one value came from."""

    __slots__ = ("_session", "_trust", "_user")

    def __init__(self, session: SessionView, *, user: bool, trust: Trust | None) -> None:
        self._session = session
        self._user = user
        self._trust = trust

    def judge(self, value: Any) -> bool | None:
        return self._ask(value)[0]

    def why(self, value: Any) -> str:
        return self._ask(value)[1]

    def _ask(self, value: Any) -> tuple[bool | None, str]:
        answer: tuple[bool | None, str] = (None, "only text and numbers can be traced")
        for text in _spellings(value):
            answer = self._session.origin(text, user=self._user, trust=self._trust)
            if answer[0]:
                break
        return answer


class _NoSession:
    """Answers where there is no session."""

    def judge(self, value: Any) -> bool | None:  # noqa: ARG002 - the protocol's
        return None

    def why(self, value: Any) -> str:  # noqa: ARG002 - the protocol's
        return "the call belongs to no session"


_NO_SESSION = _NoSession()


def _spellings(value: Any) -> list[str]:
    """How a person or a tool may have written a value."""
    kind = value.__class__
    if kind is str:
        return [value]
    if kind not in (int, float) or not abs(value) < _LARGEST:
        return []
    plain = str(value) if kind is int or not value.is_integer() else str(int(value))
    if sum(map(str.isalnum, plain)) < _DIGITS:
        return [plain]  # too short in this form; 50.00 is not to be longer than 50
    spellings = [str(value), plain, f"{value:,}"]
    if round(value, 2) == value:
        spellings += [f"{value:.2f}", f"{value:,.2f}", f"{value:,.0f}" if value == int(value) else plain]
    return list(dict.fromkeys(spellings))


_DIGITS = 4
_LARGEST = 10**15


# --- after -----------------------------------------------------------------------------------------------------------


class After:
    """A call that the pattern matches was begun in the session before this one."""

    __slots__ = ("_calls",)

    def __init__(self, calls: ToolPattern) -> None:
        self._calls = calls

    def judge(self, action: Action, context: Context) -> bool | None:  # noqa: ARG002 - the protocol's
        """Whether it holds."""
        session: SessionView | None = context.session
        return None if session is None else session.begun(self._calls)

    def explain(self, action: Action, context: Context) -> Finding:
        """The same with its reason."""
        truth = self.judge(action, context)
        if context.session is None:
            why = "the call belongs to no session"
        elif truth is None:
            why = "not all that was called in this session is known, or a name matches only when folded or unprefixed"
        else:
            why = f"such a call was {'' if truth else 'not '}begun in this session"
        return Finding(f"after {self._calls.text}", None, truth, why)


# --- calls -----------------------------------------------------------------------------------------------------------

_DURATION = re.compile(r"([1-9][0-9]{0,8})(s|m|h|d)\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 366 * 86400
_MEMO_SIZE = 1_024


def _window(value: object) -> int:
    match = _DURATION.match(value) if isinstance(value, str) else None
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"must be a duration like 30s, 15m, 1h or 7d (a year at most), got {shown(value)}")
    return seconds


class CallsDocument(Document):
    """A budget: how many calls the rule lets through within a window of time."""

    max: int = key(whole(least=1), "Calls within the window; past them the rule no longer applies.")
    per: int = key(
        Reader(_window, {"type": "string", "pattern": "^[1-9][0-9]{0,8}[smhd]$"}),
        "The window, sliding: 30s, 15m, 1h, 7d.",
    )
    by: Literal["session", "agent", "user", "rule"] = key(
        one_of("session", "agent", "user", "rule"),
        "Counted for each session, agent or user; or for all calls together (rule).",
        default="rule",
    )


class Budget:
    """The condition ``calls``: the rule's budget is not known to be used up. The unit itself is taken with the intent.

    Args:
        rule: The rule's name; budgets of a rule keep their count when the policy is loaded again.
        document: What the policy says.
    """

    __slots__ = ("_document", "_known", "_rule")

    def __init__(self, rule: str, document: CallsDocument) -> None:
        self._rule = rule
        self._document = document
        self._known: dict[str, Reservation] = {}

    def judge(self, action: Action, context: Context) -> bool | None:
        """Whether it holds."""
        session: SessionView | None = context.session
        reservation = self.reservation(action)
        if session is None or reservation is None:
            return None
        until = session.exhausted_until(reservation.key)
        return until is None or until <= context.now.timestamp() * 1e6

    def explain(self, action: Action, context: Context) -> Finding:
        """The same with its reason."""
        document = self._document
        label = f"calls {document.max} per {document.per} s by {document.by}"
        truth = self.judge(action, context)
        if truth is None:
            missing = "session" if context.session is None else document.by
            return Finding(label, None, None, f"the call names no {missing}")
        return Finding(
            label, None, truth, "the budget is not known to be used up" if truth else "the budget is used up"
        )

    def reservation(self, action: Action) -> Reservation | None:
        """The unit to take for a call; None if the call does not say by whom it is counted."""
        by = self._document.by
        whom = action.session_id if by == "session" else action.agent if by == "agent" else action.user
        if by == "rule":
            whom = ""
        elif whom is None:
            return None
        known = self._known.get(whom)
        if known is None:
            if len(self._known) >= _MEMO_SIZE:
                self._known.clear()
            known = self._known[whom] = Reservation(self._key(whom), self._document.max, float(self._document.per))
        return known

    def _key(self, whom: str) -> str:
        if self._document.by == "rule":
            return self._rule
        # A digest: who it was is nobody's business in a table of counts.
        digest = hashlib.sha256(whom.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return f"{self._rule} by {self._document.by} {digest}"
