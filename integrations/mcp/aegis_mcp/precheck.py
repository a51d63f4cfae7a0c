"""Governing tool calls that the program sends itself: ask, then send if the answer is ok. Needs no SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_core.action import Action

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_core.result import Result
    from aegis_core.runtime import Runtime

__all__ = ["AegisMCPToolFilter", "govern_mcp_tool_call"]


async def govern_mcp_tool_call(
    *, runtime: Runtime, tool_name: str, server_name: str, arguments: Mapping[str, Any] | None = None
) -> Result:
    """Govern one MCP tool call: policy, approval, trail; the runtime's executor runs it.

    Where the executor only says yes and the program then sends the call itself, the trail tells what was allowed, not
    how it ended. `govern_session` records that too.

    Args:
        runtime: One with an executor.
        tool_name: The tool (``match.type``).
        server_name: The server (``match.target``).
        arguments: Its arguments, or None.

    Returns:
        How the call ended; ``ok`` if the executor ran it.

    Raises:
        AuditError: It could not be written down; do not send it.
    """
    return await runtime.arun(Action(tool_name, server_name, arguments))


class AegisMCPToolFilter:
    """Asks a runtime about MCP tool calls before the program sends them.

    Args:
        runtime: One with an executor, for `call_tool`.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def check(self, server: str, tool: str, arguments: Mapping[str, Any] | None = None) -> Result:
        """What would happen to a call: a dry run. Nobody is asked, nothing is recorded.

        Returns:
            ``ok`` only if the call could run right now without anyone being asked. Where a person would be asked, its
            status is ``pending_approval``. A call sent after a mere check is not on the trail.
        """
        return self._runtime.check(Action(tool, server, arguments))

    async def call_tool(self, server: str, tool: str, arguments: Mapping[str, Any] | None = None) -> Result:
        """Govern a call: policy, approval, trail. As `govern_mcp_tool_call`."""
        return await govern_mcp_tool_call(
            runtime=self._runtime, tool_name=tool, arguments=arguments, server_name=server
        )
