"""The list of tools on its way to the client: held against the lock, without what the policy blocks outright.

Otherwise it passes as it is, byte for byte. Where two readers could understand the server's bytes differently, the
client gets what was understood here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from aegis_core.decision import Approval
from aegis_core.errors import AegisError
from aegis_core.policy.reach import possible
from aegis_core.text import visible
from aegis_mcp.proxy import frames
from aegis_mcp.proxy.frames import FrameError, dump

if TYPE_CHECKING:
    from aegis_core.runtime import Runtime
    from aegis_mcp.pinning.pins import Pins
    from aegis_mcp.proxy.frames import Message

__all__ = ["LIST", "LIST_CHANGED", "ToolView"]

LIST, LIST_CHANGED = "tools/list", "notifications/tools/list_changed"
_log = logging.getLogger("aegis.proxy")


class ToolView:
    """What a connection's client sees of the tools.

    Args:
        runtime: Whose policy says what is blocked.
        server: The server's name for the policy.
        pins: Holds the tools against the lock; None where they are not pinned.
        hide: Whether tools that the policy blocks whatever their arguments are left out.
    """

    def __init__(self, runtime: Runtime, server: str, *, pins: Pins | None = None, hide: bool = False) -> None:
        self.pins = pins
        self._runtime = runtime
        self._server = server
        self._hide = hide

    def listed(self, message: Message, line: bytes, cursor: str | None) -> bytes:
        """The answer to a ``tools/list`` as the client gets it.

        Args:
            message: The server's answer.
            line: Its bytes.
            cursor: What the list was asked with.
        """
        result = message.get("result")
        if not isinstance(result, dict):
            return line
        try:
            frames.parse(line)
        except FrameError as problem:
            _log.warning("the list of tools could be read in two ways (%s); it was written anew", problem)
            line = dump(message)
        try:
            shown = result if self.pins is None else self.pins.page(result, cursor)
        except AegisError as problem:
            _log.error("the list of tools was not passed on: %s", visible(str(problem)))
            return dump(frames.error(message.get("id"), frames.INTERNAL_ERROR, f"refused by Aegis: {problem}"))
        shown = self._permitted(shown)
        return line if shown is result else dump({**message, "result": shown})

    def _permitted(self, result: Any) -> Any:
        tools = result.get("tools")
        if not (self._hide and self._runtime.enforced and isinstance(tools, list)):
            return result
        agent, user, _ = self._runtime.principal()

        def hidden(tool: Any) -> bool:
            name = tool.get("name") if isinstance(tool, dict) else None
            if not isinstance(name, str):
                return False
            return possible(self._runtime.policy, (name, self._server, agent, user)) <= {Approval.BLOCK}

        kept = [tool for tool in tools if not hidden(tool)]
        return result if len(kept) == len(tools) else {**result, "tools": kept}
