"""One request of a client, carried to the server and back.

A message that may go on becomes a request to the server; what the server answers, as one message or as a stream of
them, passes through the `Relay` one by one and leaves in the response to the client, each as it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from aegis_core.text import visible
from aegis_mcp.proxy import frames
from aegis_mcp.proxy.frames import MAX_BYTES, FrameError, dump, key_of
from aegis_mcp.proxy.http.fetch import fetch
from aegis_mcp.proxy.http.headers import mend, repeats_arguments, returned, value_of
from aegis_mcp.proxy.http.outlet import EVENT_STREAM, JSON, Outlet
from aegis_mcp.proxy.http.sse import Events
from aegis_mcp.proxy.http.upstream import UpstreamError
from aegis_mcp.proxy.strand import Strand
from aegis_mcp.proxy.way import Gone, ServerError, Way

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aegis_mcp.proxy.frames import Message
    from aegis_mcp.proxy.http.headers import Headers
    from aegis_mcp.proxy.http.sessions import Sessions
    from aegis_mcp.proxy.http.sse import Event
    from aegis_mcp.proxy.http.upstream import Response
    from aegis_mcp.proxy.relay import Relay

__all__ = ["Exchange"]

_log = logging.getLogger("aegis.proxy")
_SESSION = b"mcp-session-id"
_UNWATCHED = 0.02
"""Seconds before anybody looks whether the client is still there. Most answers are there by then."""


class Exchange:
    """One request and its response.

    Args:
        relay: The connection it belongs to.
        sessions: Where the connection is known from, once the server has given it an id.
        method: The HTTP method.
        headers: What the server gets of the client's headers.
        upstream: Sends a request to the server; returns when the answer's headers are here.
        send: The ASGI channel to the client.
    """

    def __init__(
        self,
        relay: Relay,
        sessions: Sessions,
        *,
        method: str,
        headers: Headers,
        upstream: Callable[[str, Headers, bytes], Awaitable[Response]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self._relay = relay
        self._sessions = sessions
        self._method = method
        self._headers = headers
        self._upstream = upstream
        self._outlet = Outlet(send)
        self._message: Message = {}
        self._id: Any = None
        self._way: Way | None = None
        self._governing: asyncio.Future[None] | None = None
        self._forwarding: asyncio.Future[None] | None = None
        self._watching: asyncio.Future[None] | None = None
        self._session = value_of(headers, _SESSION)
        self._resumable = False  # whether an answer that is missing may still come, on another stream

    # --- the two kinds of requests ---------------------------------------------------------------------------------

    async def post(self, message: Message, line: bytes, hung_up: Callable[[], Awaitable[None]]) -> None:
        """Carry a message; returns when the response is complete or the client has gone.

        Args:
            message: The message, checked.
            line: Its bytes.
            hung_up: Waits until the client has gone.
        """
        self._message, self._id = message, message.get("id") if "method" in message else None
        accepts = value_of(self._headers, b"accept") or b""
        can_ask = EVENT_STREAM in accepts or b"*/*" in accepts
        own = partial(fetch, headers=self._headers, upstream=self._upstream)
        self._way = Way(self._answer, self._go_on, ask=self._ask if can_ask else None, fetch=own)
        self._governing = self._relay.take(message, line, self._way)
        if self._governing is not None:
            self._governing.add_done_callback(lambda _: self._outlet.stir())
        await self._until_over(hung_up)

    async def stream(self, hung_up: Callable[[], Awaitable[None]]) -> None:
        """Carry a request without a body (GET: the server's own messages; DELETE: the end of the session)."""
        self._go_on(b"")
        await self._until_over(hung_up)

    async def _until_over(self, hung_up: Callable[[], Awaitable[None]]) -> None:
        looking = asyncio.get_running_loop().call_later(_UNWATCHED, self._watch, hung_up)
        try:
            while not (self._over() or self._gone()):
                await self._outlet.news()
                await self._outlet.flush()
            if self._gone() and not self._over():
                await self._hang_up()
            elif not self._outlet.started:
                self._silence()
            self._outlet.end()
            await self._outlet.flush()
        finally:
            looking.cancel()
            if self._watching is not None:
                self._watching.cancel()
            if self._forwarding is not None and not self._forwarding.done():
                await _end(self._forwarding)

    def _watch(self, hung_up: Callable[[], Awaitable[None]]) -> None:
        self._watching = asyncio.ensure_future(hung_up())
        self._watching.add_done_callback(lambda _: self._outlet.stir())

    def _gone(self) -> bool:
        """Whether the client has gone, as far as anybody has looked."""
        return self._watching is not None and self._watching.done()

    def _over(self) -> bool:
        """Whether nothing more can come. A call whose stream has ended early goes on without this exchange."""
        if self._forwarding is not None:
            return self._forwarding.done()
        return self._governing is None or self._governing.done()

    async def _hang_up(self) -> None:
        """The client has gone. In the stateless era that cancels the call; a session may be resumed."""
        call = self._governing
        if call is not None and (self._forwarding is None or self._session is None):
            await _end(call)
        if self._forwarding is not None:
            await _end(self._forwarding)

    def _silence(self) -> None:
        """There is nothing to say: a message was taken, or its answer is not wanted any more."""
        if self._id is None:
            self._outlet.whole(202, [], b"")
        else:
            error = frames.error(self._id, frames.INTERNAL_ERROR, "the request has ended without an answer")
            self._outlet.whole(200, [(b"content-type", JSON)], dump(error))

    # --- to the client ---------------------------------------------------------------------------------------------

    def _answer(self, data: bytes, status: int = 200, headers: Headers | None = None) -> None:
        """The answer to the client's request."""
        if self._outlet.streaming:
            self._outlet.write(_event(data))
        elif not self._outlet.started:
            kept = [pair for pair in headers or [] if pair[0] != b"content-type"]
            self._outlet.whole(status, [(b"content-type", JSON), *kept], data.rstrip(b"\n"))

    def _ask(self, data: bytes) -> None:
        """A request of the proxy's own: it takes a stream to send one, and the answer comes in another request."""
        if not self._outlet.started:
            session = [] if self._session is None else [(_SESSION, self._session)]
            headers = [(b"content-type", EVENT_STREAM), (b"cache-control", b"no-cache, no-transform"), *session]
            self._outlet.start(200, headers, streaming=True)
        self._outlet.write(_event(data))

    # --- to the server ---------------------------------------------------------------------------------------------

    def _go_on(self, data: bytes) -> None:
        """The message may go on."""
        self._forwarding = strand = Strand(self._forward(data))
        strand.add_done_callback(lambda _: self._outlet.stir())
        strand.run()

    async def _forward(self, data: bytes) -> None:
        try:
            headers = self._headers
            if self._message.get("method") == "tools/call" and repeats_arguments(headers):
                headers = mend(headers, _arguments(self._message), _arguments(orjson.loads(data)))
            response = await self._upstream(self._method, headers, data)
            try:
                await self._receive(response)
            finally:
                response.close()
        except (UpstreamError, FrameError, ValueError) as problem:
            await self._fail(problem)
        finally:
            if not self._resumable:
                await self._give_up(Gone("the connection ended before the server answered"))

    async def _give_up(self, error: BaseException) -> bool:
        """There is no answer for the client's request. False if there was one, or it is no call."""
        call = None if self._way is None else self._relay.fail(self._id, self._way, error)
        if call is not None and not call.done():
            await asyncio.wait({call})
        return call is not None

    async def _receive(self, response: Response) -> None:
        """Take the server's response."""
        status, headers = response.status, returned(response.headers)
        kind = (value_of(headers, b"content-type") or b"").partition(b";")[0].strip().lower()
        if value_of(headers, b"content-encoding") not in (None, b"identity"):
            raise ValueError("the server sent a compressed answer, which it was not asked for")
        if 300 <= status < 400:
            where = visible(response.header(b"location").decode("latin-1"))
            raise ValueError(f"the server redirects to {where}: give that address as --upstream")
        await self._learn_session(status, headers)
        if kind == EVENT_STREAM and status == 200:
            await self._events(response, headers)
            return
        if kind == EVENT_STREAM:
            raise ValueError(f"the server answered with a stream of events and HTTP {status}")
        body = await _read(response)
        if self._id is None:
            self._outlet.whole(status, headers, body)
        elif kind == JSON and _answers(body, self._id):
            call = self._relay.from_server(body, partial(self._answer, status=status, headers=headers))
            if call is not None and not call.done():
                await asyncio.wait({call})
            await self._outlet.flush()
        elif status >= 400:
            pass_on = partial(self._pass_on, status, headers, body)
            if not await self._give_up(ServerError(f"the server answered with HTTP {status}", pass_on)):
                pass_on()
        else:
            raise ValueError(f"the server answered with HTTP {status} and something that is no answer")

    async def _learn_session(self, status: int, headers: Headers) -> None:
        given = value_of(headers, _SESSION)
        if given is not None and status < 300 and self._message.get("method") == "initialize":
            self._sessions.keep(given, self._relay)
        elif self._session is not None and (status == 404 or (self._method == "DELETE" and status < 300)):
            await self._sessions.end(self._session)

    async def _events(self, response: Response, headers: Headers) -> None:
        """Pass on the events of a stream, each as it comes."""
        if not self._outlet.started:
            self._outlet.start(200, headers, streaming=True)
        events = Events()
        with contextlib.suppress(UpstreamError):  # cut off: the client sees it end, too
            async for chunk in response.chunks():
                for event in events.feed(chunk):
                    self._resumable = self._resumable or (event.resumable and self._session is not None)
                    await self._event(event)
                await self._outlet.flush()
                await self._outlet.room()

    async def _event(self, event: Event) -> None:
        if event.kind == b"endpoint":  # of the transport before streamable HTTP: it would lead the client past us
            _log.warning("the server speaks HTTP with SSE of 2024-11-05, which is not relayed")
        elif not event.data or event.kind not in (b"", b"message"):
            self._outlet.write(event.render())
        else:
            call = self._relay.from_server(event.data, lambda data: self._outlet.write(event.render(data)))
            if call is not None and not call.done():
                await asyncio.wait({call})

    def _pass_on(self, status: int, headers: Headers, body: bytes) -> None:
        """The server's refusal, as it came; inside a stream there is only a message to say it with."""
        if self._outlet.started:
            error = frames.error(self._id, frames.INTERNAL_ERROR, f"the server answered with HTTP {status}")
            self._answer(dump(error))
        else:
            self._outlet.whole(status, headers, body)

    async def _fail(self, problem: Exception) -> None:
        """The server cannot be reached, or what it says cannot be passed on."""
        refused = isinstance(problem, FrameError)
        text = str(problem) or type(problem).__name__
        if isinstance(problem, UpstreamError):
            text = f"the server cannot be reached: {text}"
        _log.warning("%s", visible(text))
        error = dump(frames.error(self._id, frames.INTERNAL_ERROR, f"{'refused by ' * refused}Aegis: {visible(text)}"))
        say = partial(self._answer, error, status=400 if refused else 502)
        unheard = refused or (isinstance(problem, UpstreamError) and problem.unheard)
        if not (unheard and await self._give_up(ServerError(text, say))):
            say()


def _event(data: bytes) -> bytes:
    return b"event: message\ndata: " + data.rstrip(b"\n") + b"\n\n"


def _arguments(message: Message) -> Any:
    params = message.get("params")
    return params.get("arguments") if isinstance(params, dict) else None


def _answers(body: bytes, identity: Any) -> bool:
    """Whether a body is an answer to the request, as the relay will read it."""
    message = frames.loose(body)
    return isinstance(message, dict) and "method" not in message and key_of(message.get("id")) == key_of(identity)


async def _read(response: Response) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for chunk in response.chunks():
        size += len(chunk)
        if size > MAX_BYTES:
            raise ValueError(f"the server's answer is longer than {MAX_BYTES // 2**20} MiB")
        pieces.append(chunk)
    return b"".join(pieces)


async def _end(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
