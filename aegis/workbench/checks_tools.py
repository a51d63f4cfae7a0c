"""Findings that compare a policy with the tools that servers really have."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

from aegis.workbench.arguments import parsing_condition
from aegis.workbench.findings import Level
from aegis.workbench.languages import is_literal
from aegis.workbench.tools import Argument
from aegis_core.policy.globs import match_any, parse_glob
from aegis_core.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aegis.workbench.findings import Finding
    from aegis.workbench.source import Source
    from aegis.workbench.tools import Server, Tool
    from aegis_core.policy.rule import Rule

__all__ = ["check_tools"]

_COMPARING = ("param_gt", "param_gte", "param_lt", "param_lte")
_EQUAL = ("param_eq", "param_in")
_PARSING = ("param_path", "param_sql", "param_url", "param_shell", "param_email")
_ON_PARAMS = (*_COMPARING, *_EQUAL, *_PARSING, "param_contains", "param_matches", "param_from")


class _Found(NamedTuple):
    """What a pair of patterns comes to.

    Attributes:
        tools: The tools it matches.
        around: The tools of the servers that its target patterns mean; empty where they mean none of them.
        servers: Those servers' names.
    """

    tools: tuple[Tool, ...]
    around: tuple[Tool, ...]
    servers: tuple[str, ...]


def check_tools(source: Source, servers: Sequence[Server]) -> Iterator[Finding]:
    """Compare every rule, and every other pattern over tools, with the servers' tools; nothing if none are given."""
    if not servers:
        return
    servers = _settled(source, servers)
    for number, rule in enumerate(source.rules):
        match = rule.document.match
        found = _find(match.type, match.target, servers)
        where = ("rules", number)
        if not found.tools:
            yield _no_tool(source, servers, found, match.type, match.target, (*where, "match"), rule.document.name)
        yield from _conditions(source, number, rule, found)
        after = rule.document.conditions.after if rule.document.conditions is not None else None
        if after is not None:
            yield from _elsewhere(source, servers, after.type, after.target, (*where, "conditions", "after"))
    document = source.policy.layers[0].documents[0]
    for kind in ("trust", "results"):
        for number, entry in enumerate(getattr(document, kind)):
            yield from _elsewhere(source, servers, entry.match.type, entry.match.target, (kind, number, "match"))


def _settled(source: Source, servers: Sequence[Server]) -> list[Server]:
    """The servers; one whose name was a guess is called so for certain if the policy speaks of that name."""
    targets = {target for rule in source.rules for target in rule.document.match.target}
    return [server._replace(certain=server.certain or server.name in targets) for server in servers]


def _find(types: tuple[str, ...], targets: tuple[str, ...], servers: Sequence[Server]) -> _Found:
    """The tools that patterns match. A server whose name is a guess may be called something else by the policy."""
    meant = [server for server in servers if _matches(targets, server.name)]
    if not meant:
        meant = [server for server in servers if not server.certain]
    around = tuple(tool for server in meant for tool in server.tools)
    tools = tuple(tool for tool in around if _matches(types, tool.name))
    return _Found(tools, around, tuple(server.name for server in meant))


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return match_any(tuple(map(parse_glob, patterns)), name) is True


def _no_tool(
    source: Source,
    servers: Sequence[Server],
    found: _Found,
    types: tuple[str, ...],
    targets: tuple[str, ...],
    path: tuple[str | int, ...],
    name: str,
    code: str = "AEG012",
) -> Finding:
    what = f"rule {name!r}" if code == "AEG012" else f"this {name}"
    if not found.servers:
        known = ", ".join(server.name for server in servers)
        guess = _close(targets, [server.name for server in servers])
        hint = f"Did you mean {guess}? " if guess else ""
        message = f"{what} is for the target {_either(targets)}, which is none of the servers given ({known})"
        fix = f"{hint}Give the tools of that server too, under the name it has here: `--tools NAME=FILE`."
        # Most likely it is simply another server's rule.
        return source.finding(code, message, *path, "target", fix=fix, level=Level.WARNING if guess else Level.INFO)
    guess = _close(types, [tool.name for tool in found.around])
    listed = ", ".join(tool.name for tool in found.around[:12]) + (", ..." if len(found.around) > 12 else "")
    message = f"{what} matches no tool: {_of(found.servers)} has no {_either(types)}"
    fix = f"Did you mean {guess}?" if guess else f"{_of(found.servers).capitalize()} has {listed}."
    # A pattern may be there for tools that a later version of the server brings.
    level = Level.WARNING if any(not is_literal(pattern) for pattern in types) else None
    return source.finding(code, message, *path, "type", fix=fix, level=level)


def _elsewhere(
    source: Source,
    servers: Sequence[Server],
    types: tuple[str, ...],
    targets: tuple[str, ...],
    path: tuple[str | int, ...],
) -> Iterator[Finding]:
    """The patterns of `after`, `trust` and `results`."""
    found = _find(types, targets, servers)
    if not found.tools:
        name = {"trust": "trust entry", "results": "result rule"}.get(str(path[0]), "after")
        yield _no_tool(source, servers, found, types, targets, path, name, code="AEG015")


