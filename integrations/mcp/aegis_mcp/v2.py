"""Where tool calls pass in the MCP SDK 2.x."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import wrapt
from mcp import Client, ClientSession, ClientSessionGroup
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel

from aegis_mcp.proxy.rounds import Rounds
from aegis_mcp.serving import SERVING, Serving, in_rounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_mcp.tool_calls import ToolCalls

__all__ = ["govern_server", "govern_session", "lowlevel"]

_ENVELOPE = {"resultType": "complete"}
"""Required in every result since protocol 2026-07-28. A client session drops it where an older one was negotiated."""


def govern_session(session: Any, calls: ToolCalls) -> None:
    """Put ``calls`` in front of whatever the session sends."""
    if isinstance(session, ClientSession):
        _govern_dispatcher(session, calls)
    elif isinstance(session, Client):
        _govern_client(session, calls)
    elif isinstance(session, ClientSessionGroup):
        raise TypeError(
            "a ClientSessionGroup has many servers; govern each session as it connects: "
            "govern_session(await group.connect_to_server(params), runtime, server='its name')"
        )
    else:
        raise TypeError(f"govern_session takes an mcp.ClientSession or mcp.Client, got {session!r}")


def _govern_client(client: Any, calls: ToolCalls) -> None:
    if client._session is not None:
        _govern_dispatcher(client._session, calls)
        return
    build_session = client._build_session

    async def build_governed_session(*args: Any) -> Any:
        session = await build_session(*args)
        _govern_dispatcher(session, calls)
        return session

    client._build_session = build_governed_session


def _govern_dispatcher(session: Any, calls: ToolCalls) -> None:
    present = session._dispatcher
    if isinstance(present, _GovernedDispatcher):
        present.calls.insist(calls)
    else:
        session._dispatcher = _GovernedDispatcher(present, session, calls)


class _GovernedDispatcher(wrapt.ObjectProxy):
    """A session's dispatcher: what every request leaves through, also one built by hand.

    A proxy, because the SDK asks a dispatcher for its type.
    """

    def __init__(self, dispatcher: Any, session: Any, calls: ToolCalls) -> None:
        super().__init__(dispatcher)
        self._self_session = session
        self._self_calls = calls

    @property
    def calls(self) -> ToolCalls:
        return self._self_calls

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: Any = None, **more: Any
    ) -> dict[str, Any]:
        send_raw_request = self.__wrapped__.send_raw_request
        if method != "tools/call":
            return await send_raw_request(method, params, opts, **more)  # type: ignore[no-any-return]
        given = dict(params or {})

        async def send(judged: dict[str, Any]) -> dict[str, Any]:
            edited = judged.get("arguments") != given.get("arguments")
            options = self._with_headers_of(judged, opts) if edited and opts else opts
            return await send_raw_request(method, judged, options, **more)  # type: ignore[no-any-return]

        return await self._self_calls.call(given, send, envelope=_ENVELOPE)

    def _with_headers_of(self, params: Mapping[str, Any], opts: Mapping[str, Any]) -> dict[str, Any]:
        """Some arguments are repeated in HTTP headers; after an approver's edit these must say the same."""
        kept = {name: value for name, value in opts.get("headers", {}).items() if not name.startswith("Mcp-Param-")}
        mirrored = self._self_session._resolve_param_headers(params["name"], params["arguments"])
        return {**opts, "headers": {**kept, **mirrored}}


def lowlevel(server: Any) -> Any:
    """The lowlevel server that does an MCP server's work."""
    inner: Any = getattr(server, "_lowlevel_server", None) if isinstance(server, MCPServer) else server
    if not isinstance(inner, Server):
        raise TypeError(f"govern_server takes an MCPServer or a lowlevel Server of the MCP SDK, got {server!r}")
    return inner


def govern_server(server: Any, calls: ToolCalls) -> None:
    """Put ``calls`` innermost among the server's middleware, where a request is what the handler gets."""
    present = next((layer for layer in server.middleware if isinstance(layer, _Middleware)), None)
    if present is not None:
        present.calls.insist(calls)
    else:
        server.middleware.append(_Middleware(calls))


class _Middleware:
    def __init__(self, calls: ToolCalls) -> None:
        self.calls = calls

    async def __call__(self, context: Any, call_next: Any) -> Any:
        if context.method != "tools/call":
            return await call_next(context)

        async def send(judged: dict[str, Any]) -> dict[str, Any]:
            result = await call_next(dataclasses.replace(context, params=judged))
            if isinstance(result, BaseModel):  # from a middleware further in; handlers' results are dicts here
                return result.model_dump(by_alias=True, mode="json", exclude_none=True)
            return result  # type: ignore[no-any-return]

        modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
        serving = Serving(context.session, context.request_id, modern=modern)
        serving_before = SERVING.set(serving)
        try:
            params = dict(context.params or {})
            if not modern:
                return await self.calls.call(params, send)
            trail = getattr(self.calls.runtime.approval_handler, "asks_in_results_of", None)
            if trail is None:
                return await self.calls.call(params, send, envelope=_ENVELOPE)
            governed = partial(self.calls.call, send=send, envelope=_ENVELOPE)
            return await in_rounds(serving, Rounds(trail.digest), params, governed)
        finally:
            SERVING.reset(serving_before)
