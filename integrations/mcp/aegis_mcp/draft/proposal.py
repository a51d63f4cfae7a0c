"""What a draft proposes for a tool: whether it runs unasked, asks or is blocked, and why.

Hints come from a stranger. Read-only and closed-world, both said explicitly, may run unasked, if nothing speaks against
it: the tool's name, a contradicting hint, an argument that nobody has confined. Everything else asks; what says that it
destroys, and is called that way, is blocked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aegis_core.decision import Approval, RiskLevel
from aegis_core.policy.globs import glob_problem, literal_parts, parse_glob
from aegis_core.policy.names import refusal
from aegis_mcp.draft.arguments import Kind, arguments_of, vocabulary, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aegis_mcp.draft.arguments import Argument

__all__ = ["Limits", "Proposal", "pattern_of", "propose"]

_CHANGES = vocabulary(
    "write create update delete remove drop set put post send insert edit modify move rename copy exec execute run "
    "eval kill stop start install uninstall upload push commit reset merge add append purge wipe destroy erase "
    "truncate publish deploy pay buy order transfer approve submit reply save patch replace clear close"
)
_DESTROYS = vocabulary("delete deletes remove purge wipe destroy erase truncate uninstall")
_SECRETS = vocabulary("env environment secret secrets password passwords token tokens credential credentials key keys")


@dataclass(frozen=True, slots=True)
class Limits:
    """What whoever drafts has said is allowed.

    Attributes:
        roots: Folders that paths may lie in.
        dialect: The SQL dialect, for read-only queries; None if the server speaks none that is known, or the parser is
            not installed.
    """

    roots: tuple[str, ...] = ()
    dialect: str | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed for one tool.

    Attributes:
        tool: Its name.
        approval: Auto, approve or block.
        risk: How bad a call could be.
        why: A few words.
        about: The first line of its description, as the server has it.
        confined: The arguments that must lie within the limits for it to run unasked. Elsewhere it asks.
        arguments: All arguments that a policy could say something about.
        reads: Whether nothing says that it changes things.
    """

    tool: str
    approval: Approval
    risk: RiskLevel
    why: str
    about: str = ""
    confined: tuple[Argument, ...] = ()
    arguments: tuple[Argument, ...] = ()
    reads: bool = False


def propose(tool: Mapping[str, Any], limits: Limits) -> Proposal:
    """What to propose for a tool as a server lists it."""
    name: str = tool["name"]
    arguments, plain = arguments_of(tool)
    description = tool.get("description")
    about = description.strip().split("\n")[0] if isinstance(description, str) else ""

    hints = _hints(tool)
    said = set(words(name))
    reads = hints["readOnlyHint"] is not False and not hints["destructiveHint"] and not said & _CHANGES

    def proposal(approval: Approval, risk: RiskLevel, why: str, *confined: Argument) -> Proposal:
        return Proposal(name, approval, risk, why, about, confined, tuple(arguments), reads)

    runs_code = any(argument.kind in (Kind.SHELL, Kind.CODE) for argument in arguments)
    if hints["destructiveHint"] and hints["readOnlyHint"]:
        return proposal(Approval.APPROVE, RiskLevel.HIGH, "says it is read-only and destructive")
    if hints["destructiveHint"] or (said & _DESTROYS and not hints["readOnlyHint"]):
        if hints["destructiveHint"] and said & _DESTROYS:
            return proposal(Approval.BLOCK, RiskLevel.CRITICAL, "destructive")
        return proposal(Approval.APPROVE, RiskLevel.HIGH, "destructive" if hints["destructiveHint"] else "by its name")
    if runs_code:
        return proposal(Approval.APPROVE, RiskLevel.HIGH, "takes code or a command")
    if hints["readOnlyHint"] is None:
        return proposal(Approval.APPROVE, RiskLevel.MEDIUM, "says nothing about what it does")
    if not hints["readOnlyHint"]:
        return proposal(Approval.APPROVE, RiskLevel.MEDIUM, "changes things")
    if hints["openWorldHint"] is not False:
        return proposal(Approval.APPROVE, RiskLevel.MEDIUM, "read-only, open world")
    doubt = _doubt(said, arguments, limits, plain=plain)
    if doubt is not None:
        return proposal(Approval.APPROVE, RiskLevel.MEDIUM, f"read-only, closed world, but {doubt}")
    return proposal(Approval.AUTO, RiskLevel.LOW, "read-only, closed world", *arguments)


def _doubt(said: set[str], arguments: Iterable[Argument], limits: Limits, *, plain: bool) -> str | None:
    """Why a tool that says it only reads should not run unasked, if there is a reason."""
    if said & _CHANGES:
        return f"called {min(said & _CHANGES)}"
    if said & _SECRETS:
        return f"may show a secret ({min(said & _SECRETS)})"
    if not plain:
        return "its schema does not say all its arguments"
    for argument in arguments:
        confinable = (argument.kind is Kind.PATH and limits.roots) or (argument.kind is Kind.SQL and limits.dialect)
        if argument.path is None or not confinable:
            return f"nobody has said which {_NAMES[argument.kind]} are allowed"
    return None


_NAMES = {
    Kind.PATH: "folders", Kind.URL: "hosts", Kind.SQL: "statements", Kind.SHELL: "programs", Kind.EMAIL: "addresses",
    Kind.CODE: "programs",
}  # fmt: skip


def _hints(tool: Mapping[str, Any]) -> dict[str, bool | None]:
    """The hints that are there and are truth values; anything else says nothing."""
    annotations = tool.get("annotations")
    annotations = annotations if isinstance(annotations, dict) else {}
    names = ("readOnlyHint", "destructiveHint", "openWorldHint")
    found = {name: annotations.get(name) for name in names}
    return {name: hint if isinstance(hint, bool) else None for name, hint in found.items()}


def pattern_of(name: str) -> str | None:
    """A glob that matches exactly this name, or None where a policy cannot name it (such calls are refused anyway)."""
    if refusal(name) is not None or name.strip() != name:
        return None
    pattern = "".join(f"[{character}]" if character in "*?[" else character for character in name)
    if glob_problem(pattern) is not None:
        return None
    literal = literal_parts(pattern)
    if literal and refusal(literal) is not None:
        return None
    return pattern if parse_glob(pattern).exact(name) else None
