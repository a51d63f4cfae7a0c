"""Calls that show something: made of what the reasoning came upon, and believed only once the policies were asked."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aegis.core.action import Action
from aegis.workbench.languages import UNUSUAL
from aegis.workbench.samples import name_like
from aegis.workbench.variables import ABSENT, nested
from aegis_core.session import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aegis.core.policy import Decision, Policy
    from aegis.workbench.reach import Reach
    from aegis.workbench.variables import Answers, Variable
    from aegis_core.policy.rule import Names

__all__ = ["Call", "Example", "called", "doubtful_names", "show"]

_NOON = datetime(2026, 1, 12, 12, tzinfo=UTC)
_FOR_EVER = 1 << 62
_SAID = "jane@example.com"


@dataclass(frozen=True)
class Call:
    """A call and its surroundings.

    Attributes:
        action: The call.
        session: Its session, or None.
        now: When it is made.
        around: What matters about session and time, in words.
    """

    action: Action
    session: SessionState | None
    now: datetime
    around: tuple[str, ...]

    def renamed(self, names: Names) -> Call:
        """The same by other names."""
        mine = self.action
        action = Action(*names[:2], dict(mine.params), agent=names[2], user=names[3], session_id=mine.session_id)
        return replace(self, action=action)

    def plainer(self) -> Iterator[Call]:
        """The same by names that look more like names, which may mean something else."""
        kind, target, agent, user = self.action.names
        longer = f"{kind}file" if not kind[-1].isalnum() else "some_tool" if len(kind) == 1 else kind
        longer = longer.replace(UNUSUAL, "file")
        place = "some_server" if len(target) == 1 else target.replace(UNUSUAL, "main")
        for names in ((longer, place), (longer, target), (kind, place)):
            if names != (kind, target):
                yield self.renamed((*names, agent, user))


@dataclass(frozen=True)
class Example:
    """A call that two policies decide differently: both have been asked.

    Attributes:
        call: The call.
        old: What the old policy says.
        new: What the new one says.
    """

    call: Call
    old: Decision
    new: Decision


def show(call: Call, old: Policy, new: Policy) -> Example:
    """Ask both policies about a call."""
    before, after = [policy.evaluate(call.action, session=call.session, now=call.now) for policy in (old, new)]
    return Example(call, before, after)


def called(names: Names, chosen: Iterable[tuple[Variable, Answers]]) -> Call | None:
    """A call by these names for which questions are probably answered so; None where no value is known for that."""
    params: dict[str, Any] = {}
    session = _Session()
    times: list[tuple[str, datetime]] = []
    for one, answers in chosen:
        kind, path = one.atoms[0].group
        if kind in ("after", "calls", "from"):
            session.want(one, answers)
        elif kind == "names":
            if False in answers:
                params["other"] = 1
        elif answers not in one.witnesses:
            return None
        elif kind == "param":
            _merge(params, nested(path, one.witnesses[answers]))
        else:
            times.append((kind, one.witnesses[answers]))
    for path in session.traced:
        if path not in params and "." not in path:
            params[path] = _SAID
    state = session.made(params)
    now = _time(times)
    around = (*session.said, *([f"at {now:%a %Y-%m-%d %H:%M %Z}"] if times else []))
    action = Action(*names[:2], params, agent=names[2], user=names[3], session_id=None if state is None else "example")
    return Call(action, state, now, around)


def _merge(into: dict[str, Any], params: dict[str, Any]) -> None:
    for name, value in params.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        elif value is not ABSENT:
            into[name] = value


def _time(times: Sequence[tuple[str, datetime]]) -> datetime:
    """A time for what clocks and ends are to say: the clock's, whole weeks to or fro."""
    if not times:
        return _NOON
    ends = [moment for kind, moment in times if kind == "until"]
    clocks = [moment for kind, moment in times if kind == "clock"]
    if not clocks:
        return ends[0]
    # An end is given by a time before it, or by the end itself: a day's leeway at most.
    return clocks[0] if not ends else clocks[0] + timedelta(weeks=(ends[0] - clocks[0]).days // 7)


class _Session:
    """A session in which questions about it are answered as wanted, where that can be had."""

    def __init__(self) -> None:
        self._begun: list[tuple[str, str]] = []
        self._exhausted: set[str] = set()
        self._given = False
        self.traced: list[str] = []
        self.said: list[str] = []

    def want(self, one: Variable, answers: Answers) -> None:
        """Note what is wanted."""
        for atom, truth in zip(one.atoms, answers, strict=True):
            if truth is None:
                continue
            self._given = True
            if atom.kind == "after" and truth:
                call = name_like(atom.expected.type), name_like(atom.expected.target)
                self._begun.append(call)
                self.said.append(f"after {call[0]}@{call[1]}")
            elif atom.kind == "calls" and not truth:
                self._exhausted.add(atom.group[1])
                self.said.append(f"once the budget of {atom.group[1]!r} is used up")
            elif atom.kind == "param_from" and truth:
                self.traced.append(atom.group[1])
                self.said.append(f"the user having named {atom.group[1]!r}")

    def made(self, params: dict[str, Any]) -> SessionState | None:
        """The session; None where none is wanted."""
        if not self._given:
            return None
        used = frozenset(self._exhausted)
        state = SessionState(exhausted=lambda key: _FOR_EVER if key.split(" by ")[0] in used else None)
        state.add_calls(self._begun)
        for path in self.traced:
            if isinstance(params.get(path), str | int | float):
                state.add_user_text(f"use {params[path]} please")
        return state


def doubtful_names(reach: Reach, others: Iterable[Reach]) -> Iterator[Names]:
    """Names about which a match is probably in doubt, some of them certainly matched by one of the others."""
    beginnings = [patterns[0].split("*", maxsplit=1)[0] for patterns, *_ in others if patterns[0].endswith("*")]
    target, agent, user = (None if axis == ("*",) else name_like(axis) for axis in reach[1:])
    places = ["server"] if target is None else [target, target.upper(), f"gateway.{target}"]
    kinds = ["tool"] if reach[0] == ("*",) else []
    for pattern in () if kinds else reach[0][:_PATTERNS]:
        kind = name_like((pattern,))
        kinds += [kind, kind.upper(), kind.title(), f"gateway__{kind}"]
        kinds += [f"{start}.{kind}" for start in beginnings[:20]]
    for place, kind in itertools.product(places, kinds):
        yield kind, place, agent, user
        if agent is not None or user is not None:
            yield kind, place, None, None


_PATTERNS = 6
