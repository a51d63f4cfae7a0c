"""One response to a client, written by several hands, in order, and sent off by one at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aegis_mcp.proxy.http.headers import Headers

__all__ = ["EVENT_STREAM", "JSON", "Outlet"]

EVENT_STREAM = b"text/event-stream"
JSON = b"application/json"
_ROOM = 1024 * 1024
"""Bytes that may wait for a slow client before the server is made to wait too."""


class Outlet:
    """Takes what is to be sent from whoever has something, without waiting.

    Args:
        send: The ASGI channel.

    Attributes:
        started: Whether the status has been decided.
        streaming: Whether it is a stream of events.
        ended: Whether nothing more can be added.
    """

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self._send = send
        self._waiting: deque[dict[str, Any]] = deque()
        self._size = 0
        self._flushing = False
        self._news = asyncio.Event()
        self._sent = asyncio.Event()
        self.started = False
        self.streaming = False
        self.ended = False

    def start(self, status: int, headers: Headers, *, streaming: bool = False) -> None:
        """Decide the status and the headers."""
        self.started, self.streaming = True, streaming
        self._put({"type": "http.response.start", "status": status, "headers": headers})

    def write(self, data: bytes) -> None:
        """Add to the body."""
        if not self.ended:
            self._size += len(data)
            self._put({"type": "http.response.body", "body": data, "more_body": True})

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole response."""
        if self.ended:
            return
        length = [] if status == 204 or status < 200 else [(b"content-length", b"%d" % len(body))]
        self.start(status, [*headers, *length])
        self.ended = True
        self._put({"type": "http.response.body", "body": body, "more_body": False})

    def end(self) -> None:
        """Nothing more will come."""
        if not self.ended:
            self.ended = True
            self._put({"type": "http.response.body", "body": b"", "more_body": False})

    def stir(self) -> None:
        """Wake who sends, without anything to send."""
        self._news.set()

    async def news(self) -> None:
        """Wait until there may be something to send."""
        await self._news.wait()
        self._news.clear()

    async def flush(self) -> None:
        """Send what there is; whoever is at it already sends it all."""
        if self._flushing:
            return
        self._flushing = True
        try:
            while self._waiting:
                await self._send(self._waiting.popleft())
            self._size = 0
            self._sent.set()
        finally:
            self._flushing = False

    async def room(self) -> None:
        """Wait while the client is slower than the server."""
        while self._size > _ROOM:
            self._sent.clear()
            await self._sent.wait()

    def _put(self, message: dict[str, Any]) -> None:
        self._waiting.append(message)
        self._news.set()
