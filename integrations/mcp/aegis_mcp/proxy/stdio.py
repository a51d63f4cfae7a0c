"""The proxy between two pipes: a client on standard input and output, the server as a child process.

Standard output carries messages and nothing else. The child has a process group of its own, which ends with us; its
standard error is ours. It comes up while this, and what governs it, is still being loaded, and hears nothing before
that is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any

from aegis_core import portability
from aegis_mcp.proxy.child import end_child
from aegis_mcp.proxy.pipes import Lines, Outlet
from aegis_mcp.proxy.relay import Relay
from aegis_mcp.proxy.way import Way

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from typing import TextIO

    from aegis_core.runtime import Runtime
    from aegis_mcp.proxy.starting import Started
    from aegis_mcp.proxy.tools import ToolView

__all__ = ["run_stdio"]

GRACE = 5.0
"""Seconds the server has to end after its input closed, and again after it was asked to terminate."""


async def run_stdio(
    child: Started,
    governing: AbstractAsyncContextManager[tuple[Runtime, ToolView | None]],
    *,
    server: str,
) -> int:
    """Relay between this process's standard streams and a server until either side is done.

    Args:
        child: The server. However this ends, it has ended.
        governing: Gives what governs the calls, and what the client sees of the tools: None where their list passes
            untouched. Entered here, so that it gets ready while the server does.
        server: The server's name for the policy.

    Returns:
        The server's exit code; 128 plus the number of the signal that ended it.

    Raises:
        AegisError: A message was too long.
    """
    stopping = _on_signals(child)
    async with contextlib.AsyncExitStack() as stack:
        try:
            runtime, view = await stack.enter_async_context(governing)
            to_server, to_client = Outlet(), Outlet()
            await to_server.open(child.stdin)
            await to_client.open(_borrowed(sys.stdout, "wb"))
            way = Way(to_client.write, to_server.write, ask=to_client.write)
            relay = Relay(runtime, server=server, view=view, way=way)
            inward, outward = Lines(relay.from_client), Lines(relay.from_server)
            to_server.holds_up(inward)
            to_client.holds_up(outward)
            await outward.read(child.stdout)
            await inward.read(_borrowed(sys.stdin, "rb"))
        except BaseException:
            child.stdin.close()
            child.stdout.close()
            await end_child(child, grace=GRACE)
            raise
        try:
            await _until_over(child, relay, inward, outward, to_server, stopping)
        finally:
            inward.close()
            outward.close()
            await relay.close()
            await end_child(child, grace=GRACE)
            await to_server.close()
            await to_client.close(grace=GRACE)
        for lines in (inward, outward):
            if lines.ended.done():
                lines.ended.result()
    code = child.returncode or 0
    return code if code >= 0 else 128 - code


async def _until_over(
    child: Started,
    relay: Relay,
    inward: Lines,
    outward: Lines,
    to_server: Outlet,
    stopping: asyncio.Future[None],
) -> None:
    """Wait until either side is done or a signal came, and the server has ended or has had its time for it."""
    await asyncio.wait({inward.ended, outward.ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if inward.ended.done() and not outward.ended.done():
        # The client has gone, or has said all it had to say: the server may finish its answers.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(relay.drain(), GRACE)
        await to_server.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(child.wait()), GRACE)
    await asyncio.wait({outward.ended}, timeout=GRACE if child.returncode is not None else 0.1)


def _borrowed(stream: TextIO, mode: str) -> Any:
    """A standard stream to hand to asyncio, which closes what it is given."""
    return open(stream.fileno(), mode, buffering=0, closefd=False)


def _on_signals(child: Started) -> asyncio.Future[None]:
    """Pass signals on to the server's whole group; done when one has come."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[None] = loop.create_future()

    def pass_on(number: int) -> None:
        portability.signal_group(child.pid, number)
        if not came.done():
            came.set_result(None)

    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None:
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, pass_on, number)
    return came
