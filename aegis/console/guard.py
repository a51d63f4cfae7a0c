"""What stands in front of every page: by which name we were called, from where, who is there, and how much they send.

Nothing behind it is reached without a session, and nothing is changed without the session's CSRF token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from aegis.console.listening import Names
    from aegis.console.sessions import Session, Sessions

__all__ = ["Guard"]

BODY_LIMIT = 512 * 1024
"""Bytes of a request's body."""
_OPEN = ("/login", "/static/")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Not no-referrer: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# A link followed from another site arrives without the cookie, which is SameSite=Strict. Asking once more, from our own
# page, brings it along.
_AGAIN = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0"><title>Aegis</title>'


class Guard:
    """The outermost layer of the application.

    Args:
        app: What is guarded. It finds the `Session` in ``scope["state"]["session"]``.
        names: By what we may be called.
        sessions: Who is logged in.
        cookie: The name of the session's cookie.
    """

    def __init__(self, app: ASGIApp, *, names: Names, sessions: Sessions, cookie: str) -> None:
        self._app = app
        self._names = names
        self._sessions = sessions
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            return
        headers = Headers(scope=scope)
        session = self._sessions.find(cookie_parser(headers.get("cookie", "")).get(self._cookie))
        scope.setdefault("state", {})["session"] = session
        refusal = self._refusal(scope, headers, session)
        body = _Body(receive)
        try:
            await (refusal or self._app)(scope, body.receive, _hardened(send))
        except _BodyError:
            await _too_large()(scope, receive, _hardened(send))

    def _refusal(self, scope: Scope, headers: Headers, session: Session | None) -> ASGIApp | None:
        """The answer to a request that does not get through."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._names.hosts:
            return PlainTextResponse(
                "The console is not called by this name. If people shall open it so, start it with --origin.\n", 421
            )
        changes = scope["method"] not in ("GET", "HEAD")
        if changes and headers.getlist("origin") not in [[origin] for origin in self._names.origins]:
            return _refused("The request did not come from the console's own pages.")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_LIMIT:
            return _too_large()
        path: str = scope["path"]
        if path == _OPEN[0] or path.startswith(_OPEN[1]):
            return None
        if session is None:
            return _log_in(scope, headers)
        if changes and not session.accepts(headers.get("x-csrf-token", "")):
            return _refused("The page is out of date; load it again.")
        return None


def _log_in(scope: Scope, headers: Headers) -> ASGIApp:
    page = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    if not page:
        return JSONResponse({"error": "You are not logged in any more."}, 401)
    if headers.get("sec-fetch-site") == "cross-site":
        return HTMLResponse(_AGAIN)
    return RedirectResponse("/login", 303)


def _refused(why: str) -> ASGIApp:
    return JSONResponse({"error": why}, 403)


def _too_large() -> ASGIApp:
    return JSONResponse({"error": f"A request must not be larger than {BODY_LIMIT // 1024} KiB."}, 413)


class _BodyError(Exception):
    """More was sent than is taken."""


class _Body:
    """Counts what arrives: the header that says how much it will be may be missing."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._size = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > BODY_LIMIT:
            raise _BodyError
        return message


def _hardened(send: Send) -> Send:
    """Every response carries the headers that keep it to itself."""

    async def hardened(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return hardened
