"""``param_email``: who would receive a message.

A value is read by a grammar of its own that holds only what every mail program reads alike (``a@b.com, Bob
<bob@b.com>``), and the standard library must read the same addresses. What else RFC 5322 allows (comments, groups,
quoted local parts, routes, encoded words) is undecided.
"""

from __future__ import annotations

import re
import unicodedata
from email.utils import getaddresses
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from aegis_core.policy.arguments.verdict import ArgumentSpec, ArgumentTest, Verdict, listed
from aegis_core.policy.conditions.truth import all_of

__all__ = ["EmailCondition", "EmailSpec"]

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


def _domains(value: object) -> object:
    domains = tuple(domain.lower() for domain in listed(value))
    for domain in domains:
        if not _LISTED_DOMAIN.fullmatch(domain):
            raise ValueError(
                f"{domain!r} is not a domain; write 'example.com', or '*.example.com' for those below it (xn-- where "
                "not ASCII)"
            )
    return domains


def _addresses(value: object) -> object:
    addresses = listed(value)
    for address in addresses:
        if not _ADDRESS.fullmatch(address):
            raise ValueError(f"{address!r} is not a plain address; write 'name@example.com'")
    return addresses


class EmailSpec(ArgumentSpec):
    """Where every address in a value must belong."""

    domains: Annotated[tuple[str, ...], BeforeValidator(_domains, json_schema_input_type=str | list[str])] | None = (
        Field(
            None,
            description=(
                "Domains, in any case: 'example.com' is that domain alone, '*.example.com' every domain below it and "
                "not itself. An address belongs if its domain or the whole address is listed."
            ),
        )
    )
    addresses: (
        Annotated[tuple[str, ...], BeforeValidator(_addresses, json_schema_input_type=str | list[str])] | None
    ) = Field(
        None,
        description=(
            "Whole addresses. The part before the @ must be written the same; one that differs only in case, dots or "
            "a +tag is undecided."
        ),
    )

    @model_validator(mode="after")
    def _something(self) -> EmailSpec:
        if self.domains is None and self.addresses is None:
            raise ValueError("asks nothing of the addresses; name 'domains', 'addresses' or both")
        return self


class EmailCondition(ArgumentTest):
    """A compiled `EmailSpec`."""

    __slots__ = ("_addresses", "_domains", "_folded", "_parents")

    limit = 8192

    def __init__(self, spec: EmailSpec) -> None:
        domains = spec.domains or ()
        self._domains = frozenset(domain for domain in domains if not domain.startswith("*"))
        self._parents = tuple(domain[1:] for domain in domains if domain.startswith("*"))
        self._addresses = frozenset(_with_domain_lowered(address) for address in spec.addresses or ())
        self._folded = frozenset(_mailbox(address) for address in self._addresses)

    def _look(self, value: str) -> Verdict:
        if not value.isprintable():
            return None, "it has a control or invisible character, or a line break", ""
        if not value.isascii():
            normal = unicodedata.normalize("NFKC", value)
            if any(normal.count(character) != value.count(character) for character in _MEANINGFUL):
                return None, "it has a look-alike of a character that means something in an address", ""
        addresses = _read(value)
        if addresses is None:
            return None, "it is not a plain list of addresses such as 'a@b.com, Bob <bob@b.com>'", ""
        if [address for _, address in getaddresses([value])] != addresses:
            return None, "the standard library reads other addresses in it", ""
        truths = [self._belongs(_with_domain_lowered(address)) for address in addresses]
        truth = all_of(truths)
        if truth:
            return True, "every address belongs", ""
        first = addresses[truths.index(False) if False in truths else truths.index(None)].rpartition("@")[2]
        if truth is False:
            return False, "no address belongs", first
        return (
            None,
            "some addresses belong and others do not"
            if False in truths
            else "an address differs from a listed one only in spelling",
            first,
        )

    def _belongs(self, address: str) -> bool | None:
        domain = address.rpartition("@")[2]
        if domain in self._domains or domain.endswith(self._parents) or address in self._addresses:
            return True
        return None if _mailbox(address) in self._folded else False


def _read(value: str) -> list[str] | None:
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


def _with_domain_lowered(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


def _mailbox(address: str) -> str:
    """What many providers make of an address: no case, no dots, no +tag."""
    local, _, domain = address.casefold().rpartition("@")
    return f"{local.partition('+')[0].replace('.', '')}@{domain}"
