"""``param_url``: which machine a URL leads to, and where on it.

Two readings must agree: a grammar of plain URLs, ``scheme://host:port/path``, and the WHATWG parser. What only one of
them understands (userinfo, backslashes, white space, decimal IP addresses, percent signs in the host) is undecided.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aegis_core.policy.arguments.verdict import (
    GLOBS,
    ArgumentTest,
    MissingExtra,
    Patterns,
    Verdict,
    words,
    words_read_by,
)
from aegis_core.policy.readers import FLAG, one_or_more
from aegis_core.policy.reading import Document, given, key
from aegis_core.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_core.policy.arguments.url_hosts import Host

__all__ = ["UrlCondition", "UrlSpec"]

_DEFAULT_PORTS = {"ftp": 21, "http": 80, "https": 443, "ws": 80, "wss": 443}


def _hosts(value: object) -> tuple[str, ...]:
    from aegis_core.policy.arguments.url_hosts import is_listable  # noqa: PLC0415 - patterns, compiled on use

    hosts = tuple(host.lower() for host in words(value))
    for host in hosts:
        if not is_listable(host):
            raise ValueError(
                f"{host!r} is not a host; write 'example.com', '*.example.com' for those below it, '*' or an IP "
                "address, without scheme, port or path, and in its xn-- form where it is not ASCII"
            )
    return hosts


def _schemes(value: object) -> tuple[str, ...]:
    schemes = tuple(scheme.lower() for scheme in words(value))
    for scheme in schemes:
        if not re.fullmatch(r"[a-z][a-z0-9+.\-]*", scheme):
            raise ValueError(f"{scheme!r} is not a scheme; write 'https', without ':' or '//'")
    return schemes


def _ports(value: object) -> tuple[int, ...]:
    ports = [value] if isinstance(value, int) else value
    if not isinstance(ports, list | tuple) or not ports:
        raise ValueError(f"must be a port or a non-empty list of ports, got {shown(value)}")
    for port in ports:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
            raise ValueError(f"{shown(port)} is not a port; write a number from 0 to 65535")
    return tuple(ports)


_PORTS = one_or_more(_ports, {"type": "integer"})


class UrlSpec(Document):
    """What a URL must satisfy: all that is given here. Its query and fragment are not judged."""

    schemes: tuple[str, ...] | None = key(
        words_read_by(_schemes),
        "Schemes, e.g. https. Without them, one that is not http, https, ws, wss or ftp is undecided.",
        default=None,
    )
    hosts: tuple[str, ...] | None = key(
        words_read_by(_hosts),
        "Hosts, in any case: 'example.com' is that host alone, '*.example.com' every host below it and not itself, '*' "
        "any. IP addresses are compared as addresses.",
        default=None,
    )
    ports: tuple[int, ...] | None = key(_PORTS, "Ports; a URL without one has its scheme's.", default=None)
    paths: tuple[str, ...] | None = key(
        GLOBS,
        "Globs of which the path must match one; '*' also matches '/'. A path that servers read differently ('..' or "
        "empty segments, ';', encoded ASCII characters) is undecided.",
        default=None,
    )
    private: bool | None = key(
        FLAG,
        "false: the host must be public. true: it must not be: a loopback, private, link-local, multicast or reserved "
        "address, or a name like localhost or *.internal. Public names are not resolved, so one that resolves to a "
        "private address passes as public.",
        default=None,
    )

    def check_whole(self) -> None:
        """Something must be asked of the URL."""
        if not given(self):
            raise ValueError("asks nothing of the URL; name 'schemes', 'hosts', 'ports', 'paths' or 'private'")


class UrlCondition(ArgumentTest):
    """A compiled `UrlSpec`.

    Raises:
        MissingExtra: If ada-url is not installed.
    """

    __slots__ = (
        *("_also_known_as", "_any_host", "_checks", "_hosts", "_is_private", "_is_settled", "_parents", "_paths"),
        *("_ports", "_private", "_read", "_schemes"),
    )

    limit = 8192

    def __init__(self, spec: UrlSpec) -> None:
        try:  # The parser is C++, and loaded when a policy first uses it.
            from aegis_core.policy.arguments.url_text import is_settled_path, read_url  # noqa: PLC0415
        except ModuleNotFoundError:
            raise MissingExtra("param_url", "url") from None
        from aegis_core.policy.arguments.url_hosts import also_known_as, is_private, parse_host  # noqa: PLC0415

        self._read = read_url
        self._is_settled = is_settled_path
        self._also_known_as = also_known_as
        self._is_private = is_private
        hosts = spec.hosts or ()
        self._hosts = frozenset(parse_host(host) for host in hosts)
        self._parents = tuple(host[1:] for host in hosts if host.startswith("*."))
        self._any_host = "*" in hosts
        self._schemes = frozenset(spec.schemes or ())
        self._ports = frozenset(spec.ports or ())
        self._paths = Patterns(spec.paths or ())
        self._private = spec.private
        checks: dict[str, Callable[[str, Host, str | None, str], Verdict]] = {
            "schemes": self._scheme,
            "hosts": self._host,
            "ports": self._port,
            "private": self._reach,
            "paths": self._path,
        }
        # The scheme is always looked at: the host of a javascript: URL says nothing about where it leads.
        self._checks = tuple(
            check for name, check in checks.items() if name == "schemes" or getattr(spec, name) is not None
        )

    def _look(self, value: str) -> Verdict:
        parts = self._read(value)
        if isinstance(parts, str):
            return None, parts, ""
        scheme, host, port, path = parts
        doubt: Verdict | None = None
        verdict: Verdict = (True, "", "")
        for check in self._checks:
            verdict = check(scheme, host, port, path)
            if verdict[0] is False:
                return verdict
            if verdict[0] is None and doubt is None:
                doubt = verdict
        return doubt or verdict

    def _scheme(self, scheme: str, _host: Host, _port: str | None, _path: str) -> Verdict:
        if scheme in self._schemes:
            return True, "the scheme is listed", scheme
        if not self._schemes:
            return True if scheme in _DEFAULT_PORTS else None, "the policy names no schemes", scheme
        return False, "the scheme is not listed", scheme

    def _host(self, _scheme: str, host: Host, _port: str | None, _path: str) -> Verdict:
        if self._listed(host):
            return True, "the host is listed", str(host)
        if any(self._listed(other) for other in self._also_known_as(host)):
            return None, "the host is another spelling of a listed one", str(host)
        return False, "the host is not listed", str(host)

    def _listed(self, host: Host) -> bool:
        return host in self._hosts or self._any_host or (isinstance(host, str) and host.endswith(self._parents))

    def _port(self, scheme: str, _host: Host, written: str | None, _path: str) -> Verdict:
        port = int(written) if written else _DEFAULT_PORTS.get(scheme)
        if port is None:
            return None, "the port depends on the scheme, whose default is not known", scheme
        if port in self._ports:
            return True, "the port is listed", str(port)
        return False, "the port is not listed", str(port)

    def _reach(self, _scheme: str, host: Host, _port: str | None, _path: str) -> Verdict:
        private = self._is_private(host)
        if private is None:
            return None, "whether the host is private depends on who resolves it", str(host)
        return private is self._private, "the host is private" if private else "the host is public", str(host)

    def _path(self, _scheme: str, _host: Host, _port: str | None, path: str) -> Verdict:
        if not self._is_settled(path):
            return None, "the path has segments or encoded characters that servers read differently", ""
        truth = self._paths.match(path)
        if truth is False and path.endswith("/") and self._paths.match(path.rstrip("/")) is not False:
            truth = None
        if truth is None:
            return None, "the path matches only if case, look-alike characters or a final slash do not count", ""
        return truth, "the path matches" if truth else "the path does not match", ""
