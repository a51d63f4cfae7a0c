"""param_url against the WHATWG parser, the standard library's parser and its knowledge of addresses."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

ada_url = pytest.importorskip("ada_url")

from aegis_core.policy.arguments import UrlCondition, UrlSpec  # noqa: E402
from aegis_core.policy.arguments.url_hosts import is_private, parse_host  # noqa: E402
from aegis_core.policy.arguments.url_text import read_url  # noqa: E402
from aegis_core.policy.reading import read  # noqa: E402


def condition(**spec: Any) -> UrlCondition:
    return UrlCondition(read(UrlSpec, spec))


PIECES = st.sampled_from(
    [
        *(
            "http",
            "https",
            "HTTPS",
            "ftp",
            "ws",
            "foo",
            "file",
            "javascript",
            ":",
            "://",
            "//",
            "/",
            "///",
            "\\",
            "@",
            "#",
            "?",
        ),
        *(
            "example.com",
            "EXAMPLE.com",
            "evil.test",
            "user",
            "user:pass",
            ".",
            "..",
            "%2e",
            "%40",
            "%",
            " ",
            "\t",
            "\n",
            "\0",
        ),
        *(
            "127.0.0.1",
            "0x7f.1",
            "2130706433",
            "017700000001",
            "1.2.3",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[",
            "]",
            "localhost",
        ),
        *(
            ":80",
            ":443",
            ":",
            ":0080",
            ":99999",
            "münchen.de",
            "ｅxample.com",
            "。",
            "ß",
            "xn--mnchen-3ya",
            "\u00ad",
            "\u200b",
        ),
        *("a", "b", "-", "_", "1", "x=1", "&", ";", "|", "^", "<", "'", '"'),
    ]
)
URLS = st.one_of(
    st.lists(PIECES, max_size=8).map("".join),
    st.lists(PIECES, max_size=5).map(lambda rest: "https://" + "".join(rest)),
    st.text(max_size=40).map(lambda rest: "http://" + rest),
)


@settings(max_examples=600)
@given(URLS)
@example("https://example.com:443@evil.test/")
@example("http://a.b\\@c/")
def test_a_host_is_told_only_if_both_parsers_agree_on_it(url: str) -> None:
    parts = read_url(url)
    if isinstance(parts, str):
        return
    scheme, host, port, path = parts
    whatwg = ada_url.URL(url)
    stdlib = urlsplit(url)
    assert whatwg.protocol == f"{scheme}:"
    assert stdlib.scheme == scheme
    assert whatwg.username == whatwg.password == ""
    assert stdlib.username is stdlib.password is None
    assert parse_host(whatwg.hostname.lower()) == host
    if url.isascii():
        assert parse_host((stdlib.hostname or "").lower()) == host
    if port is not None:
        assert stdlib.port == int(port)
    assert (stdlib.path or "/") == path


@settings(max_examples=300)
@given(URLS)
def test_no_rule_for_a_host_opens_for_another(url: str) -> None:
    if condition(hosts="example.com").judge(url) is True:
        assert urlsplit(url).hostname == "example.com"
    if condition(hosts="*.example.com").judge(url) is True:
        assert (urlsplit(url).hostname or "").endswith(".example.com")


@given(st.ip_addresses())
@example(ipaddress.ip_address("::ffff:127.0.0.1"))
@example(ipaddress.ip_address("64:ff9b::a9fe:a9fe"))
def test_no_address_the_standard_library_calls_private_is_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    truth = condition(private=False).judge(f"http://{host}/")
    assert truth is not None or address.version == 6
    real = getattr(address, "ipv4_mapped", None) or address  # it calls every mapped address reserved
    odd = real.is_loopback or real.is_link_local or real.is_multicast or real.is_reserved or real.is_unspecified
    if odd or real.is_private:
        assert truth is not True
        assert condition(private=True).judge(f"http://{host}/") is not False


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_an_ipv6_address_is_judged_like_itself(address: ipaddress.IPv4Address) -> None:
    private = is_private(address)
    assert is_private(ipaddress.ip_address(f"::ffff:{address}")) is private
    for inside in (f"64:ff9b::{address}", f"2002:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}::1"):
        assert is_private(ipaddress.ip_address(inside)) is (True if private else None)


def test_without_schemes_only_web_schemes_are_judged() -> None:
    test = condition(hosts="example.com")
    assert [test.judge(f"{scheme}://example.com/") for scheme in ("http", "https", "ws", "wss", "ftp")] == [True] * 5
    assert [test.judge(f"{scheme}://example.com/") for scheme in ("javascript", "file", "ssh", "x")] == [None] * 4
    assert condition(schemes=["ssh"], hosts="example.com").judge("ssh://example.com/x") is True


def test_a_port_that_depends_on_an_unknown_scheme_is_undecided() -> None:
    assert condition(schemes="foo", ports=80).judge("foo://example.com/") is None
    assert condition(schemes="foo", ports=80).judge("foo://example.com:80/") is True
    assert condition(schemes="https", ports=443).judge("https://example.com/") is True
    assert condition(schemes="http", ports=443).judge("http://example.com/") is False


def test_a_false_part_decides_even_where_another_is_undecided() -> None:
    test = condition(schemes="https", hosts="example.com")
    assert test.judge("http://example.com./") is False
    assert test.judge("https://example.com./") is None


def test_addresses_are_listed_as_addresses() -> None:
    test = condition(hosts=["::1", "[2606:4700::1111]", "10.0.0.1"])
    assert test.judge("http://[0:0::1]/") is True
    assert test.judge("http://[2606:4700:0::1111]/") is True
    assert test.judge("http://[::ffff:10.0.0.1]/") is None
    assert test.judge("http://10.0.0.2/") is False


def test_why_names_what_decided() -> None:
    assert condition(schemes="https").why("http://x.example/") == "the scheme is not listed (http)"
    assert condition(hosts="a.example").why("http://b.example/secret?token=1") == "the host is not listed (b.example)"
    assert condition(private=False).why("http://10.0.0.1/") == "the host is private (10.0.0.1)"
    assert condition(hosts="a.example").why("http://u:p@a.example/") == "it is not a plain scheme://host:port/path"
