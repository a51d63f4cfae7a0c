"""Logging in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from aegis.console.app import Console

__all__ = ["log_in", "log_out", "login_page"]

_USED = "This link has been used or is too old. The newest one stands in the terminal in which the console runs."


async def login_page(request: Request) -> Response:
    """Let in who has a link; ask anybody else for the token."""
    console: Console = request.state.console
    code = request.query_params.get("code")
    if code is None:
        return RedirectResponse("/", 303) if request.state.session else _form(console)
    if request.method == "HEAD":  # somebody looks where the link leads: that does not use it up
        return _form(console)
    if (wait := console.attempts.wait(_address(request))) > 0:
        return _too_often(console, wait)
    if not console.login.use_code(code):
        console.attempts.failed(_address(request))
        return _form(console, _USED, 403)
    console.announce(console.new_link())
    return _enter(console)


async def log_in(request: Request) -> Response:
    """Let in who knows the token."""
    console: Console = request.state.console
    if (wait := console.attempts.wait(_address(request))) > 0:
        return _too_often(console, wait)
    body = (await request.body()).decode("utf-8", "replace")
    given = parse_qs(body, max_num_fields=5).get("token", [""])[0] if body.count("&") < 5 else ""
    if not console.login.is_token(given):
        console.attempts.failed(_address(request))
        return _form(console, "That is not the token.", 403)
    return _enter(console)


async def log_out(request: Request) -> Response:
    """End the session."""
    console: Console = request.state.console
    console.sessions.close(request.cookies.get(console.cookie))
    response = JSONResponse({"to": "/login"})
    response.delete_cookie(console.cookie, path="/", secure=console.names.is_secure, httponly=True, samesite="strict")
    return response


def _enter(console: Console) -> Response:
    cookie, _ = console.sessions.open()
    # Away from the address with the code at once: it stays in no address bar, and nothing is sent on as a referrer.
    response = RedirectResponse("/", 303)
    response.set_cookie(
        console.cookie, cookie, path="/", secure=console.names.is_secure, httponly=True, samesite="strict"
    )
    return response


def _form(console: Console, problem: str = "", status: int = 200) -> Response:
    page = console.drawing.page("login.html", console=console, problem=problem, has_token=console.login.has_token)
    return HTMLResponse(page, status)


def _too_often(console: Console, wait: int) -> Response:
    response = _form(console, f"Too many attempts. Try again in {wait} seconds.", 429)
    response.headers["Retry-After"] = str(wait)
    return response


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
