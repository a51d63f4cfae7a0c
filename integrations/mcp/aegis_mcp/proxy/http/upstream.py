"""Requests to the server behind the proxy, over connections that are kept: h11 speaks HTTP, asyncio carries it.

A request is one write and an answer is heard where it arrives. HTTP clients with more layers take a dozen rounds of the
event loop for the same, which is most of what a call over HTTP would cost.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

import h11

from aegis_mcp.proxy.http.headers import value_of
from aegis_mcp.proxy.strand import Reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from aegis_mcp.proxy.http.headers import Headers

__all__ = ["Response", "Upstream", "UpstreamError"]

CONNECT_PATIENCE = 10.0
"""Seconds the server has to accept a connection."""
_KEPT = 100
"""Connections that are kept when nothing is under way on them."""
_KEPT_FOR = 30.0
"""Seconds they are."""
_HEAD = 100 * 1024
"""Bytes of a response's headers."""
_AHEAD = 256 * 1024
"""Bytes that may have arrived and not been asked for; then the server is made to wait."""


class UpstreamError(Exception):
    """The server cannot be reached, or what it sends is no HTTP.

    Attributes:
        unheard: Whether the request surely never reached it.
    """

    def __init__(self, text: str, *, unheard: bool = False) -> None:
        super().__init__(text)
        self.unheard = unheard


class Upstream:
    """The way to one server.

    Args:
        host: Its name or address.
        port: Its port.
        authority: What it calls itself, for the ``Host`` header.
        context: For TLS; None for none.
    """

    def __init__(self, host: str, port: int, *, authority: bytes, context: ssl.SSLContext | None = None) -> None:
        self._host = host
        self._port = port
        self._authority = authority
        self._context = context
        if context is not None:
            context.set_alpn_protocols(["http/1.1"])
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()

    async def request(self, method: str, target: bytes, headers: Headers, content: bytes | None) -> Response:
        """Send a request; returns when the headers of the answer are here.

        Args:
            method: The method.
            target: Path and query.
            headers: The headers, without ``Host`` and ``Content-Length``.
            content: The body, or None for none.

        Raises:
            UpstreamError: There is no answer.
        """
        length = [] if content is None else [(b"content-length", b"%d" % len(content))]
        try:
            head = h11.Request(method=method, target=target, headers=[(b"host", self._authority), *headers, *length])
        except h11.LocalProtocolError as problem:
            raise UpstreamError(str(problem), unheard=True) from problem
        connection = self._kept() or await self._connect()
        self._open.add(connection)
        try:
            connection.send(head, content)
            while True:
                event = await connection.event()
                if isinstance(event, h11.Response):  # and not one of those that only say that one will come
                    return Response(self, connection, event)
        except BaseException:
            self.drop(connection)
            raise

    def keep(self, connection: _Connection) -> None:
        """An answer has ended: its connection may carry another request."""
        self._open.discard(connection)
        if connection.reusable() and len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            connection.close()

    def drop(self, connection: _Connection) -> None:
        """End a connection on which an answer is under way."""
        self._open.discard(connection)
        connection.close()

    async def aclose(self) -> None:
        """End all connections."""
        for connection in (*self._idle, *self._open):
            connection.close()
        self._idle.clear()
        self._open.clear()
        await asyncio.sleep(0)  # the loop ends them

    def _kept(self) -> _Connection | None:
        """The connection that was used last, if it is still good; the ones that rested too long are ended."""
        while self._idle and self._idle[0].rested() > _KEPT_FOR:
            self._idle.popleft().close()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.close()
        return None

    async def _connect(self) -> _Connection:
        await asyncio.sleep(0)  # a timeout needs a task
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_PATIENCE):
                _, connection = await loop.create_connection(
                    _Connection, self._host, self._port, ssl=self._context, happy_eyeballs_delay=0.25
                )
        except TimeoutError:
            raise UpstreamError(f"no connection within {CONNECT_PATIENCE:g} s", unheard=True) from None
        except OSError as error:
            raise UpstreamError(error.strerror or str(error), unheard=True) from error
        return connection


class Response:
    """An answer whose headers are here.

    Attributes:
        status: Its status.
        headers: Its headers, as they came.
    """

    def __init__(self, upstream: Upstream, connection: _Connection, head: h11.Response) -> None:
        self._upstream = upstream
        self._connection: _Connection | None = connection
        self.status = head.status_code
        self.headers: Headers = list(head.headers.raw_items())

    def header(self, name: bytes) -> bytes:
        """The value of a header, or nothing."""
        return value_of([(key.lower(), value) for key, value in self.headers], name) or b""

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body, as it comes.

        Raises:
            UpstreamError: It is cut off.
        """
        while self._connection is not None:
            event = await self._connection.event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                connection, self._connection = self._connection, None
                self._upstream.keep(connection)
            else:
                raise UpstreamError("the server closed the connection in the middle of its answer")

    def close(self) -> None:
        """What is left of the answer is not wanted."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._upstream.drop(connection)


class _Connection(asyncio.Protocol):
    """One connection, and what has arrived on it."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)
        self._transport: asyncio.Transport | None = None
        self._arrived: list[bytes] = []
        self._size = 0
        self._paused = False
        self._ended = False
        self._waiter: Reply[None] | None = None
        self._since = 0.0

    # --- called by the event loop ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._arrived.append(data)
        self._size += len(data)
        if self._size > _AHEAD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        self._ended = True
        self._wake()

    # --- called by who has a request -------------------------------------------------------------------------------

    def send(self, head: h11.Request, content: bytes | None) -> None:
        """Send a whole request, at once."""
        assert self._transport is not None
        parts = [self._http.send(head)]
        if content:
            parts.append(self._http.send(h11.Data(data=content)))
        parts.append(self._http.send(h11.EndOfMessage()))
        self._transport.write(b"".join(filter(None, parts)))

    async def event(self) -> h11.Event | type[h11.PAUSED]:
        """What comes next.

        Raises:
            UpstreamError: It is no HTTP, or is cut off.
        """
        while True:
            try:
                event = self._http.next_event()
                if event is not h11.NEED_DATA:
                    return event  # type: ignore[return-value]
                if not (self._arrived or self._ended):
                    await self._news()
                if not self._arrived and self._http.their_state is h11.SEND_RESPONSE:
                    raise UpstreamError("the server closed the connection without an answer")
                self._http.receive_data(self._take())  # nothing is the end
            except h11.RemoteProtocolError as problem:
                raise UpstreamError(str(problem)) from problem

    def reusable(self) -> bool:
        """Make it ready for another request, if it can carry one."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        if self._transport is None or self._transport.get_write_buffer_size():
            return False  # it has answered before it has read all
        self._http.start_next_cycle()
        self._since = time.monotonic()
        return self.usable()

    def usable(self) -> bool:
        """Whether nothing has been heard on it since the last answer, not even its end."""
        return not (self._arrived or self._ended) and self._http.trailing_data[0] == b""

    def rested(self) -> float:
        """Seconds since the last answer."""
        return time.monotonic() - self._since

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self) -> bytes:
        data = self._arrived[0] if len(self._arrived) == 1 else b"".join(self._arrived)
        self._arrived.clear()
        self._size = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def _news(self) -> None:
        self._waiter = Reply()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.bring(None)
