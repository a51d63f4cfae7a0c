"""The live screen of ``aegis approvals watch``, and what it is without a terminal: a line for every change."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from aegis.cli import audit_view as view
from aegis.cli.approvals_view import details, line, table
from aegis.errors import ApprovalError
from aegis_core import portability
from aegis_core.approval.store import ApprovalStore
from aegis_core.text import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from aegis_core.approval.store import Ticket
    from aegis_core.audit.sqlite import AuditLogger

__all__ = ["follow", "watch_screen"]

_KEYS = "j/k move   a approve   d deny   s show   q leave"


def follow(logger: AuditLogger) -> int:
    """Write a line for every call that begins to wait, and for what became of it, until interrupted."""
    store, watch, waiting = ApprovalStore(logger), logger.watch(), set[str]()
    try:
        while True:
            now = store.requests(pending=True)
            ended = waiting.difference(ticket.id for ticket in now)
            for ticket in [*store.many(sorted(ended)), *(ticket for ticket in now if ticket.id not in waiting)]:
                click.echo(line(ticket))
            sys.stdout.flush()
            waiting = {ticket.id for ticket in now}
            watch.wait(1.0)  # a change is noticed a moment before it can be read: look again in any case
    finally:
        watch.close()


class _Screen:
    """What is shown: the requests that wait, which one is chosen, whether it is shown in full, what was done last."""

    def __init__(self, store: ApprovalStore, approver: str) -> None:
        self._store = store
        self._approver = approver
        self._tickets: list[Ticket] = []
        self._chosen = 0
        self._open = False
        self._note = ""

    def refresh(self) -> None:
        """Read what waits; the chosen request stays chosen."""
        current, before = self.chosen, {ticket.id for ticket in self._tickets}
        self._tickets = self._store.requests(pending=True)
        ids = [ticket.id for ticket in self._tickets]
        if gone := before.difference(ids):  # answered, withdrawn or expired, here or elsewhere
            self._note = ", ".join(_became(ticket) for ticket in self._store.many(sorted(gone)))
        if current is not None and current.id in ids:
            self._chosen = ids.index(current.id)
        self._chosen = max(0, min(self._chosen, len(ids) - 1))

    @property
    def chosen(self) -> Ticket | None:
        """The request that keys act on."""
        return self._tickets[self._chosen] if self._tickets else None

    def move(self, step: int) -> None:
        """Choose a neighbour."""
        self._chosen = max(0, min(self._chosen + step, len(self._tickets) - 1))

    def toggle(self) -> None:
        """Show the chosen request in full, or no longer."""
        self._open = not self._open

    def answer(self, ticket: Ticket, *, approved: bool, reason: str | None) -> None:
        """Answer a request; what became of it is shown below the table."""
        try:
            self._store.answer(ticket.id, approved=approved, approver=self._approver, via="cli", reason=reason)
        except ApprovalError as error:
            self.refresh()
            self._note = visible(str(error))
        else:
            self.refresh()

    def render(self) -> RenderableType:
        """The whole screen."""
        parts: list[RenderableType] = [table(self._tickets, chosen=self._chosen)] if self._tickets else []
        if not self._tickets:
            parts.append(Text("No call waits for approval.", style="dim"))
        if self._open and self.chosen is not None:
            parts += [Text(""), details(self.chosen)]
        return Group(*parts, Text(""), Text(self._note or _KEYS, style="dim"))


def _became(ticket: Ticket) -> str:
    """What became of a request that no longer waits."""
    by = f" by {visible(ticket.approver)}" if ticket.approver else ""
    return f"{ticket.state}{by}: {visible(ticket.request['type'])} ({ticket.id[-8:]})"


def watch_screen(logger: AuditLogger, approver: str) -> int:
    """Show what waits, live, and act on keys."""
    screen, watch = _Screen(ApprovalStore(logger), approver), logger.watch()
    screen.refresh()
    console = view.console()
    stop = threading.Event()
    with Live(screen.render(), console=console, auto_refresh=False, screen=False) as live:

        def look() -> None:
            while not stop.is_set():
                watch.wait(1.0)
                if not stop.is_set():
                    screen.refresh()
                live.update(screen.render(), refresh=True)

        thread = threading.Thread(target=look, name="aegis-approvals-screen", daemon=True)
        thread.start()
        try:
            while (key := portability.read_key(sys.stdin)) not in ("q", "\x04"):
                if key in ("a", "d") and screen.chosen is not None:
                    ticket = screen.chosen  # as it was on the screen when the key was pressed
                    live.stop()
                    console.print(details(ticket), soft_wrap=True)
                    verb = "Approve" if key == "a" else "Deny"
                    reason = click.prompt(f"{verb} this call? Reason, or empty", default="", show_default=False)
                    if key == "d" or click.confirm("Run it once, exactly as shown?", default=False):
                        screen.answer(ticket, approved=key == "a", reason=reason or None)
                    live.start()
                elif key in ("j", "k"):
                    screen.move(1 if key == "j" else -1)
                elif key == "s":
                    screen.toggle()
                live.update(screen.render(), refresh=True)
        finally:
            stop.set()
            watch.wake()
            thread.join(timeout=2)
            watch.close()
    return 0
