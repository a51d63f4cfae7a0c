"""The request that a governed MCP server is serving: whom an approval can be asked of, and how."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from aegis_mcp.form import can_show
from aegis_mcp.proxy.frames import FrameError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aegis_mcp.proxy.rounds import Approval, Rounds

__all__ = ["SERVING", "Serving", "in_rounds"]

SERVING: ContextVar[Serving | None] = ContextVar("aegis_mcp_serving", default=None)


class Serving:
    """One ``tools/call``, while it is served.

    Attributes:
        session: The SDK's session with the client.
        request_id: The request, which a question to the client belongs to.
        modern: Whether it can only be asked by the result of the call (protocol 2026-07-28).
        loop: The event loop that the session lives on.
        approval: What the client's user said to an earlier question about this call, if the call brings that along.
        question: The result that asks, in place of a refusal, if it has come to that.
    """

    def __init__(self, session: Any, request_id: Any, *, modern: bool = False) -> None:
        self.session = session
        self.request_id = request_id
        self.modern = modern
        self.loop = asyncio.get_running_loop()
        self.approval: Approval | None = None
        self.question: dict[str, Any] | None = None
        self._rounds: Rounds | None = None
        self._params: Mapping[str, Any] = {}

    @property
    def shows_forms(self) -> bool:
        """Whether the client can ask its user."""
        found = getattr(self.session, "client_capabilities", None) or getattr(
            self.session.client_params, "capabilities", None
        )
        return can_show(None if found is None else found.model_dump(by_alias=True, mode="json", exclude_none=True))

    @property
    def client_name(self) -> str | None:
        """What the client calls itself."""
        params = self.session.client_params
        info = None if params is None else getattr(params, "client_info", None) or getattr(params, "clientInfo", None)
        return None if info is None else str(info.name)

    def begin_round(self, rounds: Rounds, params: dict[str, Any]) -> dict[str, Any]:
        """Take what an earlier round left with the client out of a call's params."""
        self._rounds = rounds
        self._params, self.approval = rounds.resume(params)
        return dict(self._params)

    def ask_in_result(self, request_id: str, shown: dict[str, Any]) -> bool:
        """Make a question the result of the call; False if this server does not take the next round apart."""
        if self._rounds is None:
            return False
        self.question = self._rounds.question(dict(self._params), request_id, shown)
        return True


async def in_rounds(
    serving: Serving,
    rounds: Rounds,
    params: dict[str, Any],
    call: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]],
) -> dict[str, Any]:
    """Serve a call of the stateless era, whose result may be a question.

    Args:
        serving: The call.
        rounds: Issues and takes back states.
        params: Its params, as they came.
        call: Governs it.
    """
    try:
        params = serving.begin_round(rounds, params)
    except FrameError as error:
        text = f"The call did not run: {error}."
        return {"resultType": "complete", "content": [{"type": "text", "text": text}], "isError": True}
    result = await call(params)
    return result if serving.question is None else serving.question
