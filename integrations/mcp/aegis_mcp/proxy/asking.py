"""Asking for approval through the client, which is where the person sits, or else through the durable queue.

A client that can elicit shows a form. One of the stateless era gets the form as the answer to its call, and calls again
with what the person said. For all others the request is filed beside the trail (``aegis approvals``, the console); the
call is held for a while, as long as clients are patient, and then ends as pending: made again with the same arguments,
it runs once it was approved.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import TYPE_CHECKING, Any

from aegis_core.approval.queue import QueueApprovalHandler
from aegis_core.approval.store import ApprovalStore
from aegis_core.errors import ApprovalError
from aegis_mcp.form import form, said
from aegis_mcp.proxy.way import CALL

if TYPE_CHECKING:
    from aegis_core.request import ApprovalAnswer, ApprovalRequest
    from aegis_mcp.proxy.way import Judged

__all__ = ["ClientApprovalHandler"]


class ClientApprovalHandler:
    """Asks the client's user if the client can show a form, else files the request.

    Args:
        store: The trail.
        hold: Seconds a call is held for an answer from the queue.
    """

    def __init__(self, store: Any, *, hold: float = 45.0) -> None:
        self._queue = QueueApprovalHandler(store, wait=hold)
        self._approvals = ApprovalStore(store)

    async def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Ask, without holding up the calls behind this one."""
        call = CALL.get()
        if call is not None:
            call.place.step_out()  # the calls behind this one may overtake it
            if call.relay.shows_forms:
                if call.relay.modern:
                    return await asyncio.to_thread(self._by_rounds, request, call)
                if call.way.ask is not None:
                    reply = await call.relay.ask_client(call.way.ask, "elicitation/create", form(request))
                    if "error" not in reply:  # else it cannot ask although it says so, and somebody else can
                        approved, approver, reason = said(reply.get("result"), call.relay.client_name)
                        return (request.approve if approved else request.deny)(approver=approver, reason=reason)
        filing = asyncio.ensure_future(asyncio.to_thread(self._queue.ask, request))
        try:
            answer = await asyncio.shield(filing)
        except asyncio.CancelledError:
            (filed,) = await asyncio.gather(filing, return_exceptions=True)  # only what was filed can be withdrawn
            if inspect.iscoroutine(filed):
                filed.close()
            raise
        return await answer if inspect.isawaitable(answer) else answer

    def _by_rounds(self, request: ApprovalRequest, call: Judged) -> ApprovalAnswer:
        """Take what the call brings along as the answer to its request; have the client asked if there is nothing."""
        ticket = self._approvals.put(request)
        brought = call.approval
        if ticket.state == "pending" and brought is not None and brought.request_id == ticket.id:
            approved, approver, reason = said(brought.reply, call.relay.client_name)
            with contextlib.suppress(ApprovalError):  # somebody else was faster, or it has expired: as it stands now
                self._approvals.answer(
                    ticket.id, approved=approved, approver=approver, via="elicitation", reason=reason
                )
            ticket = self._approvals.get(ticket.id)
        if ticket.state == "pending":
            call.ask(ticket.id, form(request))
        return self._queue.settle(request, ticket)

    def withdraw(self, request: ApprovalRequest) -> None:
        """The call no longer waits."""
        self._queue.withdraw(request)
