"""A rule that lets the calls a person has seen run unasked: this tool, this server, these arguments, for a while.

The rule keeps every condition of the rule that asked, and adds its own: it can only be narrower.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aegis.console.values import leaves
from aegis.errors import ApprovalError
from aegis.workbench.insertion import literal_glob, rule_word
from aegis_core.policy.reading import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_core.approval.store import Ticket
    from aegis_core.policy.document import RuleDocument

__all__ = ["LIFETIMES", "Scope", "ends", "folder_of", "narrow_rule", "scopes"]

LIFETIMES = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
"""How long a rule may hold, by name."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a rule may say about one argument.

    Attributes:
        name: The argument.
        choices: ``exact`` (this very value), ``under`` (a path in the same folder) and ``any``, as far as they apply.
        folder: The folder that ``under`` means.
    """

    name: str
    choices: tuple[str, ...]
    folder: str | None


def scopes(params: Mapping[str, Any]) -> list[Scope]:
    """Per argument, what a rule may say about it. What is not wholly known here can only be left open."""
    found: list[Scope] = []
    for name, value in params.items():
        whole = all(leaf.is_whole for leaf in leaves({name: value}))
        folder = folder_of(value) if whole else None
        choices = ("exact",) if whole and value is not None else ()
        found.append(Scope(name, (*choices, *(("under",) if folder else ()), "any"), folder))
    return found


def folder_of(value: object) -> str | None:
    """The folder of an absolute path that is written plainly."""
    if not isinstance(value, str) or not value.startswith("/") or value != posixpath.normpath(value):
        return None
    folder = posixpath.dirname(value)
    return folder if folder != "/" and not any(sign in value for sign in "%~$*\\:\0") else None


def ends(lifetime: str, shown: str | None = None) -> str:
    """When a rule that is written now ends.

    Args:
        lifetime: One of `LIFETIMES`.
        shown: The end that a person was shown, if they were; it is kept if it is not later.

    Raises:
        ApprovalError: There is no such lifetime, or what was shown is out of date.
    """
    if lifetime not in LIFETIMES:
        raise ApprovalError(f"a rule may hold for {', '.join(LIFETIMES)}")
    now = datetime.now(UTC)
    latest = now + LIFETIMES[lifetime]
    if shown is None:
        return latest.isoformat(timespec="seconds").replace("+00:00", "Z")
    try:
        fits = now < datetime.fromisoformat(shown) <= latest
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ApprovalError("the change that was shown is out of date; look at it again")
    return shown


def narrow_rule(ticket: Ticket, asking: RuleDocument | None, chosen: Mapping[str, str], until: str) -> dict[str, Any]:
    """The rule as it will stand in the file.

    Args:
        ticket: The request that a person has seen.
        asking: The rule that asked; None for the policy's default.
        chosen: Per argument one of its `Scope.choices`.
        until: When it ends, ISO 8601.

    Raises:
        ApprovalError: The choices make no narrow rule.
    """
    asked = ticket.request
    offered = {scope.name: scope for scope in scopes(asked["params"])}
    if chosen.keys() != offered.keys():
        raise ApprovalError("say for every argument what the rule shall do about it")
    if any(choice not in offered[name].choices for name, choice in chosen.items()):
        raise ApprovalError("an argument that is masked or cut cannot be named in a rule; it can only be left open")
    if offered and all(choice == "any" for choice in chosen.values()):
        raise ApprovalError("a rule that says nothing about the arguments would not be narrow: keep at least one")
    match = {"type": asked["type"], "target": asked["target"], "agent": asked["agent"], "user": asked["user"]}
    return {
        "name": f"always_{rule_word(asked['type'])}_{ticket.id[-8:]}",
        "match": {key: literal_glob(name) for key, name in match.items() if name is not None},
        "conditions": _conditions(asked["params"], asking, chosen, offered, until),
        "risk_level": asked["risk"].lower(),
        "approval": "auto",
    }


def _conditions(
    params: Mapping[str, Any],
    asking: RuleDocument | None,
    chosen: Mapping[str, str],
    offered: Mapping[str, Scope],
    until: str,
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    if asking is not None and asking.conditions is not None:
        kept = plain(asking.conditions)
    exact = {name: params[name] for name, choice in chosen.items() if choice == "exact"}
    under = {name: {"under": [offered[name].folder]} for name, choice in chosen.items() if choice == "under"}
    if clash := sorted(under.keys() & kept.get("param_path", {}).keys()):
        raise ApprovalError(f"the rule that asked already says where {clash[0]!r} may lie; keep its exact value")
    own: dict[str, Any] = {"param_names": sorted(params)}
    if "param_names" in kept:
        own["param_names"] = sorted(set(params) & set(kept["param_names"]))
    own["until"] = min(until, kept.get("until", until), key=datetime.fromisoformat)
    if exact:
        own["param_eq"] = {**kept.get("param_eq", {}), **exact}
    if under:
        own["param_path"] = {**kept.get("param_path", {}), **under}
    return {**kept, **own}
