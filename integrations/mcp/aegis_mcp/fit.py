"""How a policy fits a server: what it may answer to each tool, and which of its rules can never matter there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aegis_core.policy.globs import match_any, parse_glob
from aegis_core.policy.reach import possible
from aegis_core.policy.reading import given
from aegis_core.policy.wording import close_to
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aegis_core.decision import Approval
    from aegis_core.policy.policy import Policy
    from aegis_core.policy.rule import Rule

__all__ = ["Fit", "fit"]


@dataclass(frozen=True, slots=True)
class Fit:
    """What a policy makes of a server's tools.

    Attributes:
        answers: Per tool, the approvals that calls of it can get, depending on their arguments.
        problems: Sentences about rules for this server that match none of its tools, or look at an argument that none
            of the tools they match has.
    """

    answers: Mapping[str, frozenset[Approval]]
    problems: tuple[str, ...]


def fit(
    policy: Policy,
    server: str,
    tools: Iterable[Mapping[str, Any]],
    *,
    agent: str | None = None,
    user: str | None = None,
) -> Fit:
    """See how a policy fits a server.

    Args:
        policy: The policy.
        server: What it knows the server as (``match.target``).
        tools: The definitions of the server's tools, as it lists them.
        agent: Who will call.
        user: For whom.
    """
    arguments = {tool["name"]: _arguments(tool) for tool in tools}
    answers = {name: possible(policy, (name, server, agent, user)) for name in arguments}
    return Fit(answers, tuple(problem for rule in policy.rules for problem in _problems(rule, server, arguments)))


def _problems(rule: Rule, server: str, tools: Mapping[str, frozenset[str] | None]) -> Iterator[str]:
    match = rule.document.match
    if "*" in match.target or not _matches(match.target, server):
        return  # it may be about another server
    matched = [name for name in tools if _matches(match.type, name)]
    if not matched:
        guesses = [guess for pattern in match.type if (guess := close_to(pattern.strip("*"), tools))]
        hint = f"; did you mean {visible(guesses[0])!r}?" if guesses else ""
        wanted = ", ".join(map(repr, match.type))
        yield f"rule {rule.name!r} matches none of the tools of {server!r}: it wants {wanted}{hint}"
        return
    known = [tools[name] for name in matched]
    for argument in _looked_at(rule):
        if all(names is not None and argument not in names for names in known):
            have = sorted({name for names in known if names is not None for name in names})
            listed = ", ".join(map(visible, have[:8])) or "none"
            yield f"rule {rule.name!r} looks at an argument {argument!r} its tools do not have; they have: {listed}"


def _matches(patterns: Iterable[str], name: str) -> bool:
    """Whether one of the patterns matches, or may match after folding."""
    return match_any(tuple(map(parse_glob, patterns)), name) is not False


def _arguments(tool: Mapping[str, Any]) -> frozenset[str] | None:
    """The names of a tool's arguments; None if its schema does not say them all."""
    schema = tool.get("inputSchema")
    if not isinstance(schema, dict) or any(
        key in schema for key in ("$ref", "anyOf", "oneOf", "allOf", "patternProperties")
    ):
        return None
    properties = schema.get("properties", {})
    return frozenset(properties) if isinstance(properties, dict) else None


def _looked_at(rule: Rule) -> list[str]:
    """The arguments that a rule's conditions are about."""
    conditions = rule.document.conditions
    if conditions is None:
        return []
    found: dict[str, None] = {}
    for name, value in given(conditions).items():
        if name.startswith("param_") and isinstance(value, dict):
            found.update(dict.fromkeys(path.split(".")[0].partition("[")[0] for path in value))
    return list(found)
