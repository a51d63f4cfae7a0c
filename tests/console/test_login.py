"""Getting in: once by link, by token, not by guessing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("starlette")

from aegis.console.login import Attempts, Login
from aegis.console.sessions import Sessions

if TYPE_CHECKING:
    from tests.console.site import Site


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_link_logs_in_once_and_leads_away_from_its_own_address(console: Site) -> None:
    link = console.console.new_link().removeprefix(console.origin)
    first = console.request("GET", link)
    assert (first.status, first.headers["Location"]) == (303, "/")
    assert first.headers["Set-Cookie"]
    assert first.text == ""
    again = console.request("GET", link)
    assert again.status == 403
    assert again.headers["Set-Cookie"] is None
    assert "has been used" in again.text
    assert link.partition("=")[2] not in again.text


def test_after_a_link_was_used_the_next_one_is_announced(console: Site) -> None:
    console.request("GET", console.console.new_link().removeprefix(console.origin))
    assert len(console.links) == 2  # the first one when the console was started
    assert console.request("GET", console.links[-1].removeprefix(console.origin)).status == 303


def test_looking_where_a_link_leads_does_not_use_it_up(console: Site) -> None:
    link = console.console.new_link().removeprefix(console.origin)
    assert console.request("HEAD", link, without=("Origin",)).headers["Set-Cookie"] is None
    assert console.request("GET", link).status == 303


def test_a_new_link_replaces_the_one_before(console: Site) -> None:
    old, new = (console.console.new_link().removeprefix(console.origin) for _ in range(2))
    assert console.request("GET", old).status == 403
    assert console.request("GET", new).status == 303


def test_the_token_lets_in_and_never_stands_in_an_address(console: Site) -> None:
    assert console.log_in().get("/").status == 200
    wrong = console.request("POST", "/login", "token=wrong")
    assert (wrong.status, wrong.headers["Set-Cookie"]) == (403, None)
    assert console.request("GET", "/login?token=correct+horse+battery").headers["Set-Cookie"] is None


@pytest.mark.parametrize(
    "body", ["", "token", "token=", "a=1&b=2&c=3&d=4&e=5&f=6&token=x", "\ufffd", "{}", "token=%ff"]
)
def test_nonsense_does_not_log_in(console: Site, body: str) -> None:
    assert console.request("POST", "/login", body).status == 403


def test_whoever_guesses_too_often_waits_even_with_the_right_token(console: Site) -> None:
    for _ in range(5):
        assert console.request("POST", "/login", "token=wrong").status == 403
    late = console.request("POST", "/login", "token=correct+horse+battery")
    assert late.status == 429
    assert 0 < int(late.headers["Retry-After"]) <= 61
    assert late.headers["Set-Cookie"] is None
    link = console.console.new_link().removeprefix(console.origin)
    assert console.request("GET", link).status == 429
    assert console.console.login.use_code(link.partition("=")[2])  # refused unseen, not used up


def test_guesses_are_counted_for_a_while_by_address_and_in_all() -> None:
    clock = Clock()
    attempts = Attempts(most=2, most_of_all=5, per=60, clock=clock)
    for _ in range(2):
        attempts.failed("a")
    assert attempts.wait("a") > 0
    assert attempts.wait("b") == 0
    for address in "bcd":
        attempts.failed(address)
    assert attempts.wait("e") > 0  # too many from everywhere
    clock.now += 60
    assert attempts.wait("a") == attempts.wait("e") == 0


def test_counting_guesses_takes_no_more_memory_than_it_needs() -> None:
    attempts = Attempts(most_of_all=50)
    for number in range(10_000):
        attempts.failed(str(number))
    assert len(attempts._failed) == 50


def test_tokens_are_compared_in_constant_time_whatever_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("aegis.console.login.hmac.compare_digest", compare)
    login = Login("token")
    code = login.new_code()
    assert login.is_token("token")
    assert not login.is_token("t\u00f6ken\udcff")
    assert not login.use_code("wrong")
    assert login.use_code(code)
    assert len(compared) == 4
    assert {len(side) for pair in compared for side in pair} == {32}  # digests: of one length whatever was sent


def test_without_a_token_none_is_right() -> None:
    assert not Login(None).is_token("")
    assert not Login(None).is_token("None")


def test_a_session_ends_after_its_time() -> None:
    clock = Clock()
    sessions = Sessions("ann", lifetime=60, clock=clock)
    cookie, session = sessions.open()
    assert sessions.find(cookie) is session
    clock.now += 60
    assert sessions.find(cookie) is None


def test_there_are_never_more_sessions_than_may_be() -> None:
    sessions = Sessions("ann", most=3)
    cookies = [sessions.open()[0] for _ in range(5)]
    assert [sessions.find(cookie) is not None for cookie in cookies] == [False, False, True, True, True]


def test_sessions_share_no_csrf_token() -> None:
    sessions = Sessions("ann")
    one, other = sessions.open()[1], sessions.open()[1]
    assert one.accepts(one.csrf)
    assert not one.accepts(other.csrf)
    assert not one.accepts("")
