"""param_email against the standard library's parsers."""

from __future__ import annotations

from email.headerregistry import AddressHeader
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from aegis_core.policy.arguments import EmailCondition, EmailSpec
from aegis_core.policy.reading import read


def condition(**spec: Any) -> EmailCondition:
    return EmailCondition(read(EmailSpec, spec))


PIECES = st.sampled_from(
    [
        *(
            "bob@good.test",
            "mal@evil.test",
            "bob",
            "good.test",
            "evil.test",
            "@",
            "<",
            ">",
            '"',
            "'",
            "\\",
            "(",
            ")",
            ",",
            ";",
            ":",
        ),
        *(
            " ",
            "  ",
            "\t",
            "\r\n",
            "\n ",
            "\0",
            "Bob",
            "Smith, Bob",
            "[",
            "]",
            "%",
            "!",
            "=?utf-8?q?x?=",
            "＠",
            "＜",
            "é",
            "+",
            ".",
        ),
    ]
)
VALUES = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=40)


def _recipients(value: str) -> set[str]:
    """Every address the modern parser of the standard library finds, in whatever it takes for a group or a list."""
    kwds: dict[str, Any] = {}
    try:
        AddressHeader.parse(value, kwds)
    except Exception:  # noqa: BLE001 - it has bugs of its own at hostile text
        return set()
    return {address.addr_spec for group in kwds["groups"] for address in group.addresses}


@settings(max_examples=500)
@given(VALUES)
@example('"bob@good.test" <mal@evil.test>')
@example("bob@good.test <mal@evil.test>")
@example("bob@good.test,mal@evil.test")
def test_a_rule_opens_only_if_another_parser_finds_the_same_recipients(value: str) -> None:
    if condition(domains="good.test").judge(value) is True:
        found = _recipients(value)
        assert found
        assert all(address.lower().endswith("@good.test") for address in found)


@settings(max_examples=500)
@given(VALUES)
def test_a_forbidden_recipient_another_parser_finds_is_never_overlooked(value: str) -> None:
    if condition(domains="evil.test").judge(value) is False:
        assert not any(address.lower().endswith("@evil.test") for address in _recipients(value))


@given(st.lists(st.emails(), min_size=1, max_size=4))
def test_listed_addresses_are_found_in_any_list_of_them(addresses: list[str]) -> None:
    assert condition(domains="good.test").judge(", ".join(addresses)) is not True


def test_a_domain_or_an_address_is_enough() -> None:
    test = condition(domains=["good.test"], addresses=["ann@other.test"])
    assert test.judge("bob@good.test, ann@other.test") is True
    assert test.judge("bob@other.test") is False
    assert test.judge("ann@other.test, bob@other.test") is None


def test_the_domain_of_a_listed_address_is_compared_in_any_case_and_its_name_as_written() -> None:
    test = condition(addresses="Ann@Other.Test")
    assert test.judge("Ann@OTHER.test") is True
    assert test.judge("ann@other.test") is None
    assert test.judge("Ann+x@other.test") is None
    assert test.judge("Anna@other.test") is False


def test_why_names_the_domain_and_not_the_person() -> None:
    assert condition(domains="good.test").why("a.very.private.person@evil.test") == "no address belongs (evil.test)"
