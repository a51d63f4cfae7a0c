"""Findings that one rule, or one key, gives rise to by itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aegis.core.policy import Approval
from aegis.workbench.arguments import parsing_condition
from aegis_core.policy.conditions.clock import parse_moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from aegis.workbench.findings import Finding
    from aegis.workbench.source import Source
    from aegis_core.policy.rule import Rule

__all__ = ["check_alone"]

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_SAYS = {
    Approval.BLOCK: {"block", "blocks", "blocked", "deny", "denies", "denied", "forbid", "forbidden", "refuse", "never",
                     "prohibit", "reject", "disallow", "no"},
    Approval.APPROVE: {"approve", "approves", "approval", "ask", "asks", "confirm", "review"},
    Approval.AUTO: {"allow", "allows", "allowed", "auto", "permit", "permits", "permitted"},
}  # fmt: skip
_VERB = {Approval.AUTO: "lets calls run", Approval.APPROVE: "asks a person", Approval.BLOCK: "blocks"}


def check_alone(source: Source, now: datetime) -> Iterator[Finding]:
    """Look at every rule by itself, and at the defaults."""
    yield from _defaults(source)
    for number, rule in enumerate(source.rules):
        yield from _name(source, number, rule)
        yield from _everything(source, number, rule)
        yield from _patterns(source, number, rule)
        yield from _until(source, number, rule, now)
        yield from _trusted(source, number, rule)


def _defaults(source: Source) -> Iterator[Finding]:
    defaults = source.policy.layers[0].documents[0].defaults
    if defaults is not None and defaults.approval is Approval.AUTO:
        yield source.finding("AEG006", "defaults say auto: what no rule decides runs unasked", "defaults", "approval")


def _name(source: Source, number: int, rule: Rule) -> Iterator[Finding]:
    words = [word.lower() for word in _WORDS.findall(rule.document.name)]
    said = next((approval for word in words[:1] for approval, verbs in _SAYS.items() if word in verbs), None)
    if said is None or said is rule.approval:
        return
    name = rule.document.name
    yield source.finding(
        "AEG007",
        f"the name of rule {name!r} says {said.value}, and it {_VERB[rule.approval]} (approval: {rule.approval.value})",
        "rules", number, "approval",
        fix=f"Say `approval: {said.value}`, or give the rule a name that says what it does.",
    )  # fmt: skip


def _everything(source: Source, number: int, rule: Rule) -> Iterator[Finding]:
    match = rule.document.match
    if rule.approval is Approval.AUTO and not rule.conditions and "*" in match.type and "*" in match.target:
        whose = "of every tool" if match.agent == match.user == ("*",) else "of every tool, by some agents or users,"
        yield source.finding("AEG011", f"rule {rule.document.name!r} lets calls {whose} run", "rules", number)


def _patterns(source: Source, number: int, rule: Rule) -> Iterator[Finding]:
    conditions = rule.document.conditions
    for param, pattern in (conditions.param_matches or {}).items() if conditions is not None else ():
        path = ("rules", number, "conditions", "param_matches", param)
        name = rule.document.name
        parsing = parsing_condition(param, pattern)
        if rule.approval is Approval.AUTO:
            if parsing is not None:
                condition, example, what = parsing
                yield source.finding(
                    "AEG008",
                    f"rule {name!r} lets calls run by a text pattern on {param!r}, which looks like {what}",
                    *path,
                    fix=f"Use {condition}, for example `{condition}: {{{param}: {example}}}`.",
                )
            problem = _unanchored(pattern)
            if problem is not None:
                yield source.finding(
                    "AEG009", f"rule {name!r} lets calls run by a pattern on {param!r} that {problem}", *path
                )
        elif _minds_case(pattern):
            yield source.finding(
                "AEG010", f"rule {name!r} is to stop calls by a pattern on {param!r} that minds the case", *path
            )


_FLAGS = re.compile(r"\(\?([a-zA-Z]*)(?:-[a-zA-Z]+)?\)")


def _flags(pattern: str) -> tuple[str, str]:
    """The flags a pattern begins with, and the rest of it."""
    flags = ""
    while found := _FLAGS.match(pattern):
        flags, pattern = flags + found[1], pattern[found.end() :]
    return flags, pattern


def _unanchored(pattern: str) -> str | None:
    flags, rest = _flags(pattern)
    begins = rest.startswith(("^", r"\A"))
    ends = (rest.endswith("$") and not rest.endswith(r"\$")) or rest.endswith(r"\z")
    if _has_top_alternative(rest):
        return "has alternatives at its top, to which ^ and $ do not both belong; put them into (?:...)"
    if "m" in flags and (begins or ends):
        return "anchors at lines, not at the whole text (flag m)"
    if not begins:
        return "does not begin with ^"
    return None if ends else "does not end with $"


def _has_top_alternative(pattern: str) -> bool:
    depth, index, in_set = 0, 0, False
    while index < len(pattern):
        character = pattern[index]
        if character == "\\":
            index += 1
        elif in_set:
            in_set = character != "]"
        elif character == "[":
            in_set = True
            index += 1 if pattern[index + 1 : index + 2] in ("]", "^") else 0
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "|" and depth == 0:
            return True
        index += 1
    return False


def _minds_case(pattern: str) -> bool:
    flags, rest = _flags(pattern)
    letters = re.sub(r"\\[a-zA-Z](?:\{[^}]*\})?|\[[^\]]*\]|\(\?[a-zA-Z:<>=!P-]*", "", rest)
    return "i" not in flags and "(?i" not in rest and re.search(r"[A-Za-z]{2}", letters) is not None


def _until(source: Source, number: int, rule: Rule, now: datetime) -> Iterator[Finding]:
    conditions = rule.document.conditions
    if conditions is not None and conditions.until is not None and parse_moment(conditions.until) <= now:
        yield source.finding(
            "AEG005",
            f"rule {rule.document.name!r} ended at {conditions.until}",
            "rules", number, "conditions", "until",
        )  # fmt: skip


def _trusted(source: Source, number: int, rule: Rule) -> Iterator[Finding]:
    conditions = rule.document.conditions
    trusting = source.policy.layers[0].trust.documents
    if conditions is None or any(entry.results == "trusted" for entry in trusting):
        return
    for param, sources in (conditions.param_from or {}).items():
        if "trusted" in sources:
            yield source.finding(
                "AEG016",
                f"rule {rule.document.name!r} asks whether {param!r} came from a trusted tool, and no tool is trusted",
                "rules", number, "conditions", "param_from", param,
            )  # fmt: skip
