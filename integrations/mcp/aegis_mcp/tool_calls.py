"""``tools/call`` through one door, governed: params in, result out, both as on the wire. Knows no SDK."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from aegis_core.action import Action
from aegis_core.call import Reply
from aegis_core.decision import Approval

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aegis_core.approval.asking import ApprovalHandler
    from aegis_core.request import ApprovalAnswer, ApprovalRequest
    from aegis_core.result import Result
    from aegis_core.runtime import Runtime
    from aegis_mcp.pinning.pins import Pins

__all__ = ["ToolCalls"]

_REMEMBERED = 256
"""Approved calls remembered while their server waits for input; the oldest is forgotten first, and asked about anew."""


class ToolCalls:
    """Governs every ``tools/call`` that passes through one door.

    Args:
        runtime: Judges, asks, records.
        target: What the policy knows the server as.
        remember: Whether an approval also covers the calls that answer the server's requests for input to the approved
            call (protocol 2026-07-28: ``requestState``). Only for a door with a single peer, so that the state can only
            come from whom it was given to.
        pins: Holds the tools' definitions against a lock.
    """

    def __init__(self, runtime: Runtime, target: str, *, remember: bool = False, pins: Pins | None = None) -> None:
        self.runtime = runtime
        self.target = target
        self._pins = pins
        self._remember = remember
        self._approved: dict[tuple[Any, str, bytes], _Approved] = {}

    def insist(self, again: ToolCalls) -> None:
        """Accept being governed again only if nothing would change.

        Raises:
            ValueError: If ``again`` has another runtime or target: every call would be judged and recorded twice.
        """
        if self.runtime is not again.runtime or self.target != again.target:
            whose = "this runtime" if self.runtime is again.runtime else "another runtime"
            raise ValueError(f"already governed by {whose} as {self.target!r}; govern it once")

    async def call(
        self,
        params: Mapping[str, Any],
        send: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]],
        *,
        envelope: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Govern one request.

        Args:
            params: The request's: ``name``, ``arguments``, and whatever else there is, which is passed on untouched.
            send: Sends params that were judged, and returns the result.
            envelope: What the protocol wants in every result besides the content.

        Returns:
            The server's result, unchanged but for the policy's result rules; for a refused call one with ``isError``
            whose text says why.

        Raises:
            AuditError: The call could not be written down and was not sent.
            BaseException: Whatever ``send`` raised, the same object.
        """
        if not self.runtime.traced:
            return await self._call(params, send, envelope)
        from aegis_mcp.tracing import continued, handed_on  # noqa: PLC0415 - loads OpenTelemetry

        with continued(params):
            return await self._call(params, lambda judged: send(handed_on(judged)), envelope)

    async def _call(
        self,
        params: Mapping[str, Any],
        send: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]],
        envelope: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        judged = dict(params)
        name: Any = judged.get("name")
        given: Any = judged.get("arguments")
        action = Action(name, self.target, {} if given is None else given)

        async def tool(arguments: dict[str, Any]) -> Reply:
            if arguments or given is not None:
                judged["arguments"] = arguments
            reply = await send(judged)
            return Reply(reply, failed=_reported_failure(reply))

        approved = None
        if self._approved:
            approved = self._approved.pop((judged.get("requestState"), name, action.canonical_params()), None)
        handler = None if approved is None else _Continuing(approved, self.runtime.approval_handler)
        caution = None
        if self._pins is not None:
            await self._pins.prepare(name, judged.get("_meta"))
            caution = partial(self._pins.caution, name)
        result = await self.runtime.arun(action, tool, approval_handler=handler, caution=caution)
        if result.exception is not None:
            raise result.exception
        if result.refused or not isinstance(result.data, dict):  # the latter where the policy withholds the result
            text = result.error if result.refused else str(result.data)
            return {**(envelope or {}), "content": [{"type": "text", "text": text}], "isError": True}
        self._note(result, result.data)
        return result.data

    def _note(self, result: Result, data: Mapping[str, Any]) -> None:
        """Remember a call that was approved and whose server wants input before it goes on."""
        if data.get("resultType") != "input_required":
            return
        state = data.get("requestState")
        if not (self._remember and isinstance(state, str) and result.decision is not None and self.runtime.enforced):
            return
        if result.decision.approval is not Approval.APPROVE:
            return
        if len(self._approved) >= _REMEMBERED:
            del self._approved[next(iter(self._approved))]
        self._approved[state, result.action.type, result.action.canonical_params()] = _Approved(
            digest=self.runtime.bind(result.action, result.decision),
            call_id=result.call_id,
            until=time.monotonic() + self.runtime.request_lifetime,
        )


class _Approved(NamedTuple):
    """A yes: to what, in which call, and until when it may cover the call's next round."""

    digest: str
    call_id: str | None
    until: float


class _Continuing:
    """Answers what was answered before, and puts everything else to whom the runtime asks.

    The call's next round is judged and recorded like any other; only a person is not asked the very same twice.
    """

    def __init__(self, approved: _Approved, handler: ApprovalHandler) -> None:
        self._approved = approved
        self._handler = handler
        self.withdraw = getattr(handler, "withdraw", None)

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer | Awaitable[ApprovalAnswer]:
        approved = self._approved
        # The digest covers principal, server, tool, arguments and rules.
        if request.digest != approved.digest or time.monotonic() > approved.until:
            return self._handler.ask(request)
        call_id = approved.call_id
        return request.approve(approver=f"call:{call_id}", reason=f"continues call {call_id}, which was approved")


def _reported_failure(result: Mapping[str, Any]) -> str | None:
    """What the tool says went wrong, or None if it does not say that anything did."""
    if not result.get("isError"):
        return None
    content = result.get("content")
    blocks: list[Any] = content if isinstance(content, list) else []
    texts = [str(block["text"]) for block in blocks if isinstance(block, dict) and "text" in block]
    return "\n".join(texts) or "the tool reported an error"
