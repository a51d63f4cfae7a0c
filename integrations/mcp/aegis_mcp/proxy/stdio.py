"""The proxy between two pipes: a client on standard input and output, the server as a child process.

Standard output carries messages and nothing else. The child has a process group of its own, which ends with us; its
standard error is ours. It comes up while what governs it is still being loaded, and hears nothing before that is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any, Protocol

from aegis_core import portability
from aegis_core.errors import AegisError
from aegis_mcp.proxy.child import end_child, start_child
from aegis_mcp.proxy.frames import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import TextIO

    from aegis_core.runtime import Runtime
    from aegis_mcp.proxy.relay import Relay
    from aegis_mcp.proxy.tools import ToolView

__all__ = ["run_stdio"]

GRACE = 5.0
"""Seconds the server has to end after its input closed, and again after it was asked to terminate."""


async def run_stdio(
    command: Sequence[str],
    governing: AbstractAsyncContextManager[tuple[Runtime, ToolView | None]],
    *,
    server: str,
) -> int:
    """Relay between this process's standard streams and ``command`` until either side is done.

    Args:
        command: The server's command and arguments.
        governing: Entered once the server is on its way, so that both get ready at the same time. Gives what governs
            the calls, and what the client sees of the tools: None where their list passes untouched.
        server: The server's name for the policy.

    Returns:
        The server's exit code; 128 plus the number of the signal that ended it.

    Raises:
        AegisError: The server could not be started, or a message was too long.
    """
    child = await start_child(command)
    stopping = _on_signals(child)
    async with contextlib.AsyncExitStack() as stack:
        try:
            runtime, view = await stack.enter_async_context(governing)
            from aegis_mcp.proxy.relay import Relay  # noqa: PLC0415 - the server starts meanwhile
            from aegis_mcp.proxy.way import Way  # noqa: PLC0415 - likewise

            assert child.stdin is not None
            reader, writer = await _standard_streams()
            way = Way(writer.write, child.stdin.write, ask=writer.write)
            relay = Relay(runtime, server=server, view=view, way=way)
        except BaseException:
            stopping.cancel()
            await end_child(child, grace=GRACE)
            raise
        await _relayed(child, relay, reader, writer, stopping)
    code = child.returncode or 0
    return code if code >= 0 else 128 - code


async def _relayed(
    child: asyncio.subprocess.Process,
    relay: Relay,
    reader: asyncio.StreamReader,
    writer: _Outlet,
    stopping: asyncio.Task[None],
) -> None:
    """Relay until either side is done or a signal came, and end the server."""
    assert child.stdin is not None
    assert child.stdout is not None
    inward = asyncio.create_task(_pump(reader, relay.from_client, child.stdin))
    outward = asyncio.create_task(_pump(child.stdout, relay.from_server, writer))
    try:
        await asyncio.wait({inward, outward, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if inward.done() and not outward.done():
            # The client has gone, or has said all it had to say: the server may finish its answers.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(relay.drain(), GRACE)
            with contextlib.suppress(OSError):
                child.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(child.wait()), GRACE)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(outward), GRACE if child.returncode is not None else 0.1)
    finally:
        for task in (inward, outward, stopping):
            task.cancel()
        await asyncio.gather(inward, outward, stopping, return_exceptions=True)
        await relay.close()
        await end_child(child, grace=GRACE)
        with contextlib.suppress(OSError):
            await writer.drain()
    problem = None if inward.cancelled() else inward.exception()
    if problem is not None:
        raise problem


class _Outlet(Protocol):
    """Where lines go."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...


class _File:
    """Standard output that is a plain file: it never keeps anybody waiting, and asyncio does not take it."""

    def write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    async def drain(self) -> None:
        return


async def _pump(reader: asyncio.StreamReader, take: Callable[[bytes], object], outlet: _Outlet) -> None:
    """Hand over line by line; wait where the other side does not keep up."""
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            if end.partial.strip():
                take(end.partial)
            return
        except asyncio.LimitOverrunError:
            raise AegisError(f"a message is longer than {MAX_BYTES // 2**20} MiB; the connection is closed") from None
        if line.strip():
            take(line)
        with contextlib.suppress(ConnectionError):
            await outlet.drain()


async def _standard_streams() -> tuple[asyncio.StreamReader, _Outlet]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_BYTES)
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), _borrowed(sys.stdin, "rb"))
    except ValueError:  # a plain file
        reader.feed_data(sys.stdin.buffer.read())
        reader.feed_eof()
    try:
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, _borrowed(sys.stdout, "wb")
        )
    except ValueError:
        return reader, _File()
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)


def _borrowed(stream: TextIO, mode: str) -> Any:
    """A standard stream to hand to asyncio, which closes what it is given."""
    return open(stream.fileno(), mode, buffering=0, closefd=False)


def _on_signals(child: asyncio.subprocess.Process) -> asyncio.Task[None]:
    """Pass signals on to the server's whole group; done when one has come."""
    came = asyncio.Event()
    loop = asyncio.get_running_loop()

    def pass_on(number: int) -> None:
        portability.signal_group(child.pid, number)
        came.set()

    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None:
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, pass_on, number)

    async def wait() -> None:
        await came.wait()

    return asyncio.create_task(wait())
