"""Putting the hook into Claude Code's settings, and taking it out.

    "hooks": {"PreToolUse": [{"matcher": "*", "hooks": [{"type": "command", "command": "...", ...}]}], ...}

An entry without a matcher, with an empty one and with ``*`` all mean every tool. Which of them ours has says what was
there before: an array for the event (``*``), no array (empty), or no ``hooks`` at all (none). So everything that was
put in, and nothing else, can be taken out, whatever has changed since.
"""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

from aegis.clients.entries import appended, taken_out
from aegis.clients.jsontext import Node, apply, parse, quoted
from aegis_core.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EVENTS", "command_line", "commands", "installed", "uninstalled"]

EVENTS = ("PreToolUse", "PostToolUse", "PostToolUseFailure")
TIMEOUT = 60
"""Seconds the client waits for the hook; it blocks by itself before."""


def command_line(words: Sequence[str]) -> str:
    """The command that the client's shell runs: `aegis hook claude-code` with these options.

    The interpreter is started so that neither variables (``PYTHONPATH``) nor the folder the agent works in can put
    other modules in the place of ours (``-E -P``). Whatever happens, it ends in 0 or 2: after any other code the client
    lets the call run.
    """
    hook = [sys.executable, "-E", "-P", "-m", "aegis", "hook", "claude-code", *words]
    return f"{shlex.join(hook)} || exit 2"


def installed(text: str, command: str) -> str:
    """The settings with the hook in them, once.

    Raises:
        AegisError: They are no settings that the hook can be put in.
    """
    text = uninstalled(text)
    handler: dict[str, object] = {"type": "command", "command": command, "timeout": TIMEOUT, "onFailure": "block"}
    if _object(parse(text), "the settings").get("hooks") is None:
        arrays = ", ".join(f"{quoted(event)}: [{_entry(handler, None)}]" for event in EVENTS)
        return apply(text, [appended(text, parse(text), f'"hooks": {{{arrays}}}')])
    for event in EVENTS:
        every = _object(parse(text).get("hooks"), "hooks")
        array = every.get(event)
        if array is None:
            text = apply(text, [appended(text, every, f"{quoted(event)}: [{_entry(handler, '')}]")])
        elif array.items is None:
            raise AegisError(f"hooks.{event} is not an array")
        else:
            text = apply(text, [appended(text, array, _entry(handler, "*"))])
    return text


def uninstalled(text: str) -> str:
    """The settings without the hook, as if it had never been in them."""
    bare = False
    while (found := _ours(parse(text))) is not None:
        hooks, number, at, matcher = found
        assert hooks.members is not None
        array = hooks.members[number].value
        assert array.items is not None
        bare = bare or matcher is None
        if len(array.items) == 1 and matcher != "*":
            text = apply(text, [taken_out(text, hooks, number)])
        else:
            text = apply(text, [taken_out(text, array, at)])
    root = parse(text)
    left = root.get("hooks")
    if bare and left is not None and left.members == ():
        keys = [member.key for member in root.members or ()]
        text = apply(text, [taken_out(text, root, keys.index("hooks"))])
    return text


def commands(root: Node) -> dict[str, str]:
    """The command of our hook, by the event it is for."""
    hooks = root.get("hooks")
    return {
        member.key: _commands(entry)[0]
        for member in ((hooks.members or ()) if hooks is not None else ())
        for entry in member.value.items or ()
        if member.key in EVENTS and _runs_us(entry)
    }


def _ours(root: Node) -> tuple[Node, int, int, str | None] | None:
    """The first entry that runs our hook: the object of all hooks, its event's and its own number, and its matcher."""
    hooks = root.get("hooks")
    for number, member in enumerate((hooks.members or ()) if hooks is not None else ()):
        for at, entry in enumerate(member.value.items or ()):
            if member.key in EVENTS and _runs_us(entry):
                matcher = entry.get("matcher")
                assert hooks is not None
                return hooks, number, at, None if matcher is None else matcher.text
    return None


def _runs_us(entry: Node) -> bool:
    texts = _commands(entry)
    return bool(texts) and all("aegis hook claude-code" in text for text in texts)


def _commands(entry: Node) -> list[str]:
    handlers = entry.get("hooks")
    found = [handler.get("command") for handler in (handlers.items or ())] if handlers is not None else []
    return [command.text or "" for command in found if command is not None]


def _object(node: Node | None, name: str) -> Node:
    if node is None or node.members is None:
        raise AegisError(f"{name} must be an object")
    return node


def _entry(handler: dict[str, object], matcher: str | None) -> str:
    entry: dict[str, object] = {} if matcher is None else {"matcher": matcher}
    return json.dumps({**entry, "hooks": [handler]})
