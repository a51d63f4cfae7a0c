"""``param_email``: who would receive a message.

A value is read by a grammar of its own that holds only what every mail program reads alike (``a@b.com, Bob
<bob@b.com>``), and the standard library must read the same addresses. What else RFC 5322 allows (comments, groups,
quoted local parts, routes, encoded words) is undecided.
"""

from __future__ import annotations

from aegis_core.policy.arguments.verdict import ArgumentTest, Verdict, words, words_read_by
from aegis_core.policy.conditions.truth import all_of
from aegis_core.policy.reading import Document, key

__all__ = ["EmailCondition", "EmailSpec"]


def _domains(value: object) -> tuple[str, ...]:
    from aegis_core.policy.arguments.email_text import is_domain  # noqa: PLC0415 - patterns, compiled on use

    domains = tuple(domain.lower() for domain in words(value))
    for domain in domains:
        if not is_domain(domain):
            raise ValueError(
                f"{domain!r} is not a domain; write 'example.com', or '*.example.com' for those below it (xn-- where "
                "not ASCII)"
            )
    return domains


def _addresses(value: object) -> tuple[str, ...]:
    from aegis_core.policy.arguments.email_text import is_address  # noqa: PLC0415 - patterns, compiled on use

    addresses = words(value)
    for address in addresses:
        if not is_address(address):
            raise ValueError(f"{address!r} is not a plain address; write 'name@example.com'")
    return addresses


class EmailSpec(Document):
    """Where every address in a value must belong."""

    domains: tuple[str, ...] | None = key(
        words_read_by(_domains),
        "Domains, in any case: 'example.com' is that domain alone, '*.example.com' every domain below it and not "
        "itself. An address belongs if its domain or the whole address is listed.",
        default=None,
    )
    addresses: tuple[str, ...] | None = key(
        words_read_by(_addresses),
        "Whole addresses. The part before the @ must be written the same; one that differs only in case, dots or a "
        "+tag is undecided.",
        default=None,
    )

    def check_whole(self) -> None:
        """Something must be asked of the addresses."""
        if self.domains is None and self.addresses is None:
            raise ValueError("asks nothing of the addresses; name 'domains', 'addresses' or both")


class EmailCondition(ArgumentTest):
    """A compiled `EmailSpec`."""

    __slots__ = ("_addresses", "_domains", "_folded", "_parents", "_read")

    limit = 8192

    def __init__(self, spec: EmailSpec) -> None:
        from aegis_core.policy.arguments.email_text import read_addresses  # noqa: PLC0415 - patterns, compiled on use

        self._read = read_addresses
        domains = spec.domains or ()
        self._domains = frozenset(domain for domain in domains if not domain.startswith("*"))
        self._parents = tuple(domain[1:] for domain in domains if domain.startswith("*"))
        self._addresses = frozenset(_with_domain_lowered(address) for address in spec.addresses or ())
        self._folded = frozenset(_mailbox(address) for address in self._addresses)

    def _look(self, value: str) -> Verdict:
        addresses, problem = self._read(value)
        if problem is not None:
            return None, problem, ""
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


def _with_domain_lowered(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


def _mailbox(address: str) -> str:
    """What many providers make of an address: no case, no dots, no +tag."""
    local, _, domain = address.casefold().rpartition("@")
    return f"{local.partition('+')[0].replace('.', '')}@{domain}"
