"""Running the console: a server of its own, ended by Ctrl-C or SIGTERM, with no access log and no open ends."""

from __future__ import annotations

import logging
import signal
import socket
from typing import TYPE_CHECKING

import uvicorn

from aegis.console.app import application
from aegis.errors import AegisError

if TYPE_CHECKING:
    from types import FrameType

    from aegis.console.app import Console
    from aegis.console.listening import Address

__all__ = ["listen", "serve", "server_for"]


def listen(address: Address) -> socket.socket:
    """A socket that listens at an address.

    Raises:
        AegisError: It cannot.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise AegisError(
            f"cannot listen at {address.host}:{address.port}: {error.strerror or error}; choose another with --listen"
        ) from error
    return listening


class _Server(uvicorn.Server):
    """Lets the live pages go as soon as it is told to end: nothing would end while they are open."""

    def __init__(self, config: uvicorn.Config, console: Console) -> None:
        super().__init__(config)
        self._console = console

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        # Not uvicorn's own, which raises the signal again at the end: SIGTERM would leave everything open.
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        self._console.feed.close()


def server_for(console: Console) -> uvicorn.Server:
    """A server that has not begun to serve. ``handle_exit`` ends it."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        application(console),
        access_log=False,  # addresses hold login codes once, and what people look at always
        log_config=None,
        ws="none",
        server_header=False,
        date_header=True,
        proxy_headers=False,  # whoever can send X-Forwarded-For would choose by what address attempts are counted
        limit_concurrency=256,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=64 * 1024,
        lifespan="on",
    )
    return _Server(config, console)


def serve(console: Console, listening: socket.socket) -> None:
    """Serve until interrupted."""
    try:
        server_for(console).run(sockets=[listening])
    finally:
        listening.close()
        console.close()
