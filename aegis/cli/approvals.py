"""``aegis approvals``: see what waits for a person, and answer it. `approvals_watch` is the live screen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from aegis.cli import audit_view as view
from aegis.cli.approvals_view import as_data, details, table
from aegis.cli.audit_options import ListByDefault, Time, db_option, json_option, trail
from aegis.errors import ApprovalError
from aegis_core import portability
from aegis_core.approval.store import ApprovalStore
from aegis_core.text import visible

if TYPE_CHECKING:
    from datetime import datetime

    from aegis_core.approval.store import Ticket

__all__ = ["approvals"]

_as_option = click.option(
    "--as", "approver", metavar="NAME", default=portability.user_name, help="Who answers. Default: the user you are."
)
_reason_option = click.option("--reason", metavar="TEXT", help="Why, for the record. On a terminal you are asked.")


@click.group(cls=ListByDefault)
def approvals() -> None:
    """See what waits for a person's yes, and answer it.

    A yes covers exactly the call that is shown, runs it once, and lapses an hour after the call was made. Without a
    command: list what waits.
    """


@approvals.command("list")
@db_option
@json_option
@click.option("--all", "everything", is_flag=True, help="Also those answered, used, withdrawn or expired.")
@click.option("--since", type=Time(), help="With --all: a time (UTC) or an age: 2026-03-22T10:30, 24h, 7d.")
def list_(db: str, *, as_json: bool, everything: bool, since: datetime | None) -> int:
    """List the calls that wait, oldest first."""
    with trail(db) as logger:
        start = 0 if since is None else int(since.timestamp() * 1e6)
        found = ApprovalStore(logger).requests(pending=not everything, since=start)
    if as_json:
        view.write_json([as_data(ticket) for ticket in found], sys.stdout)
    elif found:
        view.console().print(table(found))
    else:
        click.echo("No call waits for approval." if not everything else "No approvals.", err=True)
    return 0


@approvals.command()
@click.argument("request_id")
@db_option
@json_option
def show(request_id: str, db: str, *, as_json: bool) -> int:
    """Show exactly what will run if REQUEST_ID is approved. The end of the id is enough."""
    with trail(db) as logger:
        ticket = _find(ApprovalStore(logger), request_id)
    if as_json:
        view.write_json(as_data(ticket), sys.stdout)
    else:
        view.console().print(details(ticket), soft_wrap=True)
    return 0


@approvals.command()
@click.argument("request_id")
@_reason_option
@_as_option
@db_option
def approve(request_id: str, reason: str | None, approver: str, db: str) -> int:
    """Let the call of REQUEST_ID run, once, exactly as `show` shows it.

    Exit codes: 0 approved; 1 it could not be: answered before, withdrawn, expired, unknown, or your own call.
    """
    return _answer(request_id, db, approved=True, approver=approver, reason=reason)


@approvals.command()
@click.argument("request_id")
@_reason_option
@_as_option
@db_option
def deny(request_id: str, reason: str | None, approver: str, db: str) -> int:
    """Refuse the call of REQUEST_ID. The reason is told to whoever made the call.

    Exit codes: 0 denied; 1 it could not be: answered before, withdrawn, expired or unknown.
    """
    return _answer(request_id, db, approved=False, approver=approver, reason=reason)


@approvals.command()
@_as_option
@db_option
def watch(approver: str, db: str) -> int:
    """Watch calls come in, and answer them by key.

    j and k move, a approves, d denies, s shows all of a call, q leaves. Without a terminal, a line is written for every
    call that begins to wait, and another when it was answered, withdrawn or has expired.
    """
    from aegis.cli.approvals_watch import follow, watch_screen  # noqa: PLC0415 - only the screen needs it

    with trail(db) as logger:
        on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        return watch_screen(logger, approver) if on_terminal else follow(logger)


def _answer(request_id: str, db: str, *, approved: bool, approver: str, reason: str | None) -> int:
    with trail(db) as logger:
        store = ApprovalStore(logger)
        ticket = _find(store, request_id)
        if reason is None and sys.stdin.isatty() and sys.stderr.isatty():
            view.console(sys.stderr).print(details(ticket), soft_wrap=True)
            reason = click.prompt("Reason (optional)", default="", show_default=False, err=True) or None
        done = store.answer(ticket.id, approved=approved, approver=approver, via="cli", reason=reason)
    request = done.request
    click.echo(f"{done.state}: {visible(request['type'])} on {visible(request['target'])}, by {visible(approver)}")
    return 0


def _find(store: ApprovalStore, request_id: str) -> Ticket:
    """A request by its id or the end of it.

    Raises:
        ApprovalError: There is none, or several.
    """
    found = [ticket for ticket in store.requests() if ticket.id.endswith(request_id)] if request_id else []
    if len(found) == 1:
        return found[0]
    many = f"{len(found)} requests end in {request_id!r}; give more of the id"
    raise ApprovalError(many if found else f"there is no approval request {request_id!r}")
