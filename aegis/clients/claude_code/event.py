"""What Claude Code sends a hook, as far as it matters here.

By its documentation of November 2026: ``session_id``, ``cwd``, ``permission_mode``, ``hook_event_name``, ``tool_name``,
``tool_input``, ``tool_use_id``; then ``tool_response``, or ``error`` and ``is_interrupt``.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from aegis_core.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TARGET", "Event", "readings"]

TARGET = "claude-code"
"""The target of the client's own tools; that of an MCP server's is the server's name."""
_NAMES = ("PreToolUse", "PostToolUse", "PostToolUseFailure")
_FACTS = ("cwd", "permission_mode", "tool_use_id", "agent_id", "agent_type")


class Event(NamedTuple):
    """One event.

    Attributes:
        name: ``PreToolUse``, ``PostToolUse`` or ``PostToolUseFailure``.
        session: The conversation.
        use: Names the call within it; None from Claude Code before 2.0.43, and then nothing joins a call and how it
            ended.
        tool: The tool's name as the client has it.
        arguments: What the tool is called with.
        response: What it returned; None before it has.
        error: Why it failed, if it did.
        interrupted: Whether the user stopped it.
        facts: Where, in what mode and for which subagent: for the record.
    """

    name: str
    session: str
    use: str | None
    tool: str
    arguments: dict[str, Any]
    response: Any
    error: str | None
    interrupted: bool
    facts: dict[str, str]

    @classmethod
    def read(cls, data: bytes) -> Event:
        """Read an event.

        Raises:
            AegisError: It is not one of those, or something that matters is missing or could be read in two ways.
        """
        try:
            found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique)
        except (ValueError, RecursionError) as problem:
            raise AegisError(f"the event on standard input cannot be read: {str(problem)[:200]}") from None
        if not isinstance(found, dict):
            raise AegisError("the event on standard input is not a JSON object")
        name = found.get("hook_event_name")
        if name not in _NAMES:
            raise AegisError(f"the event {str(name)[:80]!r} is not one this hook is for ({', '.join(_NAMES)})")
        arguments = found.get("tool_input", {})
        if not isinstance(arguments, dict):
            raise AegisError("the event's tool_input is not an object")
        response = found.get("tool_response")
        error = found.get("error")
        stopped = found.get("is_interrupt") is True or (
            isinstance(response, dict) and response.get("interrupted") is True
        )
        return cls(
            name,
            _text(found, "session_id"),
            _text(found, "tool_use_id") if "tool_use_id" in found else None,
            _text(found, "tool_name"),
            arguments,
            response,
            error if isinstance(error, str) else None if error is None else json.dumps(error),
            stopped,
            {fact: found[fact] for fact in _FACTS if isinstance(found.get(fact), str)},
        )

    def call_id(self, digest: Callable[[bytes], str]) -> str:
        """The call's id on the trail: the same in the process that judges it and in the one that tells how it ended.

        Args:
            digest: The trail's keyed digest.
        """
        if self.use is None:
            return os.urandom(16).hex()
        return digest(f"claude-code\0{self.session}\0{self.use}".encode("utf-8", "surrogatepass"))[:32]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key is there twice")
    return mapping


def _text(found: dict[str, Any], key: str) -> str:
    text = found.get(key)
    if not isinstance(text, str) or not text:
        raise AegisError(f"the event says no {key}")
    return text


def readings(tool: str) -> list[tuple[str, str]]:
    """What a tool's name may mean, as ``(type, target)``, the likeliest first.

    ``mcp__server__tool`` is the tool of a server. Servers' names may hold ``__`` too, so that more than one division is
    possible; then every one counts, and the strictest answer wins.
    """
    if not tool.startswith("mcp__"):
        return [(tool, TARGET)]
    rest = tool.removeprefix("mcp__")
    divided = [
        (rest[at + 2 :], rest[:at]) for at in range(1, len(rest) - 2) if rest.startswith("__", at) and rest[at + 2 :]
    ]
    return divided or [(tool, TARGET)]
