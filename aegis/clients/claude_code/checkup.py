"""Whether the hook in Claude Code's settings does what it is there for."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from aegis.clients.claude_code.event import Event
from aegis.clients.claude_code.hook import Options
from aegis.clients.claude_code.rules import writable
from aegis.clients.claude_code.settings import EVENTS, commands
from aegis.clients.finding import Finding
from aegis.clients.jsontext import parse
from aegis.clients.locations import hook_settings
from aegis.clients.settingsfile import SettingsFile
from aegis_core.errors import AegisError
from aegis_core.policy.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis.clients.jsontext import Node

__all__ = ["look_at_hook"]


def look_at_hook(settings: Path | None = None) -> list[Finding]:
    """What is to be said of the hook; nothing if there is none.

    Args:
        settings: The settings; default the user's.
    """
    place = settings or hook_settings()
    try:
        root = parse(SettingsFile.read(place, missing="{}\n").text)
    except AegisError as problem:
        return [Finding("settings", "problem", f"{place}: {problem}", "mend the settings")]
    found = commands(root)
    return list(_look(root, place, found)) if found else []


def _look(root: Node, place: Path, found: dict[str, str]) -> Iterator[Finding]:
    again = "run aegis hook install again"
    disabled = root.get("disableAllHooks")
    if disabled is not None and disabled.scalar is True:
        yield Finding("settings", "problem", f"{place} says disableAllHooks: no hook runs", "take that out")
    elif missing := [event for event in EVENTS if event not in found]:
        yield Finding("settings", "problem", f"{place}: the hook is not there for {', '.join(missing)}", again)
    else:
        yield Finding("settings", "ok", str(place))
    words = shlex.split(next(iter(found.values())))
    if shutil.which(words[0]) is None:
        yield Finding("aegis", "failed", f"{words[0]} is not there or cannot be run: every call is blocked", again)
    else:
        yield Finding("aegis", "ok", words[0])
    try:
        end = words.index("||") if "||" in words else len(words)
        options = Options(words[words.index("claude-code") + 1 : end])
        policy = Policy.from_yaml(Path(options.policy))
    except (AegisError, ValueError) as problem:
        yield Finding("policy", "problem", f"{problem}; every call is blocked", "see aegis validate")
        return
    yield Finding("policy", "ok", f"{options.policy}: {len(policy.rules)} rules")
    event = Event("PreToolUse", "doctor", "doctor", "Write", {}, None, None, interrupted=False, facts={})
    within = writable(policy, options.db, event, agent=options.agent, user=options.user or None)
    if within is None:
        yield Finding("cage", "ok", "the policy keeps the tools off the files that govern them")
    elif options.allow_writable_policy:
        yield Finding("cage", "note", f"the policy lets {within[0]} change {within[1]}; that is allowed")
    else:
        yield Finding("cage", "problem", f"the policy lets {within[0]} change {within[1]}: every call is blocked",
                      "add rules like those of the policy that aegis hook install drafts")  # fmt: skip
