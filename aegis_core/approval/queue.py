"""The durable queue: requests are filed beside the trail and answered from anywhere, also after a restart."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from aegis_core.approval.store import ApprovalStore
from aegis_core.errors import AegisError
from aegis_core.record import now_us
from aegis_core.request import ApprovalAnswer
from aegis_core.threads import call_in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aegis_core.approval.store import Ticket
    from aegis_core.request import ApprovalRequest

__all__ = ["QueueApprovalHandler"]

_SHORTEST, _LONGEST = 0.004, 1.0
"""Seconds between looks at the requests that wait: right after something was written, and when nothing happens."""


class QueueApprovalHandler:
    """Files requests in the trail's database; people answer with ``aegis approvals`` or the console.

    A yes is bound to exactly the call it was asked for, and runs one call, once. A call that repeats one whose request
    waits joins that request; one that repeats an approved call runs on that approval.

    Args:
        store: The trail the runtime writes to (its ``audit_logger``): the approval is used up in the same transaction
            as the intent is written.
        wait: True: the call waits for the answer, up to the runtime's ``approval_timeout``. False: it ends as
            ``pending_approval`` at once, with the request's id, and the same call made again after the answer runs (or
            hears the no). A number: it waits so many seconds and then ends as ``pending_approval``.

    Attributes:
        store: The trail.

    Raises:
        TypeError: ``store`` is no trail that can hold approvals.
    """

    def __init__(self, store: Any, *, wait: bool | float = True) -> None:
        if not all(callable(getattr(store, method, None)) for method in ("transact", "read", "watch")):
            raise TypeError(
                f"approvals are filed on a trail that can hold them, such as AuditLogger('trail.db'); got {store!r}"
            )
        self.store = store
        self._approvals = ApprovalStore(store)
        self._wait = wait
        self._waiting = _Waiting(store, self._approvals)
        self._tickets: dict[str, str] = {}

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer | Awaitable[ApprovalAnswer]:
        """File the request, or join the one that is there; answer at once if it has been answered."""
        if request.opaque:
            names = ", ".join(request.opaque)
            return request.deny(reason=f"a stored approval cannot cover arguments passed by reference ({names})")
        ticket = self._file(request)
        if ticket.state != "pending" or self._wait is False:
            return self.settle(request, ticket)
        self._tickets[request.id] = ticket.id  # now: a call may stop waiting before the answer is awaited
        return self._later(request, ticket)

    def withdraw(self, request: ApprovalRequest) -> None:
        """The call no longer waits; if no other call does, the request is withdrawn."""
        ticket = self._tickets.pop(request.id, None)
        if ticket is not None:
            # Not here and now: this may be an event loop, and the database a disk away.
            call_in_thread(lambda: self._approvals.leave(ticket, request.call_id, "the call stopped waiting"))

    def _file(self, request: ApprovalRequest) -> Ticket:
        return self._approvals.put(request)

    async def _later(self, request: ApprovalRequest, ticket: Ticket) -> ApprovalAnswer:
        patience = None if self._wait is True else float(self._wait)
        answered = asyncio.wrap_future(self._waiting.add(ticket))
        clock = asyncio.timeout(patience)
        try:
            async with clock:
                settled = await answered
        except TimeoutError:
            if not clock.expired():
                raise
            self._tickets.pop(request.id, None)
            return _pending(request, ticket)
        self._tickets.pop(request.id, None)
        return await asyncio.to_thread(self.settle, request, settled)

    def settle(self, request: ApprovalRequest, ticket: Ticket) -> ApprovalAnswer:
        """What a filed request, as it stands, means for the call that files or repeats it; it does not wait."""
        if ticket.state == "pending":
            return _pending(request, ticket)
        if ticket.state in ("approved", "used"):  # used by another call that waited for it: the store will say so
            return _answer(request, ticket, approved=True)
        if ticket.state == "denied":
            self._approvals.deliver(ticket.id, request.call_id)
            return _answer(request, ticket, approved=False)
        return request.deny(reason=f"the approval request {ticket.id} was {ticket.state} before anybody answered")


def _answer(request: ApprovalRequest, ticket: Ticket, *, approved: bool) -> ApprovalAnswer:
    return ApprovalAnswer(
        request.id,
        ticket.digest,
        approved=approved,
        approver=ticket.approver,
        reason=ticket.reason,
        grant=ticket.id,
        edits=dict(ticket.edits or {}) if approved else {},
    )


def _pending(request: ApprovalRequest, ticket: Ticket) -> ApprovalAnswer:
    rule = request.decision.matched_rule
    reason = f"approval required by rule {rule!r} is pending, id {ticket.id}"
    return ApprovalAnswer(request.id, request.digest, approved=None, reason=reason, grant=ticket.id)


class _Waiting:
    """Everybody in this process who waits for an answer, and the one thread that looks while somebody does."""

    def __init__(self, store: Any, approvals: ApprovalStore) -> None:
        self._store = store
        self._approvals = approvals
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._futures: dict[str, list[Future[Ticket]]] = {}
        self._expiry: dict[str, int] = {}
        self._watch: Any = None

    def add(self, ticket: Ticket) -> Future[Ticket]:
        """A future of the ticket as it stands when it is no longer pending."""
        if self._pid != os.getpid():  # the parent's thread and waiters stayed with the parent
            self._reset()
        future: Future[Ticket] = Future()
        with self._lock:
            self._futures.setdefault(ticket.id, []).append(future)
            self._expiry[ticket.id] = ticket.expires_at
            if self._watch is None:
                self._watch = self._store.watch()
                threading.Thread(target=self._look, args=(self._watch,), name="aegis-approvals", daemon=True).start()
            else:
                self._watch.wake()
        return future

    def _look(self, watch: Any) -> None:
        pause = _LONGEST
        while True:
            with self._lock:
                self._futures = {name: still for name, futures in self._futures.items() if (still := _live(futures))}
                if not self._futures:
                    self._watch = None
                    watch.close()
                    return
                waiting = list(self._futures)
                soonest = min(self._expiry[name] for name in waiting)
            try:
                settled = self._approvals.settled(waiting)
            except AegisError:
                settled = []  # the store is away; ask again when it changes or in a while
            if not settled:
                # A change is noticed while it is being written, a moment before it can be read: look again soon.
                left = max(0.0, (soonest - now_us()) / 1e6) + 0.001
                pause = _SHORTEST if watch.wait(min(pause, left)) else min(pause * 4, _LONGEST)
                continue
            with self._lock:
                done = [(ticket, self._futures.pop(ticket.id, [])) for ticket in settled]
            for ticket, futures in done:
                for future in futures:
                    if future.set_running_or_notify_cancel():
                        future.set_result(ticket)


def _live(futures: list[Future[Ticket]]) -> list[Future[Ticket]]:
    return [future for future in futures if not future.cancelled()]
