"""Which requests belong together: those that carry the session id the server issued share one `Relay`."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from aegis_mcp.proxy.relay import Relay

if TYPE_CHECKING:
    from aegis_core.runtime import Runtime
    from aegis_mcp.proxy.tools import ToolView

__all__ = ["Sessions"]

LIMIT = 10_000
"""Sessions that are remembered. Past it, the one unused for longest is ended here; its client can go on using it, but
is shown no forms, and how its calls ended that still run is not seen."""
IDLE = 24 * 3600.0
"""Seconds after which a session that nobody uses is ended here in the same way."""


class Sessions:
    """The sessions of one server.

    Args:
        runtime: Governs the calls.
        server: The server's name for the policy.
        view: What clients see of the tools, which are the same for all of them; None where their list passes untouched.
    """

    def __init__(self, runtime: Runtime, server: str, *, view: ToolView | None = None) -> None:
        self._runtime = runtime
        self._server = server
        self._view = view
        self._known: OrderedDict[bytes, tuple[Relay, float]] = OrderedDict()

    def find(self, session: bytes | None) -> Relay:
        """The relay of a session; one of its own for a request that belongs to none (yet)."""
        known = None if session is None else self._known.get(session)
        relay = Relay(self._runtime, server=self._server, view=self._view) if known is None else known[0]
        if session is not None:
            self.keep(session, relay)
        return relay

    def keep(self, session: bytes, relay: Relay) -> None:
        """From now on, requests with this id belong to this relay."""
        self._known[session] = relay, time.monotonic()
        self._known.move_to_end(session)

    async def end(self, session: bytes) -> None:
        """A session is over."""
        known = self._known.pop(session, None)
        if known is not None:
            await known[0].close()

    async def tidy(self) -> None:
        """End what has not been used for long, or is too much."""
        while self._known:
            session, (_, used) = next(iter(self._known.items()))
            if len(self._known) <= LIMIT and time.monotonic() - used < IDLE:
                return
            await self.end(session)

    async def close(self) -> None:
        """All are over."""
        for session in list(self._known):
            await self.end(session)
