"""Doors within doors: a governed tool whose function is governed too is one call, not two.

The call in progress is known to the code it runs, by context variable. A door inside it with the same tool, params and
principal *joins* it: once, and only if its own decision asks for nothing that the call's did not cover. Anything else
is a call of its own, which is the safe side: it may be asked about twice, but never runs unwritten.
"""

from __future__ import annotations

import sys
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aegis_core.action import Action
    from aegis_core.decision import Decision
    from aegis_core.drive import Call
    from aegis_core.record import Intent

__all__ = ["ENCLOSING", "Enclosing", "Split"]


class Enclosing:
    """The governed call that the present code runs inside of.

    Args:
        runtime: Whose call it is.
        intent: What is on the trail about it.
        function: The governed function that it runs, if that is known.
        session: The session block it was made in, if any.
    """

    __slots__ = ("_ticket", "function", "intent", "runtime", "session")

    def __init__(self, runtime: object, intent: Intent, function: object = None, *, session: object = None) -> None:
        self.runtime = runtime
        self.intent = intent
        self.function = function
        self.session = session
        self._ticket = [True]  # popped by who joins: of two threads, one

    def repeats(self, runtime: object, action: Action, function: object) -> bool:
        """Whether ``action`` is this very call being made again by the code it runs.

        A function that calls itself repeats nothing: that is a second execution.
        """
        outer = self.intent.action
        return (
            bool(self._ticket)
            and self.runtime is runtime
            and outer.type == action.type
            and (function is None or function is not self.function)  # a proxy equals what it wraps
            and outer.names[2:] == action.names[2:]
            and outer.session_id == action.session_id
            and outer.canonical_params() == action.canonical_params()
            and self.reaches_here()
        )

    def covers(self, decision: Decision) -> bool:
        """Whether an inner door's decision asks for nothing that this call's own did not already cover."""
        own = self.intent.decision
        return decision.permitted or (decision.approval is own.approval and decision.rules_digest == own.rules_digest)

    def join(self) -> bool:
        """Take the one place inside; False if it is taken, or the call has ended."""
        try:
            return self._ticket.pop()
        except IndexError:
            return False

    def end(self) -> None:
        """Nobody can join any more."""
        self._ticket.clear()

    def reaches_here(self) -> bool:
        """Whether the present code runs inside of it."""
        return True


class Split(Enclosing):
    """The same for a call whose tool a framework runs (`drive.Call`).

    Where that happens cannot be seen, and the context of `begin` lives on in whatever is started from it. So only the
    task that began the call can join it, or a task which that one is waiting for, or a worker thread that has no task;
    where there was no task, only the thread.
    """

    __slots__ = ("_call", "_task", "_thread")

    def __init__(self, runtime: object, call: Call, intent: Intent, *, session: object = None) -> None:
        super().__init__(runtime, intent, session=session)
        self._call = weakref.ref(call)  # one that nobody can finish any more is not in progress
        task = _present_task()
        self._task = None if task is None else weakref.ref(task)
        self._thread = threading.get_ident()

    def reaches_here(self) -> bool:
        """Whether this is the task that began the call, or runs for it."""
        call = self._call()
        if call is None or not call.permitted:
            return False
        here = _present_task()
        if self._task is None:
            return here is None and threading.get_ident() == self._thread
        task = self._task()
        while here is not None and task is not here:
            task = getattr(task, "_fut_waiter", None)  # a private name; without it the call is one of its own
            if task is None:
                return False
        return True


def _present_task() -> Any:
    asyncio = sys.modules.get("asyncio")  # who has not loaded it has no tasks
    try:
        return None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        return None


ENCLOSING: ContextVar[Enclosing | None] = ContextVar("aegis_enclosing_call", default=None)
