"""What waits, as it changes: one thread looks at the store, and every open page is told.

However many calls arrive and however many pages are open, the store is looked at some ten times a second at most, and
each request is read and drawn once.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aegis_core.approval.store import ApprovalStore
from aegis_core.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aegis_core.approval.store import Ticket

__all__ = ["WINDOW", "Feed", "Waiting"]

WINDOW = 500
"""Requests shown at once, the oldest first; the others follow as these are answered."""
_MOST_PAGES = 64
_PAUSE = 0.08
_LONGEST = 1.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waited when last looked.

    Attributes:
        rows: Request id to its row as HTML, oldest first; at most `WINDOW`.
        total: How many there are.
        problem: Why the store could not be read, or None.
    """

    rows: dict[str, str]
    total: int
    problem: str | None = None


class Feed:
    """Follows the requests that wait.

    Args:
        trail: A trail of the feed's own: it is read from the feed's thread.
        draw: Makes a row of a request.
    """

    def __init__(self, trail: Any, draw: Callable[[Ticket], str]) -> None:
        self.trail = trail
        self._approvals = ApprovalStore(trail)
        self._draw = draw
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._watch: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bells: set[asyncio.Event] = set()
        self.waiting = Waiting({}, 0)

    @property
    def is_closing(self) -> bool:
        """Whether pages should be let go."""
        return self._stop.is_set()

    def start(self) -> None:
        """Begin to look, for the event loop this is called on."""
        self._loop = asyncio.get_running_loop()
        self._watch = self.trail.watch()
        self._thread = threading.Thread(target=self._follow, name="aegis-console-feed", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking, and let every page go. May be called from a signal handler, and more than once."""
        self._stop.set()
        if self._watch is not None:
            self._watch.wake()
        self._ring_all()

    def join(self) -> None:
        """Wait for the thread to end, and release what it waited on."""
        if self._thread is not None:
            self._thread.join()
            self._watch.close()
            self._thread = None

    @contextlib.contextmanager
    def bell(self) -> Generator[asyncio.Event | None]:
        """An event that is set whenever something has changed; None if too many pages are open."""
        if len(self._bells) >= _MOST_PAGES:
            yield None
            return
        event = asyncio.Event()
        self._bells.add(event)
        try:
            yield event
        finally:
            self._bells.discard(event)

    def _follow(self) -> None:
        while not self._stop.is_set():
            found = self._look()
            if found != self.waiting:
                self.waiting = found
                self._ring_all()
            # A change is noticed a moment before it can be read, and more may follow at once: look a little later.
            if self._watch.wait(_LONGEST):
                self._stop.wait(_PAUSE)

    def _look(self) -> Waiting:
        before = self.waiting.rows
        try:
            ids = self._approvals.waiting()
            shown = ids[:WINDOW]
            new = [request for request in shown if request not in before]
            drawn = {ticket.id: self._draw(ticket) for ticket in self._approvals.many(new)} if new else {}
        except AegisError as error:
            return Waiting(before, self.waiting.total, str(error))
        rows = {request: row for request in shown if (row := before.get(request) or drawn.get(request))}
        return Waiting(rows, len(ids))

    def _ring_all(self) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and its pages with it
                loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        for bell in self._bells:
            bell.set()
