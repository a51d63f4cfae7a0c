"""The pages: what waits, one request, the trail, one call, activity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, PlainTextResponse

from aegis.console.figures import RANGES
from aegis.console.live import stream_inbox, stream_trail
from aegis.console.values import leaves
from aegis.console.wanted import STATUSES, wanted_by
from aegis.errors import ApprovalError
from aegis_core.audit.filters import Filters, moment
from aegis_core.audit.render import timestamp
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from aegis.console.app import Console
    from aegis_core.approval.store import Ticket

__all__ = [
    "activity", "audit", "audit_events", "call_page", "chain", "inbox", "inbox_events", "request_page",
    "request_panel", "request_value",
]  # fmt: skip

_PAGE = 100


def inbox(request: Request) -> Response:
    """What waits."""
    return _page(request, "inbox.html", here="inbox", waiting=_console(request).feed.waiting, ticket=None)


def request_page(request: Request) -> Response:
    """What waits, with one request open."""
    console, ticket = _console(request), _ticket(request)
    about = _about(console, ticket)
    return _page(request, "inbox.html", here="inbox", waiting=console.feed.waiting, **about)


def request_panel(request: Request) -> Response:
    """One request, as a part of the page."""
    console, ticket = _console(request), _ticket(request)
    return HTMLResponse(console.drawing.page("panel.html", console=console, **_about(console, ticket)))


def request_value(request: Request) -> Response:
    """One argument in full, with everything invisible made visible."""
    ticket, at = _ticket(request), request.query_params.get("at", "")
    for leaf in leaves(ticket.request["params"]):
        if leaf.at == at:
            text = leaf.value if isinstance(leaf.value, str) else leaf.editable
            return PlainTextResponse("\n".join(map(visible, text.split("\n"))))
    raise ApprovalError(f"the call has no argument {at!r}")


async def inbox_events(request: Request) -> Response:
    """What waits, as it changes."""
    return stream_inbox(_console(request).feed, _still_open(request))


def audit(request: Request) -> Response:
    """The trail, filtered."""
    console, wanted = _console(request), wanted_by(request)
    entries: list[dict[str, Any]] = []
    if not wanted.problems:
        entries = console.history.get_log(**wanted.options(), limit=_PAGE + 1)[::-1]
    older = None
    if len(entries) > _PAGE:
        entries = entries[:_PAGE]
        # Calls of the last one's microsecond stand on both pages, so that none is left out.
        until = timestamp(moment(entries[-1]["timestamp"]) + 1)
        older = urlencode({**wanted.given(), "until": until})
    return _page(
        request,
        "audit.html",
        here="audit",
        entries=entries,
        wanted=wanted,
        older=older,
        query=urlencode(wanted.given()),
        statuses=STATUSES,
    )


async def audit_events(request: Request) -> Response:
    """Calls as they begin and end."""
    console, wanted = _console(request), wanted_by(request)
    options = {} if wanted.problems else wanted.options()
    draw = console.drawing.entry
    return stream_trail(console.history.reader, Filters(**options), draw, console.feed, _still_open(request))


def call_page(request: Request) -> Response:
    """One call of the trail."""
    console = _console(request)
    entry = console.history.reader.entry(request.path_params["id"])
    if entry is None:
        raise ApprovalError(f"there is no call {request.path_params['id']!r} on this trail")
    return _page(request, "call.html", here="audit", entry=entry)


def activity(request: Request) -> Response:
    """Decisions over time, by rule, by session."""
    console = _console(request)
    span = request.query_params.get("range", "24h")
    span = span if span in RANGES else "24h"
    found = console.figures.get(console.history, console.approvals_of_history, span)
    silent: list[str] = []
    if console.policy is not None:
        hit = {figures.rule for figures in found.rules}
        silent = [rule.name for rule in console.policy.policy().rules if rule.name not in hit]
    return _page(request, "activity.html", here="activity", figures=found, span=span, ranges=RANGES, silent=silent)


def chain(request: Request) -> Response:
    """What is known about the chain, as a part of the page."""
    console = _console(request)
    return HTMLResponse(console.drawing.page("chain.html", console=console))


def _console(request: Request) -> Console:
    console: Console = request.state.console
    return console


def _ticket(request: Request) -> Ticket:
    return _console(request).approvals.get(request.path_params["id"])


def _about(console: Console, ticket: Ticket) -> dict[str, Any]:
    """What a person should know about a request before answering it."""
    return {
        "ticket": ticket,
        "explanation": None if console.policy is None else console.policy.explain(ticket),
        "mine": console.approver == ticket.request["agent"],
    }


def _page(request: Request, name: str, **values: Any) -> Response:
    console = _console(request)
    session = request.state.session
    return HTMLResponse(console.drawing.page(name, console=console, session=session, **values))


def _still_open(request: Request) -> Callable[[], bool]:
    console, cookie = _console(request), request.cookies.get(_console(request).cookie)
    return lambda: console.sessions.find(cookie) is not None
