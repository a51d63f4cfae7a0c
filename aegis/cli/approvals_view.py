"""Approvals for people's eyes: what waits as a table, one request in full. Nothing reaches a terminal raw."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aegis_core.audit.render import timestamp
from aegis_core.record import now_us
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table
    from rich.text import Text

    from aegis_core.approval.store import Ticket

__all__ = ["as_data", "details", "line", "table"]

_STYLES = {
    "pending": "yellow",
    "approved": "green",
    "used": "green",
    "denied": "red",
    "withdrawn": "dim",
    "expired": "dim",
}


def as_data(ticket: Ticket) -> dict[str, Any]:
    """A request as plain data; times as on the trail."""
    data = ticket._asdict()
    for name in ("created_at", "expires_at", "answered_at", "consumed_at"):
        data[name] = None if data[name] is None else timestamp(data[name])
    return data


def table(tickets: Sequence[Ticket], *, chosen: int | None = None) -> Table:
    """Requests as a table; the chosen one stands out."""
    from rich.table import Table  # noqa: PLC0415 - heavy, and JSON needs none of it
    from rich.text import Text  # noqa: PLC0415

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("waits", "id", "risk", "tool", "arguments", "agent", "rule", "state"):
        made.add_column(column, overflow="ellipsis", no_wrap=True)
    for number, ticket in enumerate(tickets):
        request = ticket.request
        made.add_row(
            _age(ticket.created_at),
            ticket.id[-8:],
            request["risk"].lower(),
            Text(_cut(f"{visible(request['type'])} on {visible(request['target'])}", 40)),
            Text(_cut(_arguments(request["params"]), 60)),
            Text(visible(request["agent"] or "")),
            Text(visible(request["rule"])),
            Text(ticket.state, style=_STYLES[ticket.state]),
            style="reverse" if number == chosen else "",
        )
    return made


def details(ticket: Ticket) -> Text:
    """Everything a person should see before answering: exactly what will run, and why somebody is asked."""
    from rich.text import Text  # noqa: PLC0415 - as above

    request, out = ticket.request, Text()
    out.append(f"{visible(request['type'])} on {visible(request['target'])}\n", style="bold")
    for name, value in request["params"].items():
        shown = visible(value) if isinstance(value, str) else visible(json.dumps(value, ensure_ascii=False))
        out.append(f"  {visible(name)} = {shown}\n")
    if request["not_bound"]:
        out.append(
            f"  not bound by a yes (passed by reference): {visible(', '.join(request['not_bound']))}\n", style="red"
        )
    rows = [
        ("rule", f"{visible(request['rule'])} (risk {request['risk'].lower()}): {visible(request['reason'])}"),
        ("undecided", ", ".join(map(visible, request["floors"]))),
        ("agent", visible(request["agent"] or "")),
        ("user", visible(request["user"] or "")),
        ("session", visible(request["session_id"] or "")),
        ("why", visible(request["description"])),
        ("call", ticket.call_id),
        ("request", f"{ticket.id}, made {timestamp(ticket.created_at)}, lapses {timestamp(ticket.expires_at)}"),
        ("state", ticket.state + (f", used by call {ticket.consumed_by}" if ticket.consumed_by else "")),
        ("answer", _answer(ticket)),
    ]
    for name, text in rows:
        if text:
            out.append(f"{name:10}", style="dim").append(f"{text}\n")
    return out


def line(ticket: Ticket) -> str:
    """One request as one line, for pipes."""
    request = ticket.request
    what = f"{visible(request['type'])} on {visible(request['target'])} {_arguments(request['params'])}"
    return f"{timestamp(ticket.created_at)} {ticket.id} {ticket.state} {what}"


def _answer(ticket: Ticket) -> str:
    if ticket.approver is None:
        return visible(ticket.withdrawn or "")
    edits = f", with edits {visible(json.dumps(dict(ticket.edits)))}" if ticket.edits else ""
    why = f": {visible(ticket.reason)}" if ticket.reason else ""
    when = "" if ticket.answered_at is None else f" at {timestamp(ticket.answered_at)}"
    return f"by {visible(ticket.approver)} via {visible(ticket.via or '')}{when}{edits}{why}"


def _arguments(params: dict[str, Any]) -> str:
    return ", ".join(
        f"{visible(name)}={visible(json.dumps(value, ensure_ascii=False))}" for name, value in params.items()
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _age(created_at: int) -> str:
    seconds = max(0, (now_us() - created_at) // 1_000_000)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
