"""Which network addresses and host names lead inside: to this machine, its network or the cloud it runs in.

The networks are written out because `ipaddress.is_private` and its kin answer differently from one Python to the
next: 3.11 does not know that ``::ffff:127.0.0.1`` is loopback. Sources: the IANA special-purpose registries for IPv4
and IPv6.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

__all__ = ["inner_ipv4", "is_private_address", "is_private_name"]

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


def is_private_address(address: IPv4Address | IPv6Address) -> bool | None:
    """Whether an address is not a public one; None if a translator may turn it into another."""
    if isinstance(address, IPv4Address):
        return any(address in network for network in _PRIVATE_V4)
    if address in _MAPPED:
        return is_private_address(IPv4Address(int(address) & 0xFFFFFFFF))
    inner = inner_ipv4(address)
    if inner is not None:
        return True if int(address) < 2 or is_private_address(inner) else None
    return address not in _GLOBAL_V6 or any(address in network for network in _PRIVATE_V6)


def inner_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address a mapped, compatible, NAT64 or 6to4 address holds."""
    for network, shift in ((_MAPPED, 0), *_TRANSLATED):
        if address in network:
            return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return None


def is_private_name(name: str) -> bool | None:
    """Whether a lower-case host name is one that never leaves the network; None if that depends on who resolves it.

    What a public name resolves to is not looked at: it can change between judging and use.
    """
    zone = name.rpartition(".")[2]
    if zone in _PRIVATE_ZONES or name.endswith(".home.arpa"):
        return True
    if zone == name or zone in _UNCERTAIN_ZONES or f".{name}".endswith(_ECHOING):
        return None
    return False
