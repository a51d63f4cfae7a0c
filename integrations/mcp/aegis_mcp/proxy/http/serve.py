"""Listens: the proxy as a server of its own, until it is asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from aegis_core.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aegis_mcp.proxy.http.app import HttpProxy

__all__ = ["listen", "make_server", "serve"]

HEAD_PATIENCE = 30.0
"""Seconds a client has to send the head of a request, from its first byte or from when it connected."""
KEEP_ALIVE = 75.0
"""Seconds a connection without requests is kept."""
GRACE = 5.0
"""Seconds that requests have to end when the proxy is asked to stop."""
_HEAD_BYTES = 64 * 1024


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: The address.
        port: The port; 0 for any that is free.

    Raises:
        AegisError: The address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: only then asyncio switches off the algorithm of Nagle, with which answers take 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise AegisError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listening


async def serve(proxy: HttpProxy, listening: socket.socket) -> int:
    """Serve until SIGINT or SIGTERM.

    Returns:
        The exit code: 0, or 130 after SIGINT.
    """
    server = make_server(proxy)
    came = _stop_on_signals(server)
    try:
        await server.serve(sockets=[listening])
    finally:
        await proxy.aclose()
    return 130 if signal.SIGINT in came else 0


def make_server(proxy: HttpProxy) -> uvicorn.Server:
    """The server, to be run by who knows when it should end."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        proxy,
        http=_Patient,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(KEEP_ALIVE),
        timeout_graceful_shutdown=int(GRACE),
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """Leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _stop_on_signals(server: uvicorn.Server) -> list[int]:
    came: list[int] = []

    def stop(number: int) -> None:
        server.force_exit = bool(came)  # asked twice: now
        server.should_exit = True
        came.append(number)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop, number)
    return came


class _Together:
    """A transport that sends the head of a response together with what is written in the same round of the loop.

    Two packets wake the client twice. Where nothing follows at once, the head goes alone.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._later = asyncio.get_running_loop().call_soon
        self._head = b""
        self.close = self._flushed(transport.close)
        self.abort = transport.abort
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
            self._transport.write(data)
        elif data.startswith(b"HTTP/") and data.endswith(b"\r\n\r\n"):
            self._head = data
            self._later(self.flush)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Nothing followed at once."""
        if self._head:
            self.write(b"")

    def _flushed(self, do: Callable[[], None]) -> Callable[[], None]:
        def flushed() -> None:
            self.flush()
            do()

        return flushed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Patient(H11Protocol):
    """Does not wait for ever for the head of a request: slow clients would take up all connections (slow loris)."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Together(transport))  # type: ignore[arg-type]
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._patience is None and self.timeout_keep_alive_task is None:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._patience = self.loop.call_later(HEAD_PATIENCE, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
