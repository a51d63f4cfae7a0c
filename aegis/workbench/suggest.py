"""Narrow rules from history: what people always approved, always denied, and what was allowed and never used.

A rule is suggested where a policy asks, for one tool of one server with one set of arguments. It keeps every condition
of the rule that asks and stands directly before it, so it can only be narrower; and it is tried on the whole trail: one
that would let a call run which nobody approved is dropped.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aegis.core.policy import Approval
from aegis.workbench.evidence import Evidence, History
from aegis.workbench.insertion import NoPlace, insert_rule, literal_glob, rule_word, set_approval
from aegis.workbench.replay import judge_calls
from aegis.workbench.scopes import scope_of
from aegis_core.policy.reading import plain
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aegis.core.policy import Policy
    from aegis.runtime.audit import AuditLogger
    from aegis_core.audit.filters import Filters
    from aegis_core.policy.rule import Rule

__all__ = ["Suggestion", "Suggestions", "suggest"]

_UNUSED = 100
"""Calls a trail must hold before a rule that decided none of them is called unused."""
_PEOPLE = 10
"""Agents or users that a rule lists."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One change.

    Attributes:
        kind: ``allow``, ``block`` (both add a rule) or ``tighten`` (a rule that allows, and was not used, asks).
        rule: The rule's name.
        before: Of an added rule, the rule it stands before.
        document: The added rule as plain data; None for ``tighten``.
        why: The evidence in words.
        open: Arguments the rule says nothing about.
    """

    kind: str
    rule: str
    before: str
    document: dict[str, Any] | None
    why: str
    open: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What is suggested.

    Attributes:
        path: The policy's file.
        old: Its text.
        new: The text with everything that is suggested.
        changes: The changes.
        skipped: Why nothing is suggested for calls that are always answered alike.
        calls: Calls that were looked at.
    """

    path: Path
    old: str
    new: str
    changes: tuple[Suggestion, ...]
    skipped: tuple[str, ...]
    calls: int


def suggest(trail: AuditLogger, policy: Policy, path: Path, filters: Filters, *, enough: int = 20) -> Suggestions:
    """Learn from a trail what a policy could say by itself.

    Args:
        trail: The trail.
        policy: The policy in force, of one file or of one that includes others.
        path: The file to change.
        filters: Which calls to look at.
        enough: Answers, all the same, from which on a rule is suggested.

    Raises:
        AuditError: The trail cannot be read.
    """
    history = History()
    for judged in judge_calls(trail, policy, filters):
        history.add(judged, policy)
    skipped: list[str] = []
    found = list(_proposed(history, policy, enough, skipped))
    old = policy.origin.texts()[path]
    while True:
        new, placed = _written(old, found, skipped)
        wrong = _refuted(trail, policy, path, new, placed, filters) if placed else set()
        found = [change for change in placed if change.rule not in wrong]
        if not wrong:
            return Suggestions(path, old, new, tuple(found), tuple(dict.fromkeys(skipped)), history.calls)
        skipped += [f"{name}: it would also decide calls that were answered otherwise" for name in sorted(wrong)]


def _proposed(history: History, policy: Policy, enough: int, skipped: list[str]) -> Iterator[Suggestion]:
    rules = {rule.name: rule for rule in policy.rules}
    taken = set(rules)
    denied = Counter[tuple[str, str]]()
    for evidence in history.groups.values():
        denied[evidence.type, evidence.target] += evidence.denied
    by_tool: dict[tuple[str, str, str], list[Evidence]] = {}
    for evidence in history.groups.values():
        by_tool.setdefault((evidence.rule, evidence.type, evidence.target), []).append(evidence)
        if evidence.approved >= enough and not denied[evidence.type, evidence.target]:
            change = _allowing(evidence, rules.get(evidence.rule), taken, skipped)
            if change is not None:
                taken.add(change.rule)
                yield change
    for (asking, _, _), group in by_tool.items():
        if sum(one.denied for one in group) >= enough and not any(one.approved for one in group):
            change = _blocking(group, rules.get(asking), taken)
            taken.add(change.rule)
            yield change
    if history.calls >= _UNUSED:
        for rule in policy.rules:
            if rule.approval is Approval.AUTO and rule.name not in history.used:
                yield Suggestion("tighten", rule.name, rule.name, None, f"decided none of {history.calls} calls")


