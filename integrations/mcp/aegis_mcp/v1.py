"""Where tool calls pass in the MCP SDK 1.x. Untyped: type checkers see the other major version."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from aegis_mcp.serving import SERVING, Serving

if TYPE_CHECKING:
    from aegis_mcp.tool_calls import ToolCalls

__all__ = ["govern_server", "govern_session", "lowlevel"]

_mcp: Any = import_module("mcp")
_types: Any = import_module("mcp.types")
_server: Any = import_module("mcp.server.lowlevel")
_requests: Any = import_module("mcp.server.lowlevel.server")
_fastmcp: Any = import_module("mcp.server.fastmcp")


def govern_session(session: Any, calls: ToolCalls) -> None:
    """Put ``calls`` in front of the session's `send_request`, which every request leaves through."""
    if isinstance(session, _mcp.ClientSessionGroup):
        raise TypeError(
            "a ClientSessionGroup has many servers; govern each session as it connects: "
            "govern_session(await group.connect_to_server(params), runtime, server='its name')"
        )
    if not isinstance(session, _mcp.ClientSession):
        raise TypeError(f"govern_session takes an mcp.ClientSession, got {session!r}")
    present = session.send_request
    if isinstance(present, _SendRequest):
        present.calls.insist(calls)
    else:
        session.send_request = _SendRequest(present, calls)


class _SendRequest:
    """A session's `send_request`, kept on the session itself, where it comes before the one of its class."""

    def __init__(self, send_request: Any, calls: ToolCalls) -> None:
        self._send_request = send_request
        self.calls = calls

    async def __call__(self, request: Any, result_type: Any, *args: Any, **kwargs: Any) -> Any:
        wire = _wire(request)
        if wire["method"] != "tools/call":
            return await self._send_request(request, result_type, *args, **kwargs)

        async def send(judged: dict[str, Any]) -> dict[str, Any]:
            approved = type(request).model_validate({**wire, "params": judged})
            return await self._send_request(approved, _AsSent, *args, **kwargs)  # type: ignore[no-any-return]

        result = await self.calls.call(wire["params"], send)
        try:
            return result_type.model_validate(result)
        except ValidationError:
            if not result.get("isError"):
                raise
            # Whoever wants a task or another kind of result cannot be given a refusal in it, only as a protocol error.
            error = _types.ErrorData(code=_types.INVALID_REQUEST, message=result["content"][0]["text"])
            raise _mcp.McpError(error) from None


class _AsSent:
    """In the place of a result type: the result as the server sent it."""

    @staticmethod
    def model_validate(result: Any) -> Any:
        return result


def lowlevel(server: Any) -> Any:
    """The lowlevel server that does an MCP server's work."""
    inner = server._mcp_server if isinstance(server, _fastmcp.FastMCP) else server
    if not isinstance(inner, _server.Server):
        raise TypeError(f"govern_server takes a FastMCP or a lowlevel Server of the MCP SDK, got {server!r}")
    return inner


def govern_server(server: Any, calls: ToolCalls) -> None:
    """Put ``calls`` in front of the server's handler of tool calls."""
    present = server.request_handlers.get(_types.CallToolRequest)
    if present is None:
        raise ValueError("this server has no call_tool handler to govern; register it (@server.call_tool()) first")
    if isinstance(present, _Handler):
        present.calls.insist(calls)
    else:
        server.request_handlers[_types.CallToolRequest] = _Handler(present, calls)


class _Handler:
    def __init__(self, handler: Any, calls: ToolCalls) -> None:
        self._handler = handler
        self.calls = calls

    async def __call__(self, request: Any) -> Any:
        wire = _wire(request)
        answer: Any = None
        sent: Any = None

        async def send(judged: dict[str, Any]) -> dict[str, Any]:
            nonlocal answer, sent
            answer = await self._handler(type(request).model_validate({**wire, "params": judged}))
            sent = reply = _wire(answer)
            return reply

        context = _requests.request_ctx.get()
        serving_before = SERVING.set(Serving(context.session, context.request_id))
        try:
            result = await self.calls.call(wire["params"], send)
        finally:
            SERVING.reset(serving_before)
        return answer if result is sent else _types.ServerResult(_types.CallToolResult.model_validate(result))


def _wire(message: Any) -> dict[str, Any]:
    return message.model_dump(by_alias=True, mode="json", exclude_none=True)  # type: ignore[no-any-return]
