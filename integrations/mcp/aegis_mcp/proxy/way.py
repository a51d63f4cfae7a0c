"""The way of a message through the proxy, and a call on its way while it is governed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from aegis_mcp.proxy.lane import Lane

if TYPE_CHECKING:
    from aegis_mcp.proxy.frames import Message
    from aegis_mcp.proxy.lane import Place
    from aegis_mcp.proxy.relay import Relay
    from aegis_mcp.proxy.rounds import Approval

__all__ = ["CALL", "Back", "Gone", "Judged", "ServerError", "Way"]

Back = Callable[[bytes], None]
Fetch = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Way:
    """The way of a message of the client: back to who sent it, and on to the server in its turn.

    Over pipes there is one for all messages; over HTTP every message has its own.

    Args:
        back: Sends an answer to the client; must not block.
        onward: Sends bytes to the server; must not block.
        ask: Sends the client a request; None where it cannot be sent any.
        fetch: Sends the server a request of the proxy's own and returns the answer; None where requests and answers
            share pipes.
    """

    __slots__ = ("ask", "back", "fetch", "lane")

    def __init__(
        self, back: Back, onward: Callable[[bytes], None], *, ask: Back | None = None, fetch: Fetch | None = None
    ) -> None:
        self.back = back
        self.lane = Lane(onward)
        self.ask = ask
        self.fetch = fetch


class Judged:
    """A call while it is governed: what whoever asks a person about it has to know, and has to say.

    Attributes:
        relay: The connection it came on.
        way: Its way.
        place: Its place in line; who waits for a person steps out of it.
        approval: What the client's user said to an earlier question about it, if the call brings that along.
        question: What the client is answered with instead of a refusal, if anything.
    """

    __slots__ = ("approval", "params", "place", "question", "relay", "way")

    def __init__(self, relay: Relay, way: Way, place: Place) -> None:
        self.relay = relay
        self.way = way
        self.place = place
        self.params: Message = {}
        self.approval: Approval | None = None
        self.question: Message | None = None

    def ask(self, request_id: str, form: Message) -> None:
        """Have the client asked in place of an answer; the call comes again, with what its user said."""
        self.question = self.relay.rounds.question(self.params, request_id, form)


CALL: ContextVar[Judged | None] = ContextVar("aegis_proxy_call", default=None)
"""The call that is being judged."""


class ServerError(Exception):
    """The server answered a call with an error. ``pass_on`` hands that answer to the client as it came."""

    def __init__(self, message: str, pass_on: Callable[[], None]) -> None:
        super().__init__(message)
        self.pass_on = pass_on


class Gone(BaseException):
    """The connection ended before the server answered: nobody saw how the call ended."""

    aegis_still_running = True
