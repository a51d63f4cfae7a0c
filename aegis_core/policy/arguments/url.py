"""``param_url``: which machine a URL leads to, and where on it.

Two readings must agree: a grammar of plain URLs, ``scheme://host:port/path``, and the WHATWG parser. What only one of
them understands (userinfo, backslashes, white space, decimal IP addresses, percent signs in the host) is undecided.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, model_validator

from aegis_core.policy.arguments.addresses import inner_ipv4, is_private_address, is_private_name
from aegis_core.policy.arguments.verdict import (
    ArgumentSpec,
    ArgumentTest,
    Globs,
    MissingExtra,
    Patterns,
    Verdict,
    listed,
)
from aegis_core.policy.names import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["UrlCondition", "UrlSpec"]

# A host name every parser leaves as it is, case aside; the last label of a name does not begin with a digit, or it
# may be an address.
_NAME = r"(?:[A-Za-z0-9_][A-Za-z0-9_\-]*+\.)*+[A-Za-z][A-Za-z0-9\-]*+"
_URL = re.compile(
    rf"""
    ([A-Za-z][A-Za-z0-9+.\-]*+)://
    (?:({_NAME})(?![^:/?\#])|([^/?\#@:\[\]%\\\ ]++|\[[0-9A-Fa-f:.]++\]))
    (?::([0-9]{{1,5}}+))?
    (/[^?\#\\\ ]*+)?
    (?:\?[^\#\\\ ]*+)?(?:\#[^\\\ ]*+)?
    """,
    re.VERBOSE,
)
_PLAIN_NAME = re.compile(_NAME)
_LISTED_NAME = re.compile(rf"\*|(?:\*\.)?{_NAME}")
_DEFAULT_PORTS = {"ftp": 21, "http": 80, "https": 443, "ws": 80, "wss": 443}
_UNSETTLED_PATH = re.compile(r"//|/\.|\\|;|%(?!20|[89A-Fa-f][0-9A-Fa-f])|%20(?=/|\Z)")
_LOOPBACK = ("localhost", IPv4Address("127.0.0.1"), IPv6Address("::1"))

Host = str | IPv4Address | IPv6Address


def _hosts(value: object) -> object:
    hosts = tuple(host.lower() for host in listed(value))
    for host in hosts:
        if not isinstance(_address(host), IPv4Address | IPv6Address) and not _LISTED_NAME.fullmatch(host):
            raise ValueError(
                f"{host!r} is not a host; write 'example.com', '*.example.com' for those below it, '*' or an IP "
                "address, without scheme, port or path, and in its xn-- form where it is not ASCII"
            )
    return hosts


def _schemes(value: object) -> object:
    schemes = tuple(scheme.lower() for scheme in listed(value))
    for scheme in schemes:
        if not re.fullmatch(r"[a-z][a-z0-9+.\-]*", scheme):
            raise ValueError(f"{scheme!r} is not a scheme; write 'https', without ':' or '//'")
    return schemes


def _ports(value: object) -> object:
    ports = [value] if isinstance(value, int) else value
    if not isinstance(ports, list | tuple) or not ports:
        raise ValueError(f"must be a port or a non-empty list of ports, got {value!r}")
    for port in ports:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
            raise ValueError(f"{port!r} is not a port; write a number from 0 to 65535")
    return tuple(ports)


_Texts = str | list[str]


class UrlSpec(ArgumentSpec):
    """What a URL must satisfy: all that is given here. Its query and fragment are not judged."""

    schemes: Annotated[tuple[str, ...], BeforeValidator(_schemes, json_schema_input_type=_Texts)] | None = Field(
        None, description="Schemes, e.g. https. Without them, one that is not http, https, ws, wss or ftp is undecided."
    )
    hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts, json_schema_input_type=_Texts)] | None = Field(
        None,
        description=(
            "Hosts, in any case: 'example.com' is that host alone, '*.example.com' every host below it and not "
            "itself, '*' any. IP addresses are compared as addresses."
        ),
    )
    ports: Annotated[tuple[int, ...], BeforeValidator(_ports, json_schema_input_type=int | list[int])] | None = Field(
        None, description="Ports; a URL without one has its scheme's."
    )
    paths: Globs | None = Field(
        None,
        description=(
            "Globs of which the path must match one; '*' also matches '/'. A path that servers read differently "
            "('..' or empty segments, ';', encoded ASCII characters) is undecided."
        ),
    )
    private: bool | None = Field(
        None,
        description=(
            "false: the host must be public. true: it must not be: a loopback, private, link-local, multicast or "
            "reserved address, or a name like localhost or *.internal. Public names are not resolved, so one that "
            "resolves to a private address passes as public."
        ),
    )

    @model_validator(mode="after")
    def _something(self) -> UrlSpec:
        if not any(getattr(self, key) is not None for key in type(self).model_fields):
            raise ValueError("asks nothing of the URL; name 'schemes', 'hosts', 'ports', 'paths' or 'private'")
        return self


class UrlCondition(ArgumentTest):
    """A compiled `UrlSpec`.

    Raises:
        MissingExtra: If ada-url is not installed.
    """

    __slots__ = ("_ada", "_any_host", "_checks", "_hosts", "_parents", "_paths", "_ports", "_private", "_schemes")

    limit = 8192

    def __init__(self, spec: UrlSpec) -> None:
        try:
            from ada_url import URL  # noqa: PLC0415 - a C++ parser, loaded when a policy first uses it
        except ImportError:
            raise MissingExtra("param_url", "url") from None
        self._ada = URL
        hosts = spec.hosts or ()
        self._hosts = frozenset(_address(host) for host in hosts)
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
            check for key, check in checks.items() if key == "schemes" or getattr(spec, key) is not None
        )

    def _look(self, value: str) -> Verdict:
        found = _URL.fullmatch(value)
        if found is None or not value.isprintable():
            return None, "it is not a plain scheme://host:port/path", ""
        scheme, name, other, port, path = found.groups()
        host = self._agreed(value, name, other)
        if host is None:
            return None, "its host can be read in more than one way", name or other
        scheme = scheme.lower()
        doubt: Verdict | None = None
        verdict: Verdict = (True, "", "")
        for check in self._checks:
            verdict = check(scheme, host, port, path)
            if verdict[0] is False:
                return verdict
            if verdict[0] is None and doubt is None:
                doubt = verdict
        return doubt or verdict

    def _agreed(self, url: str, name: str | None, other: str) -> Host | None:
        """The host as everyone reads it, or None."""
        if name is not None:
            return name.lower() if self._ada.can_parse(url) else None
        try:
            parsed = self._ada(url).hostname
        except ValueError:
            return None
        if not other.isascii():
            return parsed if _settled(other, parsed) else None
        host = _address(other.lower())
        if isinstance(host, str) and not (host.endswith(".") and _PLAIN_NAME.fullmatch(host[:-1])):
            return None
        return host if _address(parsed) == host else None

    def _scheme(self, scheme: str, _host: Host, _port: str | None, _path: str | None) -> Verdict:
        if scheme in self._schemes:
            return True, "the scheme is listed", scheme
        if not self._schemes:
            return True if scheme in _DEFAULT_PORTS else None, "the policy names no schemes", scheme
        return False, "the scheme is not listed", scheme

    def _host(self, _scheme: str, host: Host, _port: str | None, _path: str | None) -> Verdict:
        if self._listed(host):
            return True, "the host is listed", str(host)
        if any(self._listed(other) for other in _also_known_as(host)):
            return None, "the host is another spelling of a listed one", str(host)
        return False, "the host is not listed", str(host)

    def _listed(self, host: Host) -> bool:
        return host in self._hosts or self._any_host or (isinstance(host, str) and host.endswith(self._parents))

    def _port(self, scheme: str, _host: Host, written: str | None, _path: str | None) -> Verdict:
        port = int(written) if written else _DEFAULT_PORTS.get(scheme)
        if port is None:
            return None, "the port depends on the scheme, whose default is not known", scheme
        if port in self._ports:
            return True, "the port is listed", str(port)
        return False, "the port is not listed", str(port)

    def _reach(self, _scheme: str, host: Host, _port: str | None, _path: str | None) -> Verdict:
        private = is_private_name(host.rstrip(".")) if isinstance(host, str) else is_private_address(host)
        if private is None:
            return None, "whether the host is private depends on who resolves it", str(host)
        return private is self._private, "the host is private" if private else "the host is public", str(host)

    def _path(self, _scheme: str, _host: Host, _port: str | None, written: str | None) -> Verdict:
        path = written or "/"
        if _UNSETTLED_PATH.search(path):
            return None, "the path has segments or encoded characters that servers read differently", ""
        truth = self._paths.match(path)
        if truth is False and path.endswith("/") and self._paths.match(path.rstrip("/")) is not False:
            truth = None
        if truth is None:
            return None, "the path matches only if case, look-alike characters or a final slash do not count", ""
        return truth, "the path matches" if truth else "the path does not match", ""


def _address(host: str) -> Host:
    """An IP address as such, a name as it is."""
    if host[-1:] not in "0123456789abcdef:]" or not (host[0].isdigit() or ":" in host):
        return host
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return host


def _settled(written: str, parsed: str) -> bool:
    """Whether everyone turns an international name into the same ASCII form: nothing mapped, no mixed scripts."""
    from ada_url import idna_to_unicode  # noqa: PLC0415 - loaded by now

    # IDNA 2003 and 2008 disagree about these four characters.
    if refusal(written) or any(character in written for character in "\u00df\u03c2\u200c\u200d"):
        return False
    return idna_to_unicode(parsed.encode()) == written


def _also_known_as(host: Host) -> tuple[Host, ...]:
    """Other names for the same machine that a policy may have listed instead."""
    if isinstance(host, str):
        name = host.rstrip(".")
        others: tuple[Host, ...] = (name,) if name != host else ()
        return (*others, *_LOOPBACK) if name.rpartition(".")[2] == "localhost" else others
    inner = inner_ipv4(host) if isinstance(host, IPv6Address) else None
    loopback = any(address.is_loopback or address.is_unspecified for address in (host, inner) if address is not None)
    return (*((inner,) if inner is not None else ()), *(_LOOPBACK if loopback else ()))
