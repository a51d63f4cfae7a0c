"""Findings that compare rules with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis.workbench.reach import reach_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis.workbench.findings import Finding
    from aegis.workbench.source import Source

__all__ = ["check_rules"]


def check_rules(source: Source) -> Iterator[Finding]:
    """Look for rules that say the same, and for rules that no call ever gets to."""
    first: dict[object, int] = {}
    for number, rule in enumerate(source.rules):
        meaning = (reach_of(rule.document.match), rule.document.conditions, rule.approval, rule.risk_level)
        twin = first.setdefault(_hashable(meaning), number)
        if twin != number:
            other = source.rules[twin].document.name
            yield source.finding(
                "AEG003", f"rule {rule.document.name!r} says the same as rule {other!r} above it", "rules", number
            )


def _hashable(meaning: tuple[object, ...]) -> object:
    return repr(meaning)
