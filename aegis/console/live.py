"""Server-sent events: the inbox as it changes, and the newest calls of the trail. Only differences travel."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import orjson
from anyio import to_thread
from starlette.responses import StreamingResponse

from aegis_core.audit.filters import Filters, moment
from aegis_core.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.responses import Response

    from aegis.console.feed import Feed

__all__ = ["stream_inbox", "stream_trail"]

_HEARTBEAT = 15.0
_TAIL_PAUSE = 0.5
_TAIL_ROWS = 100
"""Rows sent at once; where more calls ran, the page says how many are left out."""
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def stream_inbox(feed: Feed, is_open: Callable[[], bool]) -> Response:
    """Tell a page what begins and ceases to wait.

    Every message has ``total``, ``add`` (pairs of id and row) and ``remove`` (ids); the first one also has ``ids``, all
    that wait in their order, so that a page that was away catches up.

    Args:
        feed: What waits.
        is_open: Whether the session of the page still is.
    """

    async def events() -> AsyncIterator[bytes]:
        sent: dict[str, str] = {}
        said: tuple[int, str | None] | None = None
        with feed.bell() as bell:
            while bell is not None and is_open() and not feed.is_closing:
                bell.clear()
                now = feed.waiting
                add = [(request, row) for request, row in now.rows.items() if request not in sent]
                remove = [request for request in sent if request not in now.rows]
                if said != (now.total, now.problem) or add or remove:
                    message: dict[str, Any] = {"total": now.total, "add": add, "remove": remove, "problem": now.problem}
                    if said is None:
                        message["ids"] = list(now.rows)
                    sent, said = now.rows, (now.total, now.problem)
                    yield _event("inbox", message)
                try:
                    await asyncio.wait_for(bell.wait(), _HEARTBEAT)
                except TimeoutError:
                    yield b": still here\n\n"

    return _streamed(events())


def stream_trail(
    reader: Any, filters: Filters, draw: Callable[[dict[str, Any]], str], feed: Feed, is_open: Callable[[], bool]
) -> Response:
    """Tell a page which calls begin and end, from now on.

    Args:
        reader: The trail's reader.
        filters: Which calls; ``limit`` does not count.
        draw: Makes a row of a call.
        feed: Whose pages this is one of.
        is_open: Whether the session of the page still is.
    """

    def newer(last: int) -> tuple[int, list[tuple[str, str]], int]:
        last, calls = reader.calls_after(last)
        skipped = max(0, len(calls) - _TAIL_ROWS)
        found = [entry for call_id in calls[skipped:] if (entry := reader.entry(call_id)) is not None]
        wanted = [entry for entry in found if filters.accepts(entry, moment(entry["timestamp"]))]
        return last, [(entry["call_id"], draw(entry)) for entry in wanted], skipped

    async def events() -> AsyncIterator[bytes]:
        with feed.bell() as bell:
            last = await to_thread.run_sync(reader.last_row)
            seen, spoke = -1, time.monotonic()
            yield _event("trail", {"rows": [], "skipped": 0})
            while bell is not None and is_open() and not feed.is_closing:
                try:
                    changes = await to_thread.run_sync(reader.changes)
                    if changes != seen:
                        seen = changes
                        last, rows, skipped = await to_thread.run_sync(newer, last)
                        if rows or skipped:
                            spoke = time.monotonic()
                            yield _event("trail", {"rows": rows, "skipped": skipped})
                except AegisError as error:
                    yield _event("trail", {"rows": [], "skipped": 0, "problem": str(error)})
                if time.monotonic() - spoke > _HEARTBEAT:
                    spoke = time.monotonic()
                    yield b": still here\n\n"
                await asyncio.sleep(_TAIL_PAUSE)

    return _streamed(events())


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


def _streamed(events: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)