def _allowing(evidence: Evidence, asking: Rule | None, taken: set[str], skipped: list[str]) -> Suggestion | None:
    what = f"{evidence.tool} ({evidence.said()})"
    if evidence.hidden:
        skipped.append(f"{what}: on the trail {visible(', '.join(sorted(evidence.hidden)))} is masked or cut")
        return None
    kept = _kept(asking)
    if "calls" in kept:
        skipped.append(f"{what}: the rule that asks has a budget")
        return None
    conditions, named, free = _scoped(evidence, kept)
    if evidence.names and not named:
        skipped.append(f"{what}: its arguments have nothing in common that a rule could name")
        return None
    rule: dict[str, Any] = {
        "name": _free_name(f"{rule_word(evidence.type)}_as_approved", taken),
        "match": _match(evidence, asking),
        "conditions": conditions,
        "risk_level": _risk(asking),
        "approval": "auto",
    }
    return Suggestion("allow", rule["name"], evidence.rule, rule, evidence.said(), tuple(free))


def _blocking(group: list[Evidence], asking: Rule | None, taken: set[str]) -> Suggestion:
    whole = Evidence(group[0].rule, group[0].type, group[0].target, ())
    whole.denied = sum(one.denied for one in group)
    whole.first, whole.last = min(one.first for one in group), max(one.last for one in group)
    rule: dict[str, Any] = {
        "name": _free_name(f"{rule_word(whole.type)}_as_denied", taken),
        "match": {"type": literal_glob(whole.type), "target": literal_glob(whole.target), **_callers(asking)},
        **({"conditions": kept} if (kept := _kept(asking)) else {}),
        "risk_level": _risk(asking),
        "approval": "block",
    }
    return Suggestion("block", rule["name"], whole.rule, rule, whole.said())


def _scoped(evidence: Evidence, kept: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """The conditions of a rule, the arguments that it is about, and those that neither it nor the asking rule is."""
    own: dict[str, Any] = {"param_names": list(evidence.names)}
    if "param_names" in kept:
        own["param_names"] = [name for name in evidence.names if name in kept["param_names"]]
    named: list[str] = []
    free: list[str] = []
    for name in evidence.names:
        scope = scope_of(name, [sample[name] for sample in evidence.samples]) or {}
        if any(name in (kept.get(condition) or {}) for condition in scope):
            continue  # the rule that asks says it already, and a condition cannot stand there twice
        (named if scope else free).append(name)
        for condition, expected in scope.items():
            own[condition] = {**(kept.get(condition) or {}), **own.get(condition, {}), name: expected}
    return {**kept, **own}, named, free


def _match(evidence: Evidence, asking: Rule | None) -> dict[str, Any]:
    match: dict[str, Any] = {
        "type": literal_glob(evidence.type),
        "target": literal_glob(evidence.target),
        **_callers(asking),
    }
    for key, names in (("agent", evidence.agents), ("user", evidence.users)):
        known = sorted(name for name in names if name is not None)
        if known and len(known) == len(names) <= _PEOPLE:
            literals = [literal_glob(name) for name in known]
            match[key] = literals[0] if len(literals) == 1 else literals
    return match


def _callers(asking: Rule | None) -> dict[str, Any]:
    """Whom the rule that asks is about."""
    if asking is None:
        return {}
    callers = plain(asking.document.match)
    return {key: callers[key] for key in ("agent", "user") if key in callers}


def _kept(asking: Rule | None) -> dict[str, Any]:
    if asking is None or asking.document.conditions is None:
        return {}
    return plain(asking.document.conditions)  # type: ignore[no-any-return]


def _risk(asking: Rule | None) -> str:
    return "medium" if asking is None else asking.risk_level.name.lower()


def _written(old: str, found: list[Suggestion], skipped: list[str]) -> tuple[str, list[Suggestion]]:
    """The text with all changes that it has a place for, and those."""
    new, placed = old, list[Suggestion]()
    for change in found:
        try:
            if change.document is None:
                new = set_approval(new, change.rule, "approve")
            else:
                comments = [change.why, *([f"says nothing about {', '.join(change.open)}"] if change.open else [])]
                new = insert_rule(new, change.document, change.before, [visible(line) for line in comments])
        except NoPlace as error:
            skipped.append(f"{change.rule} ({change.why}): {error}")
            continue
        placed.append(change)
    return new, placed


def _refuted(
    trail: AuditLogger, policy: Policy, path: Path, new: str, placed: list[Suggestion], filters: Filters
) -> set[str]:
    """Added rules that let a call of the trail run which nobody approved, or block one that somebody did."""
    changed = policy.rebuilt({**policy.origin.texts(), path: new})
    added = {change.rule for change in placed if change.document is not None}
    wrong: set[str] = set()
    for judged in judge_calls(trail, changed, filters):
        rule, human = judged.decision.matched_rule, judged.entry["human_decision"]
        if rule in added:
            expected = "approved" if judged.decision.approval is Approval.AUTO else "denied"
            ran_unasked = judged.recorded is Approval.AUTO and judged.decision.approval is Approval.AUTO
            if not (human == expected or (human is None and expected == "denied") or ran_unasked):
                wrong.add(rule)
    return wrong


def _free_name(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free
