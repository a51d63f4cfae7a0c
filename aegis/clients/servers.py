"""The MCP servers that a client's settings name, and how one is run through the proxy and released again.

A server's entry is changed in two places. Its command becomes `aegis`, and in front of its arguments stand ours, a
``--`` and the command that was there, as it was written:

    "command": "npx",         "args": [                             "-y", "@scope/server", "/data"]
    "command": "/bin/aegis",  "args": ["proxy", ..., "--", "npx",   "-y", "@scope/server", "/data"]

So everything needed to undo it is in the entry itself, whatever else its owner has changed since. An entry that had no
``args`` gets them with ``--server`` first among our options; that is how they are known as ours to take away.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from aegis.clients.entries import taken_out
from aegis.clients.jsontext import Edit, Node, after_gap, apply, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Server", "option", "other_options", "servers", "unwrapped", "wrapped"]

_FLAGS = frozenset(("--allow-writable-policy",))
_GIVEN = frozenset(("--policy", "--db", "--server")) | _FLAGS


@dataclass(frozen=True, slots=True)
class Server:
    """One server's entry.

    Attributes:
        name: Its name in the settings.
        place: The keys that lead to it.
        entry: The entry.
    """

    name: str
    place: tuple[str, ...]
    entry: Node

    @property
    def command(self) -> tuple[str, ...] | None:
        """The command line it is started with; None if it is not started by a command, or that cannot be read."""
        command, args = self.entry.get("command"), self.entry.get("args")
        if command is None or command.text is None:
            return None
        if args is not None and args.items is None:
            return None
        words = [item.text for item in args.items or ()] if args is not None else []
        if any(word is None for word in words):
            return None
        return (command.text, *(word for word in words if word is not None))

    @property
    def behind(self) -> tuple[str, ...] | None:
        """The command behind the proxy; None if it does not run through it."""
        words = self.command
        at = None if words is None else _proxy_at(words)
        return None if words is None or at is None else words[words.index("--", at) + 1 :]

    @property
    def options(self) -> tuple[str, ...]:
        """The proxy's options, if it runs through it."""
        words = self.command or ()
        at = _proxy_at(words)
        return () if at is None else words[at + 1 : words.index("--", at)]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that its entry sets."""
        env = self.entry.get("env")
        members = (env.members or ()) if env is not None else ()
        return {member.key: member.value.text for member in members if member.value.text is not None}

    @property
    def problem(self) -> str | None:
        """Why the proxy cannot stand in front of it; None if it can."""
        if self.command is not None:
            return None if self.command[0] else "its command is empty"
        if self.entry.members is None:
            return "its entry is not an object"
        if self.entry.get("command") is not None:
            return "its command is not a string with a list of strings as args"
        if self.entry.get("url") is not None or self.entry.get("serverUrl") is not None:
            return "it is reached over HTTP, and the proxy that is put in by this command stands before programs only"
        return "it has no command"


def _proxy_at(words: Sequence[str]) -> int | None:
    """Where ``proxy`` stands in a command line that runs a server through us; None in any other."""
    if not words:
        return None
    at = None
    if PurePath(words[0].replace("\\", "/")).name.lower() in ("aegis", "aegis.exe") and words[1:2] == ("proxy",):
        at = 1
    elif "-m" in words[:4]:
        module = words.index("-m") + 1
        at = module + 1 if tuple(words[module : module + 2]) == ("aegis", "proxy") else None
    if at is None or "--" not in words[at:] or words.index("--", at) + 1 >= len(words):
        return None
    return at


def servers(root: Node) -> list[Server]:
    """Every server that a client's settings name: of the user, of VS Code, and of each project Claude Code knows."""
    return list(_find(root))


def _find(root: Node) -> Iterator[Server]:
    places: list[tuple[str, ...]] = [("mcpServers",), ("servers",), ("mcp", "servers")]
    projects = root.get("projects")
    places += [("projects", member.key, "mcpServers") for member in (projects.members or () if projects else ())]
    for place in places:
        node = root.get(*place)
        for member in (node.members or ()) if node is not None else ():
            yield Server(member.key, place, member.value)


def wrapped(text: str, server: Server, program: Sequence[str], options: Sequence[tuple[str, ...]]) -> str:
    """The settings with a server run through the proxy.

    Args:
        text: The settings.
        server: One of their servers, which does not run through it.
        program: The command that runs `aegis`, and arguments it needs.
        options: The proxy's options but for ``--server``, each with its value.
    """
    command, args = server.entry.get("command"), server.entry.get("args")
    assert command is not None
    name = ("--server", server.name)
    ours = [name, *options] if args is None else [*options, name]
    words = [*program[1:], "proxy", *(word for option in ours for word in option), "--"]
    front = ", ".join([*map(quoted, words), text[command.start : command.end]])
    edits = [Edit(command.start, command.end, quoted(program[0]))]
    if args is None:
        edits[0] = Edit(command.start, command.end, f'{quoted(program[0])}, "args": [{front}]')
    else:
        edits.append(Edit(args.start + 1, args.start + 1, front + ("," if args.items else "")))
    return apply(text, edits)


def unwrapped(text: str, server: Server) -> str:
    """The settings with a server that runs through the proxy started by itself again."""
    command, args = server.entry.get("command"), server.entry.get("args")
    words = server.command
    assert command is not None
    assert args is not None
    assert args.items is not None
    assert words is not None
    at = _proxy_at(words)
    assert at is not None
    own = words.index("--", at)  # of the words; one less among the args, whose next is the command that was there
    original = args.items[own]
    edits = [Edit(command.start, command.end, text[original.start : original.end])]
    if words[at + 1] == "--server" and own + 1 == len(args.items):
        keys = [member.key for member in server.entry.members or ()]
        edits.append(taken_out(text, server.entry, keys.index("args")))
    else:
        end = after_gap(text, original.end)
        followed = text[end : end + 1] == ","  # by an argument, or as editors allow it by nothing
        edits.append(Edit(args.start + 1, end + 1 if followed else original.end, ""))
    return apply(text, edits)


def other_options(options: Sequence[str]) -> tuple[str, ...]:
    """The proxy's options but for those that `wrapped` is given: what somebody has put there by hand."""
    others: list[str] = []
    words = iter(options)
    for word in words:
        name, given, _ = word.partition("=")
        if name not in _GIVEN:
            others.append(word)
        elif not given and name not in _FLAGS:
            next(words, None)
    return tuple(others)


def option(options: Sequence[str], name: str) -> str | None:
    """The value of one of the proxy's options; None if it is not given."""
    for at, word in enumerate(options):
        if word == name and at + 1 < len(options):
            return options[at + 1]
        if word.startswith(name + "="):
            return word.partition("=")[2]
    return None
