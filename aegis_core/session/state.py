"""What is known of one session: what its user said, what trusted tools returned, and which calls were begun in it.

Answers are three-valued: where something was forgotten, or may never have been seen, "not found" is undecided and not
false.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from aegis_core.session.passages import Passages, Value, normal, words
from aegis_core.snapshot import FrozenDict, FrozenList

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aegis_core.policy.trust import ToolPattern, Trust

__all__ = ["MAX_CALLS", "MAX_ORIGINS", "MAX_TEXT", "SessionState"]

MAX_TEXT = 262_144
"""Characters remembered per session of what its user said, and as many again of what trusted tools returned."""
MAX_ORIGINS = 256
"""Different (type, target) pairs per session whose results are remembered."""
MAX_CALLS = 4_096
"""Different (type, target) pairs per session that are remembered as begun."""
_LARGEST = 10**18


class SessionState:
    """The state of one session. Safe under threads and tasks.

    Args:
        whole: Whether everything that was ever said in the session is going to be told to this object.
        begun: Whether every call that was ever begun in it is.

    Attributes:
        position: How far the trail has been read for calls that were begun; for the keeper of the sessions.
        as_of: The trail's number of changes then.
        counted: Characters of its text that the keeper has counted.
    """

    __slots__ = (
        "_all_begun", "_answers", "_begun", "_exhausted", "_lock", "_results", "_results_whole", "_said",
        "_seen", "_user", "_user_whole", "as_of", "counted", "position",
    )  # fmt: skip

    def __init__(
        self, *, whole: bool = True, begun: bool = True, exhausted: Callable[[str], int | None] | None = None
    ) -> None:
        self.position = 0
        self.as_of: int | None = None
        self.counted = 0
        self._lock = threading.Lock()
        self._user = Passages()
        self._user_whole = whole
        self._said: set[int] = set()
        self._results: dict[tuple[str, str], Passages] = {}
        self._results_whole = whole
        self._all_begun = begun
        self._begun: list[tuple[str, str]] = []
        self._seen: set[tuple[str, str]] = set()
        self._answers: dict[ToolPattern, tuple[int, bool | None]] = {}
        self._exhausted = exhausted

    @property
    def size(self) -> int:
        """Characters held."""
        return self._user.size + sum(passages.size for passages in list(self._results.values()))

    @property
    def busy(self) -> bool:
        """Whether some thread is in the middle of asking or telling."""
        return self._lock.locked()

    # --- telling ---

    def add_user_text(self, text: str) -> int:
        """The user said this. Telling it again costs next to nothing. Returns how much more text is held now."""
        with self._lock:
            known = hash(text)
            if known in self._said:
                return 0
            if self._user.size + len(text) > MAX_TEXT:
                self._user_whole = False
                return 0
            self._said.add(known)
            return self._user.add([normal(text)])

    def add_result(self, type: str, target: str, value: object, given: object = ()) -> int:  # noqa: A002 - the word
        """A tool returned this. Returns how much more text is held now.

        Args:
            type: The tool.
            target: Where it lives.
            value: What it returned; the texts and numbers in it are remembered.
            given: What it was called with. A tool that echoes its arguments does not vouch for them.
        """
        texts = _texts(value)
        echoed = _texts(given)
        with self._lock:
            if texts is None or echoed is None:
                self._results_whole = False
                return 0
            passages = self._results.get((type, target))
            held = sum(known.size for known in self._results.values())
            if held + sum(map(len, texts)) > MAX_TEXT or (passages is None and len(self._results) >= MAX_ORIGINS):
                self._results_whole = False
                return 0
            if passages is None:
                passages = self._results[type, target] = Passages()
            return passages.add(texts, without={word for text in echoed for _, word in words(text)})

    def add_calls(self, calls: Iterable[tuple[str, str]]) -> None:
        """Calls of these (type, target) pairs were begun."""
        with self._lock:
            for call in calls:
                if call in self._seen:
                    continue
                if len(self._begun) >= MAX_CALLS:
                    self._all_begun = False
                    return
                self._seen.add(call)
                self._begun.append(call)

    def know_all_begun(self, *, known: bool) -> None:
        """Whether every call begun in the session has been told by now."""
        with self._lock:
            self._all_begun = known and len(self._begun) < MAX_CALLS

    def lose_track(self) -> None:
        """From now on what is not found may have been said all the same."""
        with self._lock:
            self._user_whole = self._results_whole = False

    # --- asking (aegis_core.policy.conditions.session.SessionView) ---

    def origin(self, text: str, *, user: bool, trust: Trust | None) -> tuple[bool | None, str]:
        """Whether the user stated a value or a trusted tool returned it, and one sentence saying why."""
        value = Value(text)
        if value.problem is not None:
            return None, value.problem
        doubt: str | None = None
        with self._lock:
            if user:
                found = self._user.find(value)
                if found:
                    return True, "the user stated it"
                if found is None or not self._user_whole or not self._user.size:
                    doubt = "not all that the user said is known" if found is False else "its words are too frequent"
            if trust is not None:
                for (tool, target), passages in self._results.items():
                    trusted = trust.of(tool, target)
                    found = False if trusted is False else passages.find(value)
                    if found and trusted:
                        return True, f"{tool}@{target}, which is trusted, returned it"
                    if found is not False:
                        doubt = f"whether {tool}@{target} is trusted, or returned it, cannot be told"
                if not self._results_whole:
                    doubt = doubt or "not everything that trusted tools returned is known"
        if doubt is not None:
            return None, doubt
        if user and trust is not None:
            return False, "neither the user stated it nor a trusted tool returned it"
        return False, "the user did not state it" if user else "no trusted tool returned it"

    def begun(self, calls: ToolPattern) -> bool | None:
        """Whether a call that the pattern matches was begun."""
        with self._lock:
            looked_at, truth = self._answers.get(calls, (0, False))
            if truth is not True:
                for tool, target in self._begun[looked_at:]:
                    answer = calls.match(tool, target)
                    truth = True if answer or truth else None if answer is None else truth
                if len(self._answers) < MAX_CALLS:
                    self._answers[calls] = (len(self._begun), truth)
            return truth if truth is not False or self._all_begun else None

    def exhausted_until(self, budget: str) -> int | None:
        """Microseconds since the epoch until which a budget is known to be used up; None if it is not known to be."""
        return self._exhausted(budget) if self._exhausted is not None else None


def _texts(value: object) -> list[str] | None:
    """Every text and number in a JSON-like value, in `normal` form, keys included; None if there is too much of it.

    What is not JSON-like says nothing.
    """
    texts: list[str] = []
    size = 0
    pending: list[Any] = [value]
    for _ in range(MAX_TEXT):
        if not pending:
            return texts
        item = pending.pop()
        kind = type(item)
        if kind is str:
            size += len(item)
            if size > MAX_TEXT:
                return None
            texts.append(normal(item))
        elif kind is int or kind is float:
            pending.append(str(item) if -_LARGEST < item < _LARGEST else "")
        elif kind is dict or kind is FrozenDict:
            pending.extend(part for pair in reversed(item.items()) for part in reversed(pair))
        elif kind is list or kind is tuple or kind is FrozenList:
            pending.extend(reversed(item))
    return None
