"""Plain URLs, ``scheme://host:port/path``, as this grammar and the WHATWG parser both read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ada_url import URL, idna_to_unicode

from aegis_core.policy.arguments.url_hosts import NAME, parse_host
from aegis_core.policy.names import refusal

if TYPE_CHECKING:
    from aegis_core.policy.arguments.url_hosts import Host

__all__ = ["is_settled_path", "read_url"]

_URL = re.compile(
    rf"""
    ([A-Za-z][A-Za-z0-9+.\-]*+)://
    (?:({NAME})(?![^:/?\#])|([^/?\#@:\[\]%\\\ ]++|\[[0-9A-Fa-f:.]++\]))
    (?::([0-9]{{1,5}}+))?
    (/[^?\#\\\ ]*+)?
    (?:\?[^\#\\\ ]*+)?(?:\#[^\\\ ]*+)?
    """,
    re.VERBOSE,
)
_NAME = re.compile(NAME)
_UNSETTLED_PATH = re.compile(r"//|/\.|\\|;|%(?!20|[89A-Fa-f][0-9A-Fa-f])|%20(?=/|\Z)")
# IDNA 2003 and 2008 disagree about these four characters.
_DEVIATING = frozenset("\u00df\u03c2\u200c\u200d")


def read_url(url: str) -> tuple[str, Host, str | None, str] | str:
    """Scheme, host, port as written (or None) and path of a plain URL; or why it cannot be told."""
    found = _URL.fullmatch(url) if url.isprintable() else None
    if found is None:
        return "it is not a plain scheme://host:port/path"
    scheme, name, other, port, path = found.groups()
    host = (name.lower() if URL.can_parse(url) else None) if name is not None else _agreed_host(url, other)
    return "its host can be read in more than one way" if host is None else (scheme.lower(), host, port, path or "/")


def _agreed_host(url: str, written: str) -> Host | None:
    """The host of a URL where it is not a plain name, if the WHATWG parser reads the same."""
    try:
        parsed = URL(url).hostname
    except ValueError:
        return None
    if not written.isascii():
        return parsed if _is_settled_name(written, parsed) else None
    host = parse_host(written.lower())
    if isinstance(host, str) and not (host.endswith(".") and _NAME.fullmatch(host[:-1])):
        return None
    return host if parse_host(parsed) == host else None


def is_settled_path(path: str) -> bool:
    """Whether all servers take a path to mean the same."""
    return _UNSETTLED_PATH.search(path) is None


def _is_settled_name(written: str, parsed: str) -> bool:
    """Whether everyone turns an international name into the same ASCII form: nothing mapped, no mixed scripts."""
    return refusal(written) is None and _DEVIATING.isdisjoint(written) and idna_to_unicode(parsed.encode()) == written
