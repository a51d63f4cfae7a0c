"""Hosts: names and addresses, which of them are one machine, and which lead inside a network.

The networks are written out because `ipaddress.is_private` and its kin answer differently from one Python to the
next: 3.11 does not know that ``::ffff:127.0.0.1`` is loopback. Sources: the IANA special-purpose registries for IPv4
and IPv6.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["NAME", "Host", "also_known_as", "is_listable", "is_private", "parse_host"]

Host = str | IPv4Address | IPv6Address

# A name every parser leaves as it is, case aside; its last label does not begin with a digit, or it may be an address.
NAME = r"(?:[A-Za-z0-9_][A-Za-z0-9_\-]*+\.)*+[A-Za-z][A-Za-z0-9\-]*+"
_LISTABLE = re.compile(rf"\*|(?:\*\.)?{NAME}")
_LOOPBACK = ("localhost", IPv4Address("127.0.0.1"), IPv6Address("::1"))

_PRIVATE_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and the metadata service of one cloud
        "127.0.0.0/8",
        "168.63.129.16/32",  # the metadata service of another, on a public-looking address
        "169.254.0.0/16",  # link-local, and the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation, and so are 198.51.100 and 203.0.113
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_PRIVATE_V6 = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_MAPPED = IPv6Network("::ffff:0:0/96")
# Addresses that a translator or a tunnel turns into the IPv4 address inside, by how far that is shifted up.
_TRANSLATED = ((IPv6Network("::/96"), 0), (IPv6Network("64:ff9b::/96"), 0), (IPv6Network("2002::/16"), 80))

_PRIVATE_ZONES = frozenset(
    ("corp", "docker", "home", "internal", "intranet", "lan", "local", "localdomain", "localhost", "private", "svc")
)
_UNCERTAIN_ZONES = frozenset(("alt", "invalid", "onion", "test"))
# Public services whose names resolve to whatever address is written in them, or to loopback.
_ECHOING = (
    ".nip.io",
    ".sslip.io",
    ".xip.io",
    ".traefik.me",
    ".localtest.me",
    ".lvh.me",
    ".vcap.me",
    ".lacolhost.com",
    ".rbndr.us",
)


def parse_host(host: str) -> Host:
    """An IP address (a bracketed one, too) as such, a name as it is."""
    if host[-1:] not in "0123456789abcdef:]" or not (host[0].isdigit() or ":" in host):
        return host
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return host


def is_listable(host: str) -> bool:
    """Whether a policy may list it: a name, the names below one (``*.example.com``), ``*``, or an address."""
    return not isinstance(parse_host(host), str) or _LISTABLE.fullmatch(host) is not None


def also_known_as(host: Host) -> tuple[Host, ...]:
    """Other ways to write the same machine that a policy may have listed instead."""
    if isinstance(host, str):
        name = host.rstrip(".")
        others: tuple[Host, ...] = (name,) if name != host else ()
        return (*others, *_LOOPBACK) if name.rpartition(".")[2] == "localhost" else others
    inner = _inner_ipv4(host) if isinstance(host, IPv6Address) else None
    addresses = (host,) if inner is None else (host, inner)
    loopback = any(address.is_loopback or address.is_unspecified for address in addresses)
    return (*addresses[1:], *(_LOOPBACK if loopback else ()))


def is_private(host: Host) -> bool | None:
    """Whether a host is not a public one; None if that depends on who resolves or translates it.

    What a public name resolves to is not looked at: it can change between judging and use.
    """
    if isinstance(host, str):
        return _is_private_name(host.rstrip("."))
    if isinstance(host, IPv4Address):
        return any(host in network for network in _PRIVATE_V4)
    if host in _MAPPED:
        return is_private(IPv4Address(int(host) & 0xFFFFFFFF))
    inner = _inner_ipv4(host)
    if inner is not None:
        return True if int(host) < 2 or is_private(inner) else None
    return host not in _GLOBAL_V6 or any(host in network for network in _PRIVATE_V6)


def _is_private_name(name: str) -> bool | None:
    zone = name.rpartition(".")[2]
    if zone in _PRIVATE_ZONES or name.endswith(".home.arpa"):
        return True
    if zone == name or zone in _UNCERTAIN_ZONES or f".{name}".endswith(_ECHOING):
        return None
    return False


def _inner_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a mapped, compatible, NAT64 or 6to4 address holds."""
    for network, shift in ((_MAPPED, 0), *_TRANSLATED):
        if address in network:
            return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return None
