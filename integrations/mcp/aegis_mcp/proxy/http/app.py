"""Which requests may come in: from here, for here, whole, in time, and saying one thing only."""

from __future__ import annotations

import asyncio
import hmac
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from aegis_mcp.proxy import frames
from aegis_mcp.proxy.frames import MAX_BYTES, FrameError, dump
from aegis_mcp.proxy.http.exchange import Exchange
from aegis_mcp.proxy.http.headers import agree, onward, value_of
from aegis_mcp.proxy.http.sessions import Sessions
from aegis_mcp.proxy.http.upstream import Upstream
from aegis_mcp.proxy.relay import refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from aegis_core.runtime import Runtime
    from aegis_mcp.proxy.http.headers import Headers
    from aegis_mcp.proxy.http.upstream import Response
    from aegis_mcp.proxy.tools import ToolView

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

__all__ = ["HttpProxy"]

BODY_PATIENCE = 60.0
"""Seconds a client has to send a whole message."""
_METHODS = ("GET", "POST", "DELETE", "OPTIONS")
_SESSION = b"mcp-session-id"


class RefusedError(Exception):
    """A request that does not come in."""

    def __init__(self, status: int, text: str, *, headers: Headers | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or []


class HttpProxy:
    """An ASGI application: the reverse proxy of one server.

    Args:
        runtime: Governs the calls.
        server: The server's name for the policy.
        upstream: The URL of the server's endpoint. The proxy's has the same path.
        hosts: What clients may call this host (``Host``), with the port if it is not 80; None for anything.
        origins: Which web pages may use it (``Origin``).
        token: A bearer token that clients have to bring.
        view: What clients see of the tools; None where their list passes untouched.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        server: str,
        upstream: str,
        hosts: Collection[str] | None,
        origins: Collection[str] = (),
        token: str | None = None,
        view: ToolView | None = None,
    ) -> None:
        self._sessions = Sessions(runtime, server, view=view)
        url = httpx.URL(upstream)
        self._url = url
        self.path = url.path
        self._target = url.raw_path
        self._hosts = None if hosts is None else {host.lower() for host in hosts}
        self._origins = {origin.lower() for origin in origins}
        self._token = token
        secure = url.scheme == "https"
        # Reading the certificates takes a while, and a server without TLS needs none.
        self._upstream = Upstream(
            url.raw_host.decode("ascii"),
            url.port or (443 if secure else 80),
            authority=url.netloc,
            context=httpx.create_ssl_context() if secure else None,
        )

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        try:
            headers, without = self._admit(scope)
            await self._serve(scope, headers, without, receive, send)
        except RefusedError as refused:
            body = dump(frames.error(None, frames.INVALID_REQUEST, f"refused by Aegis: {refused}"))
            await _respond(send, refused.status, body, refused.headers)
        except FrameError as problem:
            await _respond(send, 400, dump(refusal(problem)), [])

    async def aclose(self) -> None:
        """End all sessions."""
        await self._sessions.close()
        await self._upstream.aclose()

    async def _serve(
        self, scope: dict[str, Any], headers: Headers, without: frozenset[bytes], receive: Receive, send: Send
    ) -> None:
        method: str = scope["method"]
        query: bytes = scope["query_string"]
        message: Any = None
        body = b""
        if method == "POST":
            body = await _body(headers, receive)
            message = frames.parse(body)
            if isinstance(message, list):
                raise FrameError("batches are no longer part of the protocol; send the messages one by one")
            agree(headers, message)

        async def upstream(method: str, headers: Headers, content: bytes) -> Response:
            target = self._target.partition(b"?")[0] + b"?" + query if query else self._target
            own = [*headers, (b"accept-encoding", b"identity")]
            return await self._upstream.request(method, target, own, content if method == "POST" else None)

        await self._sessions.tidy()
        exchange = Exchange(
            self._sessions.find(value_of(headers, _SESSION)),
            self._sessions,
            method=method,
            headers=self._onward(headers, without),
            upstream=upstream,
            send=send,
        )
        if message is None:
            await exchange.stream(partial(_hung_up, receive))
        else:
            await exchange.post(message, body, partial(_hung_up, receive))

    def _admit(self, scope: dict[str, Any]) -> tuple[Headers, frozenset[bytes]]:
        """The headers of a request that may come in, and those that were for us alone.

        Raises:
            RefusedError: It may not.
        """
        headers: Headers = scope["headers"]
        host = (value_of(headers, b"host") or b"").decode("latin-1").lower()
        if self._hosts is not None and host not in self._hosts:
            raise RefusedError(403, "this is not the host it is addressed to (--allow-host)")
        origin = value_of(headers, b"origin")
        if origin is not None and not self._is_known(origin.decode("latin-1").lower(), host):
            raise RefusedError(403, "web pages of that origin may not use it (--allow-origin)")
        if scope["path"] != self.path:
            raise RefusedError(404, f"the endpoint is {self.path}")
        if scope["method"] not in _METHODS:
            raise RefusedError(
                405, "that method is not part of the protocol", headers=[(b"allow", b"GET, POST, DELETE")]
            )
        if self._token is None or scope["method"] == "OPTIONS":
            return headers, frozenset()
        expected = b"bearer " + self._token.encode()
        for name in (b"proxy-authorization", b"authorization"):
            scheme, _, given = (value_of(headers, name) or b"").partition(b" ")
            if hmac.compare_digest(scheme.lower() + b" " + given.strip(), expected):
                return headers, frozenset((name,))
        raise RefusedError(401, "it takes the proxy's bearer token", headers=[(b"www-authenticate", b"Bearer")])

    def _is_known(self, origin: str, host: str) -> bool:
        return origin in self._origins or (urlsplit(origin).netloc == host and self._hosts is not None)

    def _onward(self, headers: Headers, without: frozenset[bytes]) -> Headers:
        """What the server gets; a page of ours is one of its own."""
        passed = onward(headers, without=without)
        origin = value_of(headers, b"origin")
        if origin is not None:
            ours = urlsplit(origin.decode("latin-1")).netloc.lower() == (
                (value_of(headers, b"host") or b"").decode("latin-1").lower()
            )
            theirs = f"{self._url.scheme}://{self._url.netloc.decode()}".encode()
            passed.append((b"origin", theirs if ours else origin))
        return passed


async def _body(headers: Headers, receive: Receive) -> bytes:
    """A request's whole body.

    Raises:
        RefusedError: It is encoded, too long, or too slow.
    """
    if value_of(headers, b"content-encoding") not in (None, b"identity"):
        raise RefusedError(415, "a message must not be compressed")
    pieces: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(BODY_PATIENCE):
            while more:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise RefusedError(400, "the client has gone")
                size += len(event["body"])
                if size > MAX_BYTES:
                    raise RefusedError(413, f"the message is longer than {MAX_BYTES // 2**20} MiB", headers=_CLOSE)
                pieces.append(event["body"])
                more = event.get("more_body", False)
    except TimeoutError:
        raise RefusedError(408, f"the message did not come within {BODY_PATIENCE:g} s", headers=_CLOSE) from None
    return b"".join(pieces)


_CLOSE: Headers = [(b"connection", b"close")]


async def _hung_up(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _respond(send: Send, status: int, body: bytes, headers: Headers) -> None:
    kind = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": kind})
    await send({"type": "http.response.body", "body": body, "more_body": False})
