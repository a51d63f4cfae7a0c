"""A draft as a policy file with comments. What the server wrote stands in it in quotes or escaped, and nowhere else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from aegis_core.decision import Approval, RiskLevel
from aegis_core.errors import AegisError
from aegis_core.policy.policy import Policy
from aegis_core.text import visible
from aegis_mcp.draft.arguments import Kind, vocabulary
from aegis_mcp.draft.proposal import Limits, Proposal, pattern_of, propose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aegis_mcp.draft.arguments import Argument

__all__ = ["Draft", "draft"]

MOST_TOOLS = 2000
_WIDTH = 80
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_NOT_TEXT = vocabulary("y n yes no on off true false null none nan inf infinity")
_NAMES = {
    (Approval.AUTO, False): "run_unasked",
    (Approval.AUTO, True): "run_unasked_within_limits",
    (Approval.BLOCK, False): "never",
}
_ASK = {1: "ask", 2: "ask", 3: "ask_about_risks", 4: "ask_about_risks"}
_HEADINGS = {
    Approval.AUTO: "These run without being asked about: the server says that they only read, and nothing beyond "
    "itself. It may be wrong, or lie.",
    Approval.BLOCK: "These are blocked: they say that they destroy. To be asked instead, make it approve.",
}
_OUTSIDE = "The same outside of these limits, or where it cannot be told: a person is asked."
_ASKING = "A person is asked. Where some calls are harmless, put a rule with a condition above (see docs/policies.md)."
_EXAMPLES = {
    Kind.PATH: ("within_folders", "{under: [/the/folder]}", "param_path"),
    Kind.URL: ("known_hosts", '{schemes: [https], hosts: ["*.example.com"], private: false}', "param_url"),
    Kind.SQL: ("only_reading", "{dialect: sqlite, statements: [select]}", "param_sql"),
    Kind.SHELL: ("harmless_programs", "{programs: [ls, pwd]}", "param_shell"),
    Kind.EMAIL: ("colleagues", "{domains: [example.com]}", "param_email"),
}


class Draft:
    """A drafted policy.

    Attributes:
        text: The file.
        policy: The same, loaded.
        proposals: What it proposes per tool.
        unnamed: Tools that a policy cannot name, and that stay blocked.
    """

    __slots__ = ("policy", "proposals", "text", "unnamed")

    def __init__(self, text: str, proposals: Sequence[Proposal], unnamed: Sequence[str]) -> None:
        self.text = text
        self.policy = Policy.from_string(text, source="<draft>")
        self.proposals = tuple(proposals)
        self.unnamed = tuple(unnamed)


def draft(server: str, tools: Iterable[Mapping[str, Any]], limits: Limits, *, introduction: str | None = None) -> Draft:
    """Draft a policy for a server.

    Args:
        server: Its name in the policy (``match.target``).
        tools: Its tools as it lists them.
        limits: What whoever drafts has said is allowed.
        introduction: What the server calls itself, for the first line.

    Raises:
        AegisError: The server's name cannot stand in a policy, or it has too many tools.
    """
    target = pattern_of(server)
    if target is None:
        raise AegisError(f"{visible(server)!r} cannot be a server's name in a policy; give another with --server")
    listed: dict[str, Mapping[str, Any]] = {}
    twice: set[str] = set()
    for tool in tools:
        name = tool["name"]
        if name in listed and listed[name] != tool:
            twice.add(name)
        listed[name] = tool
    if len(listed) > MOST_TOOLS:
        raise AegisError(f"the server lists {len(listed)} tools, and a draft has room for {MOST_TOOLS}")
    unnamed = [name for name in listed if name in twice or pattern_of(name) is None]
    proposals = [propose(tool, limits) for name, tool in listed.items() if name not in unnamed]
    lines = [
        *_opening(server, introduction, len(listed), rules=bool(proposals)),
        *_rules(proposals, _quoted(target), limits),
    ]
    if unnamed:
        lines += ["", *_comment("No rule can name these, or they are listed twice, so they stay blocked:", "")]
        lines += [f"#   {_shown(name)}" for name in unnamed]
    return Draft("\n".join(lines) + "\n", proposals, unnamed)


def _opening(server: str, introduction: str | None, count: int, *, rules: bool) -> list[str]:
    called = f", which calls itself {_shown(introduction)}" if introduction else ""
    return [
        *_comment(f"A draft by aegis init for the server {_shown(server)}{called}: {count} tools.", ""),
        *_comment(
            "It rests on what the server says of itself, which proves nothing. Read it, change it, and ask it: aegis "
            "check FILE TOOL SERVER --param name=value",
            "",
        ),
        *_comment(
            "The first rule that holds decides. What no rule names is blocked, also what a later version brings.", ""
        ),
        'version: "1"',
        "defaults: {risk_level: high, approval: block}",
        "rules:" if rules else "rules: []",
    ]


def _rules(proposals: Sequence[Proposal], target: str, limits: Limits) -> list[str]:
    """The rules: what runs unasked, what is blocked, what asks; examples before what asks."""
    lines: list[str] = []
    names: dict[str, int] = {}

    def rule(name: str, group: Sequence[Proposal], approval: Approval, conditions: Sequence[str], heading: str) -> None:
        names[name] = names.get(name, 0) + 1
        numbered = name if names[name] == 1 else f"{name}_{names[name]}"
        lines.append("")
        if heading:
            lines.extend(_comment(heading, "  "))
        lines.extend([f"  - name: {numbered}", "    match:", "      type:"])
        lines.extend(f"        - {_quoted(pattern_of(one.tool) or '')}{_aside(one)}" for one in group)
        lines.append(f"      target: {target}")
        lines.extend(conditions)
        risk = max(RiskLevel.LOW if approval is Approval.AUTO else RiskLevel.MEDIUM, *(one.risk for one in group))
        lines.extend([f"    risk_level: {risk.name.lower()}", f"    approval: {approval.value}"])

    headings = dict(_HEADINGS)
    for approval in (Approval.AUTO, Approval.BLOCK):
        for (_, confined), group in _groups(p for p in proposals if p.approval is approval).items():
            name = _NAMES[approval, bool(confined)]
            rule(name, group, approval, _conditions(confined, limits), headings.pop(approval, ""))
    within = [one for one in proposals if one.approval is Approval.AUTO and one.confined]
    if within:
        rule("ask_outside", within, Approval.APPROVE, (), _OUTSIDE)
    asking = [one for one in proposals if one.approval is Approval.APPROVE]
    if asking:
        lines.extend(_examples(asking, target, limits))
    heading = (
        "A person is asked. Where some calls are harmless, put a rule with a condition above (see docs/policies.md)."
    )
    for (risk, _), group in _groups(asking).items():
        rule(_ASK[risk], group, Approval.APPROVE, (), heading)
        heading = ""
    return lines


def _groups(proposals: Iterable[Proposal]) -> dict[tuple[int, tuple[Argument, ...]], list[Proposal]]:
    """Tools that one rule can stand for."""
    found: dict[tuple[int, tuple[Argument, ...]], list[Proposal]] = {}
    for one in proposals:
        found.setdefault((int(one.risk), one.confined), []).append(one)
    return found


def _conditions(confined: Sequence[Argument], limits: Limits) -> list[str]:
    if not confined:
        return []
    lines = ["    conditions:"]
    said = {
        Kind.PATH: ("param_path", _under(limits)),
        Kind.SQL: ("param_sql", f"{{dialect: {limits.dialect}, statements: [select]}}"),
    }
    for kind, (condition, spec) in said.items():
        paths = [argument.path or "" for argument in confined if argument.kind is kind]
        if paths:
            if kind is Kind.PATH:
                lines.extend(
                    _comment(
                        "Links are followed too with 'resolve: true', if the server sees this file system.", "      "
                    )
                )
            lines.append(f"      {condition}:")
            lines.extend(f"        {_quoted(path)}: {spec}" for path in paths)
    return lines


def _under(limits: Limits) -> str:
    return f"{{under: [{', '.join(map(_quoted_always, limits.roots))}]}}"


def _examples(asking: Sequence[Proposal], target: str, limits: Limits) -> list[str]:
    """Rules, commented out, that would let some of what asks run unasked."""
    lines: list[str] = []
    for kind, (name, usual, condition) in _EXAMPLES.items():
        spec = _under(limits) if kind is Kind.PATH and limits.roots else usual
        for one in asking:
            found = [argument.path for argument in one.arguments if argument.kind is kind and argument.path]
            if found and (one.reads or kind in (Kind.URL, Kind.SHELL, Kind.EMAIL)):
                lines += [
                    "  # For example:",
                    f"  # - name: {name}",
                    f"  #   match: {{type: {_quoted(pattern_of(one.tool) or '')}, target: {target}}}",
                    f"  #   conditions: {{{condition}: {{{_quoted(found[0])}: {spec}}}}}",
                    "  #   risk_level: low",
                    "  #   approval: auto",
                ]
                break
    return ["", *lines] if lines else []


def _aside(one: Proposal) -> str:
    about = f": {one.about}" if one.about else ""
    return f"  # {_shown(one.why + about)}"


def _shown(text: str) -> str:
    """A stranger's text for a comment: one line, everything visible, not long."""
    text = visible(text[: _WIDTH * 2])
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _comment(text: str, indent: str) -> list[str]:
    """A comment of our own, broken at words."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(indent) + len(line) + len(word) > 117:
            lines.append(f"{indent}# {line}")
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, f"{indent}# {line}"]


def _quoted(text: str) -> str:
    """A text as YAML, in quotes unless it cannot be taken for anything else."""
    plain = _PLAIN.match(text) and text.lower() not in _NOT_TEXT
    return text if plain else _quoted_always(text)


def _quoted_always(text: str) -> str:
    """A text in double quotes, every character of another alphabet that shows itself as it is, the rest escaped."""
    out = "".join(
        character if character.isascii() or visible(character) == character else f"\\U{ord(character):08x}"
        for character in json.dumps(text, ensure_ascii=False)
    )
    return out.replace("\x7f", "\\x7f")
