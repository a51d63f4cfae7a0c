"""Where the console listens, and by which names it may be called."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette")

from aegis.console.listening import Address, names_for, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8787", "127.0.0.1", 8787),
        ("8787", "127.0.0.1", 8787),
        ("[::1]:0", "::1", 0),
        ("localhost:80", "localhost", 80),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host, port)


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.0.0.1:", "127.0.0.1:http", "::1:80", "a:65536", "a:-1", "a:\u0661"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be HOST:PORT|in brackets"):
        parse_address(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_only_this_machine_reaches_the_loopback(host: str) -> None:
    assert Address(host, 1).is_loopback


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.1.2", "example.com", "localhost.evil.example", "127.0.0.1.nip.io"]
)
def test_everything_else_can_be_reached_from_elsewhere(host: str) -> None:
    assert not Address(host, 1).is_loopback


def test_the_address_people_open_is_another_name() -> None:
    names = names_for(Address("127.0.0.1", 8787), "https://Aegis.Example.com/")
    assert names.url == "https://aegis.example.com"
    assert names.is_secure
    assert names.hosts == {"aegis.example.com", "127.0.0.1:8787", "localhost:8787", "[::1]:8787"}


def test_an_address_beyond_the_loopback_is_called_by_its_own_name_alone() -> None:
    usual = names_for(Address("192.168.1.2", 80), None)
    assert usual.hosts == {"192.168.1.2"}
    assert usual.origins == {"http://192.168.1.2"}
    assert names_for(Address("0.0.0.0", 8787), "http://host:8787").hosts == {"host:8787"}


@pytest.mark.parametrize(
    "origin", ["example.com", "ftp://x", "https://x/path", "https://", "https://u@x", "https://x:port"]
)
def test_an_origin_is_a_url_without_a_path(origin: str) -> None:
    with pytest.raises(ValueError, match="URL without a path"):
        names_for(Address("127.0.0.1", 1), origin)
