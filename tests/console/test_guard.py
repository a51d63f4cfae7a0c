"""What does not get through: other names, other sites, no session, no CSRF token, too much at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("starlette")

from aegis import Action
from aegis_core.approval.store import ApprovalStore
from tests.console.site import TOKEN, file_request, site, waiting

if TYPE_CHECKING:
    from aegis.runtime.audit import AuditLogger
    from tests.console.site import Site, Visitor

CALL = Action("write_file", "filesystem", {"path": "/data/a"})
YES = {"approved": True}
PAGES = [
    "/",
    "/audit",
    "/activity",
    "/chain",
    "/events",
    "/audit/events",
    "/requests/x",
    "/requests/x/panel",
    "/audit/x",
]
CHANGES = ["/requests/{}/answer", "/requests/{}/always", "/chain", "/logout"]


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_shown_without_a_session(console: Site, path: str) -> None:
    page = console.request("GET", path)
    assert (page.status, page.headers["Location"]) == (303, "/login")
    data = console.request("GET", path, Accept="application/json", Cookie=f"{console.console.cookie}=guess")
    assert data.status == 401


@pytest.mark.parametrize("path", CHANGES)
def test_nothing_changes_without_a_session(console: Site, trail: AuditLogger, path: str) -> None:
    request = file_request(trail, CALL)
    answer = console.request("POST", path.format(request), '{"approved": true}', X_CSRF_Token="guess")
    assert answer.status == 401
    assert waiting(trail) == [request]


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize("token", ["", "guess", "\u00fc"])
def test_nothing_changes_without_the_sessions_own_csrf_token(
    visitor: Visitor, trail: AuditLogger, path: str, token: str
) -> None:
    request = file_request(trail, CALL)
    another = visitor.site.log_in().csrf
    assert visitor.post(path.format(request), YES, X_CSRF_Token=token).status == 403
    assert visitor.post(path.format(request), YES, X_CSRF_Token=another).status == 403
    assert waiting(trail) == [request]
    assert visitor.get("/").status == 200  # still logged in


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1", ""])
def test_nothing_changes_from_another_site(visitor: Visitor, trail: AuditLogger, origin: str) -> None:
    request = file_request(trail, CALL)
    assert visitor.post(f"/requests/{request}/answer", YES, Origin=origin).status == 403
    assert waiting(trail) == [request]


def test_nothing_changes_where_the_browser_does_not_say_from_which_site(visitor: Visitor) -> None:
    headers = {"Cookie": visitor.cookie, "X_CSRF_Token": visitor.csrf}
    assert visitor.site.request("POST", "/chain", "{}", without=("Origin",), **headers).status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1.evil.example:{}", "localhost.:{}", "[::2]:{}"]
)
def test_a_name_that_was_made_to_lead_here_is_not_answered(visitor: Visitor, host: str) -> None:
    answer = visitor.get("/", Host=host.format(visitor.site.address.port))
    assert answer.status == 421
    assert "csrf" not in answer.text


def test_the_loopbacks_own_names_are_answered(visitor: Visitor) -> None:
    port = visitor.site.address.port
    assert [
        visitor.get("/", Host=f"{name}:{port}").status for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]")
    ] == [200] * 4


def test_more_than_a_request_may_hold_is_refused_whether_or_not_it_says_so(
    visitor: Visitor, trail: AuditLogger
) -> None:
    request = file_request(trail, CALL)
    path, large = f"/requests/{request}/answer", "x" * 600_000
    assert visitor.post(path, {"approved": True, "reason": large}).status == 413
    headers = {"Cookie": visitor.cookie, "X_CSRF_Token": visitor.csrf, "Transfer_Encoding": "chunked"}
    chunked = f"{len(large):x}\r\n{large}\r\n0\r\n\r\n"
    assert visitor.site.request("POST", path, chunked, **headers).status == 413
    assert waiting(trail) == [request]


@pytest.mark.parametrize(
    "body",
    [
        '{"approved": "true"}',
        '{"approved": 1}',
        "{}",
        "",
        "[]",
        '{"approved": true, "also": 1}',
        '{"approved": "false"}',
    ],
)
def test_only_an_explicit_yes_is_one(visitor: Visitor, trail: AuditLogger, body: str) -> None:
    request = file_request(trail, CALL)
    headers = {"Cookie": visitor.cookie, "X_CSRF_Token": visitor.csrf, "Accept": "application/json"}
    answer = visitor.site.request("POST", f"/requests/{request}/answer", body, **headers)
    assert answer.status == 422
    assert waiting(trail) == [request]


def test_every_answer_carries_the_headers_that_keep_it_to_itself(visitor: Visitor, trail: AuditLogger) -> None:
    request = file_request(trail, CALL)
    paths = [
        "/",
        "/audit",
        "/activity",
        "/chain",
        f"/requests/{request}",
        "/nothing",
        "/static/page.js",
        "/static/none",
    ]
    for path in paths:
        headers = visitor.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'"), path
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] is None
    refused = visitor.site.request("GET", "/", Host="evil.example").headers
    assert refused["Content-Security-Policy"]


def test_no_page_has_a_script_or_a_style_within_or_from_elsewhere(visitor: Visitor, trail: AuditLogger) -> None:
    request = file_request(trail, CALL)
    visitor.site.console.chain.check_soon()
    for path in (
        "/",
        "/audit",
        "/activity",
        f"/requests/{request}",
        f"/requests/{request}/always",
        "/login",
        "/nothing",
    ):
        page = visitor.get(path).text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|=\W?javascript:", page, re.IGNORECASE), path
        for tag in re.findall(r"<script[^>]*>", page):
            assert re.search(r'src="/static/[a-z]+\.js"', tag), tag
        for url in re.findall(r'(?:src|href|action)="([^"]*)"', page):
            assert re.match(r"/(?!/)|#", url), url


def test_the_cookie_is_for_this_site_alone_and_no_script_sees_it(console: Site) -> None:
    cookie = console.request("POST", "/login", f"token={TOKEN.replace(' ', '+')}").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert str(console.address.port) in cookie.partition("=")[0]  # cookies know no ports


def test_behind_tls_the_cookie_is_never_sent_without_it(trail: AuditLogger) -> None:
    with site(trail.path, origin="https://aegis.example.com") as console:
        headers = {"Host": "aegis.example.com", "Origin": "https://aegis.example.com"}
        answer = console.request("POST", "/login", f"token={TOKEN.replace(' ', '+')}", **headers)
        assert answer.status == 303
        assert answer.headers["Set-Cookie"].startswith("__Host-aegis_")
        assert "Secure" in answer.headers["Set-Cookie"]
        assert console.links[0].startswith("https://aegis.example.com/login?code=")
        strange = {"Host": "aegis.example.com", "Origin": "http://aegis.example.com"}
        assert console.request("POST", "/login", "token=x", **strange).status == 403


def test_a_link_from_another_site_is_followed_with_the_session(visitor: Visitor, trail: AuditLogger) -> None:
    # The cookie is not sent then; our own page, loaded once more from here, brings it along.
    page = visitor.site.request("GET", "/", Sec_Fetch_Site="cross-site")
    assert page.status == 200
    assert '<meta http-equiv="refresh" content="0">' in page.text
    assert "csrf" not in page.text


def test_logging_out_ends_the_session_also_for_who_kept_the_cookie(visitor: Visitor, trail: AuditLogger) -> None:
    request = file_request(trail, CALL)
    assert visitor.post("/logout").json() == {"to": "/login"}
    assert visitor.post(f"/requests/{request}/answer", YES).status == 401
    assert waiting(trail) == [request]


def test_what_is_behind_the_guard_answers_once_everything_is_right(visitor: Visitor, trail: AuditLogger) -> None:
    request = file_request(trail, CALL)
    assert visitor.post(f"/requests/{request}/answer", YES).json() == {
        "said": "Approved: write_file on filesystem", "state": "approved",
    }  # fmt: skip
    ticket = ApprovalStore(trail).get(request)
    assert (ticket.state, ticket.approver, ticket.via, ticket.reason) == ("approved", "ann", "console", None)
