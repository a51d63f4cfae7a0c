"""Findings that compare rules with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis.workbench.findings import Level
from aegis.workbench.reach import reach_of
from aegis.workbench.shadow import Shadows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis.workbench.findings import Finding
    from aegis.workbench.source import Source

__all__ = ["check_rules"]


def check_rules(source: Source) -> Iterator[Finding]:
    """Look for rules that say the same, rules that no call ever gets to, and rules that cannot hold."""
    shadows = Shadows(source.rules, source.policy.layers[0].trust)
    first: dict[str, int] = {}
    for number, rule in enumerate(source.rules):
        name = rule.document.name
        meaning = (reach_of(rule.document.match), rule.document.conditions, rule.approval, rule.risk_level)
        twin = first.setdefault(repr(meaning), number)
        if twin != number:
            message = f"rule {name!r} says the same as rule {source.rules[twin].document.name!r} above it"
            yield source.finding("AEG003", message, "rules", number)
        elif shadows.contradicts_itself(number):
            message = f"the conditions of rule {name!r} never hold together"
            yield source.finding("AEG004", message, "rules", number, "conditions")
        elif (over := shadows.over(number)) is not None:
            yield _never(source, number, over)


def _never(source: Source, number: int, over: list[int]) -> Finding:
    rule, above = source.rules[number], [source.rules[other] for other in over]
    names = [repr(other.document.name) for other in above]
    by = f"rule {names[0]}" if len(names) == 1 else f"the rules {', '.join(names[:-1])} and {names[-1]} together"
    same = all(other.approval is rule.approval and other.risk_level is rule.risk_level for other in above)
    message = (
        f"rule {rule.document.name!r} never decides: every call it is certain to match is decided by {by} above it"
    )
    if same:
        message += ", in the same way"
    return source.finding("AEG002", message, "rules", number, level=Level.WARNING if same else None)
