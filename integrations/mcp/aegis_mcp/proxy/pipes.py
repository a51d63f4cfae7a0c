"""Lines from pipes and to pipes, on an event loop: handed over as they come, held up where they do not get away.

Callbacks, not streams: a stream wakes a task for every line, which takes the loop another round.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from typing import TYPE_CHECKING, Any, cast

from aegis_core.errors import AegisError
from aegis_mcp.proxy.frames import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lines", "Outlet"]

_CHUNK = 64 * 1024
"""Bytes taken from a pipe at once. It holds no more; and for asyncio's 256 KiB, memory is mapped at every read."""


class Lines(asyncio.Protocol):
    """Cuts what comes out of a pipe into lines.

    Args:
        take: Gets each line that is not blank, with its end. What it raises ends the reading.

    Attributes:
        take: As given.
        ended: Done when nothing more will come; fails if ``take`` did, or a line was too long.
    """

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self.take = take
        self._pieces: list[bytes] = []  # of a line whose end has not come
        self._size = 0
        self._transport: asyncio.ReadTransport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def read(self, pipe: Any) -> None:
        """Begin to read a pipe, which is closed in the end. A plain file, or the null device, is read at once.

        Args:
            pipe: A file object without a buffer.
        """
        mode = os.fstat(pipe.fileno()).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or pipe.isatty():
            await asyncio.get_running_loop().connect_read_pipe(lambda: self, pipe)
        else:  # no loop waits for these, and asyncio only finds that out for some of them
            with pipe:
                self.data_received(pipe.read())
            self.connection_lost(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is open."""
        self._transport = cast("asyncio.ReadTransport", transport)
        transport.max_size = _CHUNK  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        if self.ended.done():
            return
        try:
            self._cut(data)
        except Exception as error:  # noqa: BLE001 - whoever waits for the end hears of it
            self.ended.set_exception(error)
            self.close()

    def _cut(self, data: bytes) -> None:
        start = 0
        while end := data.find(b"\n", start) + 1:
            line = data[start:end]
            if self._pieces:
                line = b"".join((*self._pieces, line))
                self._pieces, self._size = [], 0
            if not line.isspace():
                self.take(line)
            start = end
        if start < len(data):
            self._pieces.append(data[start:])
            self._size += len(data) - start
            if self._size > MAX_BYTES:
                raise AegisError(f"a message is longer than {MAX_BYTES // 2**20} MiB; the connection is closed")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - an end is an end
        """Nothing more will come. The last line may lack its end."""
        if self._pieces:
            self.data_received(b"\n")
        if not self.ended.done():
            self.ended.set_result(None)

    def hold(self) -> None:
        """Take nothing more for now."""
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Take again what comes."""
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        """Read no more."""
        if self._transport is not None:
            self._transport.close()


class Outlet(asyncio.Protocol):
    """Sends lines into a pipe, and holds up where they come from while they do not get away.

    Attributes:
        write: Sends a line; never waits.
    """

    def __init__(self) -> None:
        self.write: Callable[[bytes], None] = _nowhere
        self._file: Any = None
        self._source: Lines | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, pipe: Any) -> None:
        """Begin to write to a pipe, or a plain file, which is closed in the end.

        Args:
            pipe: A file object without a buffer.
        """
        try:
            await asyncio.get_running_loop().connect_write_pipe(lambda: self, pipe)
        except ValueError:  # a plain file never keeps anybody waiting, and asyncio does not take it
            self._file, self.write = pipe, self._write_file
            self._lost.set_result(None)

    def _write_file(self, data: bytes) -> None:
        self._file.write(data)

    def holds_up(self, source: Lines) -> None:
        """Where what is written here comes from."""
        self._source = source

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is open."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self.write = self._transport.write

    def pause_writing(self) -> None:
        """Much waits to be written."""
        if self._source is not None:
            self._source.hold()

    def resume_writing(self) -> None:
        """It has got away."""
        if self._source is not None:
            self._source.go_on()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - an end is an end
        """Nobody reads any more, or all is written."""
        self.resume_writing()
        if not self._lost.done():
            self._lost.set_result(None)

    async def close(self, *, grace: float = 0.0) -> None:
        """Write no more than what waits.

        Args:
            grace: Seconds it has to get away; else this does not wait for it.
        """
        if self._transport is not None:
            self._transport.close()
        if self._file is not None:
            self._file.close()
        if grace:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._lost), grace)


def _nowhere(_data: bytes) -> None:
    raise AssertionError("the pipe is not open yet")
