"""Judging calls of the past: what a policy says about a call as it stands on an audit trail.

The trail keeps no secrets, cuts what is long, and knows neither what users said nor how full a budget was. Where an
answer would need any of that it is `UNSURE`, with what it could be; nothing is guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aegis.core.action import Action
from aegis.core.policy import Approval
from aegis_core.decision import strictest
from aegis_core.policy.rule import Default, Rule
from aegis_core.session import SessionState
from aegis_core.snapshot import Opaque

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aegis.core.policy import Decision, Policy

__all__ = ["Judge", "Judged"]

_MARKS = re.compile(r"\[(redacted|cut|cycle|integer of|bytes|bytearray)\b")
"""What the trail writes in the place of a value, or of a part of it; MASK is one of them."""
_SESSIONS = 4_096
"""Sessions whose calls are remembered at once; of a forgotten one, what was called before is unsure."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a policy says about a recorded call.

    Attributes:
        entry: The call as the trail shows it (see `AuditLogger.get_log`).
        recorded: What was decided then.
        decision: What the policy says; of an unsure answer, the strictest it could be.
        possible: Every approval it could be: one where it is sure.
        hidden: Parameters, or names, whose recorded value is masked or cut.
    """

    entry: Mapping[str, Any]
    recorded: Approval
    decision: Decision
    possible: frozenset[Approval]
    hidden: tuple[str, ...]

    @property
    def sure(self) -> bool:
        """Whether the answer is certain."""
        return len(self.possible) == 1

    @property
    def looser(self) -> bool:
        """Whether the call would certainly be decided less strictly than it was."""
        return all(approval.strictness < self.recorded.strictness for approval in self.possible)

    @property
    def stricter(self) -> bool:
        """Whether the call would certainly be decided more strictly than it was."""
        return all(approval.strictness > self.recorded.strictness for approval in self.possible)


class Judge:
    """Asks a policy about recorded calls, oldest first: what was called before in a session is learnt on the way.

    Args:
        policy: The policy.
        whole: Whether the calls begin where the trail does: else it is unsure what was called before the first.
    """

    def __init__(self, policy: Policy, *, whole: bool = True) -> None:
        self._policy = policy
        self._whole = whole
        self._sessions: dict[str, SessionState] = {}
        asked = [(rule.name, rule.document.conditions) for rule in policy.rules if rule.document.conditions is not None]
        # Rules that ask what the trail does not know. Their doubts are the trail's, not the call's.
        self._blind = {name for name, conditions in asked if conditions.param_from or conditions.calls}
        self._after = {name for name, conditions in asked if conditions.after}

    def judge_all(self, entries: Iterable[Mapping[str, Any]]) -> Iterator[Judged]:
        """Judge calls one after another; memory stays bounded."""
        return map(self.judge, entries)

    def judge(self, entry: Mapping[str, Any]) -> Judged:
        """Judge one call, at the time it was made."""
        params, hidden = _params(entry["action_params"])
        kind, target, agent, user = (entry[key] for key in ("action_type", "action_target", "agent", "user"))
        masked = tuple(name for name in (kind, target, agent, user) if name is not None and _MARKS.search(name))
        session_id: str | None = entry["session_id"]
        needed = session_id is not None and self._policy.needs.session
        session = self._session(session_id) if needed and session_id is not None else None
        action = Action(kind, target, params, agent=agent, user=user, session_id=session_id)
        when = datetime.fromisoformat(entry["timestamp"])
        decision = self._policy.evaluate(action, session=session, now=when)
        if masked or (hidden and hidden[0] == "*"):
            possible = frozenset(Approval)
        else:
            possible = self._possible(decision, hidden=bool(hidden), known=session is None)
        if session is not None and entry["result_status"] not in ("blocked", "denied"):
            session.add_calls([(action.type, action.target)])
        return Judged(entry, Approval(entry["approval"]), decision, possible, (*hidden, *masked))

    def _possible(self, decision: Decision, *, hidden: bool, known: bool) -> frozenset[Approval]:
        """What could come out if each rule in doubt held or did not, where the doubt is the trail's and not the call's.

        ``known`` says that nothing about a session is missing: without one, the conditions were in doubt then, too.
        """
        blind: set[str] = set() if known else self._blind | (set() if self._whole else self._after)
        doubts = [floor.approval for floor in decision.floors if hidden or floor.rule in blind]
        deciding = decision.deciders[: len(decision.deciders) - len(decision.floors)]
        if blind and any(isinstance(decider, Rule) and decider.name in blind for decider in deciding):
            return frozenset(Approval)  # its budget may have been used up
        if not doubts:
            return frozenset((decision.approval,))
        decided = [decider.approval for decider in deciding if isinstance(decider, (Rule, Default))]
        certain = [floor.approval for floor in decision.floors if not (hidden or floor.rule in blind)]
        return frozenset((strictest(*(decided or [Approval.BLOCK]), *certain), decision.approval, *doubts))

    def _session(self, session_id: str) -> SessionState:
        state = self._sessions.get(session_id)
        if state is None:
            if len(self._sessions) >= _SESSIONS:
                del self._sessions[next(iter(self._sessions))]
                self._whole = False  # it may come back
            state = SessionState(whole=False, begun=self._whole)
            self._sessions[session_id] = state
        return state


def _params(recorded: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Recorded parameters for judging: what is masked or cut becomes something that no condition can decide.

    Returns:
        The parameters, and the paths of what is hidden; ``*`` first where it is not known what else there was.
    """
    if not isinstance(recorded, dict) or any(map(_MARKS.search, recorded)):
        return {}, ("*",)
    hidden: list[str] = []
    return {name: _seen(value, name, hidden) for name, value in recorded.items()}, tuple(hidden)


def _seen(value: Any, path: str, hidden: list[str]) -> Any:
    if isinstance(value, dict):
        if not any(map(_MARKS.search, value)):
            return {key: _seen(item, f"{path}.{key}", hidden) for key, item in value.items()}
    elif isinstance(value, list):
        return [_seen(item, f"{path}[]", hidden) for item in value]
    elif not isinstance(value, str) or not _MARKS.search(value):
        return value
    hidden.append(path)
    return Opaque(value)
