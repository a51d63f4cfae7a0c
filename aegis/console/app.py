"""The console as a Starlette application: what it is made of, and which page is where."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from aegis.console import actions, entrance, pages
from aegis.console.chain import Chain
from aegis.console.drawing import Drawing
from aegis.console.feed import Feed
from aegis.console.figures import Remembered
from aegis.console.guard import Guard
from aegis.console.login import Attempts, Login
from aegis.console.sessions import Sessions
from aegis.errors import AegisError
from aegis.runtime.audit import AuditLogger
from aegis_core.approval.store import ApprovalStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from aegis.console.listening import Names
    from aegis.console.policies import PolicyFile

__all__ = ["Console", "application"]


@dataclass(slots=True)
class Console:
    """Everything a console is made of.

    Attributes:
        db: The trail, as given on the command line.
        approver: Who answers from this console.
        names: By what it may be called.
        login: What opens it.
        policy: The policy that explains, and that rules are written to; None if none was given.
        public_key: The file of the key that checks the trail's signatures.
        announce: Told a login link whenever there is a new one.
    """

    db: str
    approver: str
    names: Names
    login: Login
    policy: PolicyFile | None = None
    public_key: str | None = None
    announce: Callable[[str], None] = lambda _: None
    attempts: Attempts = field(default_factory=Attempts)
    drawing: Drawing = field(default_factory=Drawing)
    figures: Remembered = field(default_factory=Remembered)
    sessions: Sessions = field(init=False)
    trail: AuditLogger = field(init=False)
    history: AuditLogger = field(init=False)
    approvals: ApprovalStore = field(init=False)
    approvals_of_history: ApprovalStore = field(init=False)
    feed: Feed = field(init=False)
    chain: Chain = field(init=False)

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.approver)
        # A connection each: who answers must not wait until a plot has been counted, or the other way round.
        self.trail, self.history, following = AuditLogger(self.db), AuditLogger(self.db), AuditLogger(self.db)
        self.approvals, self.approvals_of_history = ApprovalStore(self.trail), ApprovalStore(self.history)
        self.feed = Feed(following, self.drawing.row)
        self.chain = Chain(self.db, public_key=self.public_key)

    @property
    def cookie(self) -> str:
        """The name of the session's cookie. Cookies know no ports, so it does: two consoles may run side by side."""
        place = "".join(char if char.isalnum() else "_" for char in self.names.url.partition("://")[2])
        return f"__Host-aegis_{place}" if self.names.is_secure else f"aegis_{place}"

    def new_link(self) -> str:
        """A link that logs in once; the one before stops working."""
        return f"{self.names.url}/login?code={self.login.new_code()}"

    def close(self) -> None:
        """Let go of everything."""
        self.feed.close()
        self.feed.join()
        self.chain.close()
        for trail in (self.trail, self.history, self.feed.trail):
            trail.close()


def application(console: Console) -> Any:
    """The application."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[dict[str, Any]]:
        console.feed.start()
        console.chain.start()
        console.announce(console.new_link())  # not before signals are heard: who has the link may end us
        yield {"console": console}

    routes = [
        Route("/login", entrance.login_page, methods=["GET"]),
        Route("/login", entrance.log_in, methods=["POST"]),
        Route("/logout", entrance.log_out, methods=["POST"]),
        Route("/", pages.inbox),
        Route("/events", pages.inbox_events),
        Route("/requests/{id}", pages.request_page),
        Route("/requests/{id}/panel", pages.request_panel),
        Route("/requests/{id}/value", pages.request_value),
        Route("/requests/{id}/answer", actions.answer, methods=["POST"]),
        Route("/requests/{id}/always", actions.offer_rule, methods=["GET"]),
        Route("/requests/{id}/always", actions.write_rule, methods=["POST"]),
        Route("/audit", pages.audit),
        Route("/audit/events", pages.audit_events),
        Route("/audit/{id}", pages.call_page),
        Route("/activity", pages.activity),
        Route("/chain", pages.chain),
        Route("/chain", actions.check_chain, methods=["POST"]),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
    ]
    guard = Middleware(Guard, names=console.names, sessions=console.sessions, cookie=console.cookie)
    handlers = {
        AegisError: _failed,
        ValidationError: _not_understood,
        404: _nothing_here,
        405: _nothing_here,
        Exception: _broken,
    }
    return Starlette(routes=routes, middleware=[guard], exception_handlers=handlers, lifespan=lifespan)


def _failed(request: Request, error: Exception) -> Response:
    """What we could not do, in the words of the error."""
    return _said(request, str(error), 409)


def _not_understood(request: Request, _: Exception) -> Response:
    # Not in its words: they quote what was sent.
    return _said(request, "The console did not understand what the page sent; load it again.", 422)


def _nothing_here(request: Request, error: Exception) -> Response:
    return _said(request, "There is nothing here.", getattr(error, "status_code", 404))


def _broken(request: Request, error: Exception) -> Response:
    return _said(request, f"Something went wrong in the console itself: {type(error).__name__}.", 500)


def _said(request: Request, text: str, status: int) -> Response:
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"error": text}, status)
    console: Console = request.state.console
    session = getattr(request.state, "session", None)
    return HTMLResponse(console.drawing.page("message.html", console=console, session=session, text=text), status)
