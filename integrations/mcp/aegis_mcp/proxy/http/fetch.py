"""A request of the proxy's own to the server, beside the one that a client sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_core.errors import AegisError
from aegis_core.text import visible
from aegis_mcp.proxy import frames
from aegis_mcp.proxy.frames import MAX_BYTES, dump, key_of
from aegis_mcp.proxy.http.headers import value_of
from aegis_mcp.proxy.http.outlet import EVENT_STREAM
from aegis_mcp.proxy.http.sse import Events
from aegis_mcp.proxy.http.upstream import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aegis_mcp.proxy.frames import Message
    from aegis_mcp.proxy.http.headers import Headers
    from aegis_mcp.proxy.http.upstream import Response

    Upstream = Callable[[str, Headers, bytes], Awaitable[Response]]

__all__ = ["fetch"]

_OF_THE_CALL = (b"mcp-name", b"mcp-param-", b"last-event-id")


async def fetch(request: Message, headers: Headers, upstream: Upstream) -> Message:
    """Send a request with the credentials and in the session of a client's, and return the answer.

    Args:
        request: The request.
        headers: Those of the client's own request, as the server gets them.
        upstream: Sends a request to the server.

    Raises:
        AegisError: There is no answer.
    """
    own = [pair for pair in headers if not pair[0].startswith(_OF_THE_CALL)]
    if value_of(own, b"mcp-method") is not None:
        own = [pair for pair in own if pair[0] != b"mcp-method"] + [(b"mcp-method", request["method"].encode())]
    try:
        response = await upstream("POST", own, dump(request).rstrip(b"\n"))
        try:
            async for data in _messages(response):
                message = frames.loose(data)
                if isinstance(message, dict) and key_of(message.get("id")) == key_of(request["id"]):
                    return message
        finally:
            response.close()
    except (UpstreamError, ValueError) as problem:
        raise AegisError(f"cannot be asked: {visible(str(problem) or type(problem).__name__)}") from problem
    raise AegisError(f"did not answer (HTTP {response.status})")


async def _messages(response: Response) -> AsyncIterator[bytes]:
    """The messages in a response, whether it is one or a stream of them."""
    if response.header(b"content-type").partition(b";")[0].strip().lower() == EVENT_STREAM:
        events = Events()
        async for chunk in response.chunks():
            for event in events.feed(chunk):
                if event.data and event.kind in (b"", b"message"):
                    yield event.data
        return
    body = b""
    async for chunk in response.chunks():
        body += chunk
        if len(body) > MAX_BYTES:
            raise ValueError(f"its answer is longer than {MAX_BYTES // 2**20} MiB")
    yield body
