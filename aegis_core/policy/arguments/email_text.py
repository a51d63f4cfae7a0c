"""Plain lists of e-mail addresses: what every mail program reads alike, ``a@b.com, Bob <bob@b.com>``."""

from __future__ import annotations

import re
import unicodedata
from email.utils import getaddresses

__all__ = ["is_address", "is_domain", "read_addresses"]

_LOCAL = r"(?!')[A-Za-z0-9_+\-']++(?<!')(?:\.(?!')[A-Za-z0-9_+\-']++(?<!'))*+"
_DOMAIN = r"(?!-)[A-Za-z0-9\-]++(?<!-)(?:\.(?!-)[A-Za-z0-9\-]++(?<!-))*+"
_ADDRESS = re.compile(rf"{_LOCAL}@{_DOMAIN}")
_ENTRY = re.compile(
    rf"""
    \ *+ (?: (?: "[^"\\]*+"\ *+ | [^"\\<>()\[\]:;@,]*+ ) <({_LOCAL}@{_DOMAIN})> | ({_LOCAL}@{_DOMAIN}) )
    \ *+ (?: ,(?!\ *+\Z) | \Z )
    """,
    re.VERBOSE,
)
_LISTED_DOMAIN = re.compile(rf"(?:\*\.)?{_DOMAIN}")
_MEANINGFUL = '<>@,;:"\\().'


def is_address(text: str) -> bool:
    """Whether a policy may list it as an address."""
    return _ADDRESS.fullmatch(text) is not None


def is_domain(text: str) -> bool:
    """Whether a policy may list it as a domain, or as those below one (``*.example.com``)."""
    return _LISTED_DOMAIN.fullmatch(text) is not None


def read_addresses(value: str) -> tuple[list[str], str | None]:
    """The addresses in a value, or why they cannot be told."""
    if not value.isprintable():
        return [], "it has a control or invisible character, or a line break"
    if not value.isascii():
        normal = unicodedata.normalize("NFKC", value)
        if any(normal.count(character) != value.count(character) for character in _MEANINGFUL):
            return [], "it has a look-alike of a character that means something in an address"
    addresses = _plain_list(value)
    if not addresses:
        return [], "it is not a plain list of addresses such as 'a@b.com, Bob <bob@b.com>'"
    if [address for _, address in getaddresses([value])] != addresses:
        return [], "the standard library reads other addresses in it"
    return addresses, None


def _plain_list(value: str) -> list[str] | None:
    """The addresses of a plain list, or None if it is anything else."""
    if "=?" in value:  # an encoded word, which may decode to an address
        return None
    addresses: list[str] = []
    position = 0
    while position < len(value) or not addresses:
        entry = _ENTRY.match(value, position)
        if entry is None:
            return None
        addresses.append(entry[1] or entry[2])
        position = entry.end()
    return addresses
