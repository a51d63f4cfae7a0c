"""`govern_mcp_client`: an MCP client of LlamaIndex whose every ``call_tool`` is governed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from aegis_llamaindex.door import Door

if TYPE_CHECKING:
    from aegis_core.runtime import Runtime

__all__ = ["govern_mcp_client"]

T = TypeVar("T")


def govern_mcp_client(client: T, runtime: Runtime, *, server: str) -> T:
    """Govern every ``call_tool`` of a ``BasicMCPClient``, in place: its own, and those of ``McpToolSpec``'s tools.

    The client opens a session for every call, so it is governed itself. A refused call returns a result with
    ``is_error`` whose text says why; it does not raise.

    Args:
        client: A ``llama_index.tools.mcp.BasicMCPClient``.
        runtime: Judges the calls, asks people, writes the trail.
        server: The server's name for the policy (``match.target``). You choose it.

    Returns:
        The same object.

    Raises:
        TypeError: If it has no ``call_tool``.
        ValueError: If it is already governed by another runtime or under another name. (The same again changes
            nothing.)
    """
    call_tool: Any = getattr(client, "call_tool", None)
    if not callable(call_tool):
        raise TypeError(f"govern_mcp_client takes a BasicMCPClient, got {client!r}")
    if isinstance(call_tool, _GovernedCallTool):
        if call_tool.door.runtime is not runtime or call_tool.door.target != server:
            raise ValueError(f"this client is already governed, as server {call_tool.door.target!r}")
        return client
    client.call_tool = _GovernedCallTool(call_tool, Door(runtime, server))  # type: ignore[attr-defined]
    return client


class _GovernedCallTool:
    """A client's ``call_tool``, in front of the method of its class."""

    def __init__(self, call_tool: Any, door: Door) -> None:
        self.door = door
        self._call_tool = call_tool

    async def __call__(self, tool_name: str, arguments: dict[str, Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        async def run(approved: dict[str, Any]) -> Any:
            given = None if arguments is None and not approved else approved
            result = await self._call_tool(tool_name, given, *args, **kwargs)
            return Door.reply(result, failed=_failure(result))

        result = await self.door.acall(tool_name, arguments or {}, run)
        if result.refused:
            from mcp.types import CallToolResult  # noqa: PLC0415 - whoever has such a client has the SDK

            text = {"type": "text", "text": result.error}
            return CallToolResult.model_validate({"content": [text], "isError": True})
        if result.exception is not None:
            raise result.exception
        return result.data


def _failure(result: Any) -> str | None:
    if not any(getattr(result, name, False) is True for name in ("is_error", "isError")):
        return None
    texts = [block.text for block in result.content if hasattr(block, "text")]
    return "\n".join(texts) or "the tool reported an error"
