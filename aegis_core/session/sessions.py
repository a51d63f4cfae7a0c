"""The sessions of one runtime: found by id, the longest unused forgotten first."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from aegis_core.log import logger
from aegis_core.record import now_us
from aegis_core.session.state import SessionState

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_core.action import Action
    from aegis_core.record import BudgetExhausted

__all__ = ["MAX_ALL_TEXT", "MAX_BUDGETS", "MAX_SESSIONS", "Sessions"]

_log = logger("aegis")

MAX_SESSIONS = 1_024
"""Sessions whose state is remembered."""
MAX_ALL_TEXT = 8_388_608
"""Characters remembered in all sessions together."""
MAX_BUDGETS = 4_096
"""Budgets remembered as used up. A forgotten one is found out again when it is next to be taken."""
_MAX_FORGOTTEN = 65_536  # session ids remembered as forgotten; after that, every unknown session may have been one


class History(Protocol):
    """Where the calls begun in a session are on record."""

    def history(self, session_id: str, *, after: int = 0) -> list[tuple[int, str, str]]:
        """``(position, type, target)`` of the calls after a position; raises if they cannot be told."""
        ...


class Sessions:
    """Keeps the state of sessions. Safe under threads and tasks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: OrderedDict[str, SessionState] = OrderedDict()
        self._forgotten: set[int] = set()
        self._lost_track = False
        self._held = 0
        self._exhausted: dict[str, int] = {}
        _all.add(self)

    def get(self, session_id: str) -> SessionState:
        """A session's state."""
        with self._lock:
            state = self._states.get(session_id)
            if state is not None:
                self._states.move_to_end(session_id)
                return state
            whole = not self._lost_track and hash(session_id) not in self._forgotten
            state = self._states[session_id] = SessionState(whole=whole, begun=False, exhausted=self._exhausted.get)
            while len(self._states) > MAX_SESSIONS:
                self._forget()
            return state

    def add_user_text(self, session_id: str, text: str) -> None:
        """The user of a session said this."""
        self._tell(session_id, lambda state: state.add_user_text(text))

    def add_result(self, session_id: str, type: str, target: str, value: object, given: object = ()) -> None:  # noqa: A002
        """A tool returned this in a session; see `SessionState.add_result`."""
        self._tell(session_id, lambda state: state.add_result(type, target, value, given))

    def _tell(self, session_id: str, tell: Callable[[SessionState], int]) -> None:
        state = self.get(session_id)
        added = tell(state)
        with self._lock:
            if self._states.get(session_id) is state:  # else it has been forgotten in the meantime
                state.counted += added
                self._held += added
            while self._held > MAX_ALL_TEXT and len(self._states) > 1:
                self._forget()

    def begun(self, action: Action) -> None:
        """A call's intent is on record."""
        if action.session_id is not None:
            self.get(action.session_id).add_calls([(action.type, action.target)])

    def behind(self, session_id: str, changes: int | None) -> bool:
        """Whether the trail may know of calls in a session that are not known here.

        Args:
            session_id: The session.
            changes: The trail's number that changes with every write; None where it has none.
        """
        return changes is None or self.get(session_id).as_of != changes

    def catch_up(self, session_id: str, history: History, changes: int | None) -> None:
        """Learn from the trail which calls were begun in a session. Where that fails, what is not known is undecided.

        Args:
            session_id: The session.
            history: The trail.
            changes: Its number of changes, looked at before.
        """
        state = self.get(session_id)
        try:
            calls = history.history(session_id, after=state.position)
        except Exception:  # noqa: BLE001 - whatever keeps the trail from being read is doubt
            state.know_all_begun(known=False)
            _log.warning("the calls begun in session %r cannot be read from the trail", session_id, exc_info=True)
            return
        state.add_calls((tool, target) for _, tool, target in calls)
        state.position = max((state.position, *(position for position, _, _ in calls)))
        state.know_all_begun(known=True)
        state.as_of = changes

    def lose_track(self) -> None:
        """Something was said that nobody listened to: what is not found in any session is undecided from now on."""
        with self._lock:
            self._lost_track = True
            for state in self._states.values():
                state.lose_track()

    def exhausted(self, budget: BudgetExhausted) -> None:
        """Remember that a budget is used up, and until when."""
        with self._lock:
            if len(self._exhausted) >= MAX_BUDGETS:
                now = now_us()
                kept = {key: until for key, until in self._exhausted.items() if until > now}
                self._exhausted.clear()
                if len(kept) < MAX_BUDGETS:
                    self._exhausted.update(kept)
            self._exhausted[budget.key] = budget.retry_at

    def _forget(self) -> None:
        session_id, state = self._states.popitem(last=False)
        self._held -= state.counted
        if len(self._forgotten) < _MAX_FORGOTTEN:
            self._forgotten.add(hash(session_id))
        else:
            self._lost_track = True

    def after_fork_in_child(self) -> None:
        """Begin as another process: what another thread was changing at that moment is not known any more."""
        if self._lock.locked():
            self._lock = threading.Lock()
            self._states.clear()
            self._held, self._lost_track = 0, True
        for session_id, state in list(self._states.items()):
            if state.busy:
                self._held -= state.counted
                self._states[session_id] = SessionState(whole=False, begun=False, exhausted=self._exhausted.get)


_all: weakref.WeakSet[Sessions] = weakref.WeakSet()


def _begin_anew() -> None:
    for sessions in list(_all):
        sessions.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