def _conditions(source: Source, number: int, rule: Rule, found: _Found) -> Iterator[Finding]:
    """The conditions of a rule, held against the arguments of the tools it matches, or else of all there are."""
    conditions = rule.document.conditions
    tools = found.tools or found.around
    if conditions is None or not tools:
        return
    for kind in _ON_PARAMS:
        for param, expected in (getattr(conditions, kind) or {}).items():
            path = ("rules", number, "conditions", kind, param)
            known = [tool.argument(param) for tool in tools]
            name = rule.document.name
            if all(argument is False for argument in known):
                yield _no_argument(source, name, param, tools, found, path)
                continue
            arguments = [argument for argument in known if isinstance(argument, Argument)]
            problems = [_misfit(kind, expected, argument) for argument in arguments]
            # As long as one tool's argument fits, or might, the rule can hold.
            if arguments and all(problems) and None not in known:
                yield source.finding("AEG014", f"rule {name!r}: {kind} on {param!r}: {problems[0]}", *path)


def _no_argument(
    source: Source, name: str, param: str, tools: tuple[Tool, ...], found: _Found, path: tuple[str | int, ...]
) -> Finding:
    have = sorted({argument for tool in tools for argument in tool.arguments()})
    guess = _close((param.split(".", maxsplit=1)[0].removesuffix("[]"),), have) or _alike(param, tools)
    if found.tools:
        whose = ", ".join(tool.name for tool in tools[:4]) + (", ..." if len(tools) > 4 else "")
        message = f"rule {name!r} asks about the argument {param!r}, and there is none in {whose}"
    else:
        message = f"rule {name!r} asks about the argument {param!r}, which no tool of {_of(found.servers)} has"
    fix = f"Did you mean {guess}?" if guess else f"There are {', '.join(have) or 'no arguments'}."
    return source.finding("AEG013", message, *path, fix=fix, at_key=True)


def _misfit(kind: str, expected: Any, argument: Argument) -> str | None:
    """Why no value of an argument can satisfy a condition; None if one may."""
    types = argument.types
    if types is None:
        return None
    said = " or ".join(sorted(types - {"null"}))
    if kind in _COMPARING:
        wanted = {"string"} if isinstance(expected, str) else {"number", "integer"}
        what = "text" if isinstance(expected, str) else "numbers"
        return None if wanted & types else f"it compares with {what}, and the argument is {said}"
    if kind in _PARSING or kind == "param_matches":
        return None if "string" in types else f"it reads text, and the argument is {said}"
    if kind == "param_contains":
        return None if {"string", "array"} & types else f"it looks into text and lists, and the argument is {said}"
    if kind in _EQUAL:
        values = expected if kind == "param_in" else [expected]
        if not any(_types_of(value) & types for value in values):
            return f"{_values(values)} is not of its type, which is {said}"
        if argument.choices is not None and not any(value in argument.choices for value in values):
            return f"it is never {_values(values)}, but one of {', '.join(map(str, argument.choices))}"
    return None


def _types_of(value: Any) -> set[str]:
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int | float):
        return {"number", "integer"} if float(value).is_integer() else {"number"}
    return {"string"} if isinstance(value, str) else {"array"} if isinstance(value, list | tuple) else {"object"}


def _values(values: Iterable[Any]) -> str:
    return " or ".join(shown(value) for value in values)


def _close(patterns: Iterable[str], names: Sequence[str]) -> str | None:
    """The names that were probably meant: close in spelling, or with a word in common."""
    found: list[str] = []
    for pattern in patterns:
        word = pattern.strip("*?").strip("_")
        found += difflib.get_close_matches(word, names, n=3, cutoff=0.7)
        parts = {part for part in word.lower().replace("-", "_").split("_") if len(part) > 2}
        ranked = sorted(names, key=lambda name: -len(parts & set(name.lower().replace("-", "_").split("_"))))
        found += [name for name in ranked[:3] if parts & set(name.lower().replace("-", "_").split("_"))]
        found += [name for name in names if len(word) > 2 and word.lower() in name.lower()][:3]
    if not found:
        found = [name for pattern in patterns for name in difflib.get_close_matches(pattern, names, n=1, cutoff=0.5)]
    return " or ".join(repr(name) for name in dict.fromkeys(found[:3])) or None


def _alike(param: str, tools: Sequence[Tool]) -> str | None:
    """The arguments that are described as what a parameter's name says it is."""
    kind = parsing_condition(param)
    if kind is None:
        return None
    word = kind[2].split()[-1].lower()
    found: dict[str, None] = {}
    for tool in tools:
        for name in tool.arguments():
            argument = tool.argument(name)
            if isinstance(argument, Argument) and word in argument.text.lower():
                found[name] = None
    return " or ".join(map(repr, list(found)[:3])) or None


def _either(patterns: Sequence[str]) -> str:
    return " or ".join(repr(pattern) for pattern in patterns)


def _of(servers: Sequence[str]) -> str:
    return f"server {servers[0]!r}" if len(servers) == 1 else f"none of {', '.join(map(repr, servers))}"
