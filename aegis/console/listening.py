"""Where the console may listen, and by which names it may be called."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["SHORTEST_TOKEN", "Address", "Names", "names_for", "parse_address"]

SHORTEST_TOKEN = 16
"""Characters that a standing token must have."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on; port 0 is any free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False  # a name may lead anywhere, and elsewhere tomorrow

    @property
    def is_everywhere(self) -> bool:
        """Whether it stands for every address of this machine."""
        return self.host in ("", "0.0.0.0", "::")  # noqa: S104 - recognised, to ask for more


def parse_address(text: str) -> Address:
    """``HOST:PORT``, ``[::1]:8000`` or a port alone.

    Raises:
        ValueError: It is none of them.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        host = "127.0.0.1"
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError(f"must be HOST:PORT, such as 127.0.0.1:8787, got {text!r}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"an IPv6 address stands in brackets, such as [::1]:8787, got {text!r}")
    return Address(host, int(port))


@dataclass(frozen=True, slots=True)
class Names:
    """By what the console may be called.

    Attributes:
        hosts: Values of the Host header that are answered; any other is somebody who made a name of theirs lead here.
        origins: Values of the Origin header from which something may be changed.
        url: Where people find it.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    url: str

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach it over TLS."""
        return self.url.startswith("https:")


def names_for(address: Address, origin: str | None) -> Names:
    """The names of a console that listens at an address (with its real port).

    Args:
        address: Where it listens.
        origin: The URL people open, if it is another one: ``https://aegis.example.com``, behind a proxy.

    Raises:
        ValueError: The origin is no such URL.
    """
    own = [address.host] if not address.is_everywhere else []
    if address.is_loopback:
        own = [*own, *(name for name in ("127.0.0.1", "localhost", "::1") if name not in own)]
    hosts = [f"[{host}]" if ":" in host else host for host in own]
    port = "" if address.port == 80 else f":{address.port}"  # as browsers write it
    urls = [f"http://{host}{port}" for host in hosts]
    if origin is not None:
        urls.insert(0, _origin(origin))
    return Names(frozenset(url.partition("://")[2] for url in urls), frozenset(urls), urls[0])


def _origin(text: str) -> str:
    try:
        url = urlsplit(text.rstrip("/"))
        port = url.port
    except ValueError:
        url, port = urlsplit(""), None
    if url.scheme not in ("http", "https") or not url.hostname or url.path or url.query or url.username:
        raise ValueError(f"must be a URL without a path, such as https://aegis.example.com, got {text!r}")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname.lower()
    usual = {"http": 80, "https": 443}[url.scheme]
    return f"{url.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")
