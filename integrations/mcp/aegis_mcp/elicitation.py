"""Asking the user of the MCP client, by programs that own an MCP session: servers, and tools inside of them. No SDK.

With an initialize handshake (protocol up to 2025-11-25) the server sends ``elicitation/create`` and waits. Since
2026-07-28 it cannot: the question is the call's result (``input_required``), and the reply comes with the same call,
made again. The request is then filed on the trail, and the reply is an answer to that.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from aegis_core.approval.queue import QueueApprovalHandler
from aegis_core.approval.store import ApprovalStore
from aegis_core.errors import ApprovalError
from aegis_mcp.form import form, said
from aegis_mcp.serving import SERVING, Serving

if TYPE_CHECKING:
    from aegis_core.request import ApprovalAnswer, ApprovalRequest

__all__ = ["ElicitationApprovalHandler"]


class ElicitationApprovalHandler:
    """Asks the user of the MCP client, with a form that the client shows.

    On a server governed by `govern_server`, it asks the client whose request is being served. Elsewhere give it the
    session of the request (``ctx.session``), for one call: ``runtime.arun(action, tool, approval_handler=...)``.

    Only the form's own ``approve`` is a yes. Decline, cancel, other content, a client that shows no forms, or none: no.

    Args:
        store: The trail the runtime writes to. Needed for clients of protocol 2026-07-28, whose answer comes with
            another request, perhaps to another process; without it they hear no.
        session: A server's session with its client, as the SDK hands it to a tool: make the handler there, on the
            session's event loop.
        request_id: The request that the question belongs to (``ctx.request_id``).

    Attributes:
        store: The trail, if it was given.
    """

    def __init__(self, store: Any = None, *, session: Any = None, request_id: Any = None) -> None:
        self.store = store
        self._queue = None if store is None else QueueApprovalHandler(store, wait=False)
        self._own = None if session is None else Serving(session, request_id, modern=_is_modern(session))

    @property
    def asks_in_results_of(self) -> Any:
        """The trail on which requests are filed that are asked about in the results of calls; None if there is none."""
        return self.store

    async def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Have the client ask."""
        serving = self._own or SERVING.get()
        if serving is None:
            return request.deny(
                reason="approval is required and no MCP client's request is being served to ask through"
            )
        if not serving.shows_forms:
            return request.deny(reason="approval is required and the MCP client cannot show forms (elicitation)")
        if serving.modern:
            return await asyncio.to_thread(self._by_rounds, request, serving)
        question = _send(serving, form(request))
        try:
            if asyncio.get_running_loop() is serving.loop:
                result = await question
            else:  # a sync tool in a thread asks from a loop of its own
                result = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(question, serving.loop))
        except Exception as error:
            raise ApprovalError(f"the MCP client could not ask ({type(error).__name__})") from error
        wire = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        approved, approver, reason = said(wire, serving.client_name)
        return (request.approve if approved else request.deny)(approver=approver, reason=reason)

    def _by_rounds(self, request: ApprovalRequest, serving: Serving) -> ApprovalAnswer:
        """Take what the call brings along as the answer to its request; have the client ask if there is nothing."""
        if self._queue is None:
            return request.deny(
                reason="approval is required, and for clients of this protocol the handler needs the trail:"
                " ElicitationApprovalHandler(trail)"
            )
        if request.opaque:
            return request.deny(reason="approval is required, and arguments passed by reference cannot be filed for it")
        approvals = ApprovalStore(self.store)
        ticket = approvals.put(request)
        brought = serving.approval
        if ticket.state == "pending" and brought is not None and brought.request_id == ticket.id:
            approved, approver, reason = said(brought.reply, serving.client_name)
            with contextlib.suppress(ApprovalError):  # somebody else was faster, or it has expired: as it stands now
                approvals.answer(ticket.id, approved=approved, approver=approver, via="elicitation", reason=reason)
            ticket = approvals.get(ticket.id)
        if ticket.state == "pending" and not serving.ask_in_result(ticket.id, form(request)):
            return request.deny(reason="the approval form can only be shown by a server governed by govern_server")
        return self._queue.settle(request, ticket)


async def _send(serving: Serving, shown: dict[str, Any]) -> Any:
    session: Any = serving.session
    elicit = getattr(session, "elicit_form", None) or session.elicit  # the only mode, and its name, in older SDKs
    return await elicit(shown["message"], shown["requestedSchema"], serving.request_id)


def _is_modern(session: Any) -> bool:
    """Whether the session speaks the protocol that has no questions from a server to its client."""
    version = getattr(session, "protocol_version", None)
    return isinstance(version, str) and version >= "2026-07-28"
