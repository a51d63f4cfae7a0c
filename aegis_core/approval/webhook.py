"""Telling another system that a call waits, and taking its answer: signed both ways, the record stays the authority.

The message is a notice with a link. Nothing that comes back on its connection is an answer, whatever it says; neither
is a word typed below it in a chat or a mail. An answer is a message of its own, signed, fresh, by a person who may.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from aegis_core.approval.queue import QueueApprovalHandler
from aegis_core.approval.seal import check, read_secret, seal
from aegis_core.errors import AegisError, ApprovalError
from aegis_core.policy.readers import FLAG, one_of, text
from aegis_core.policy.reading import Document, Reader, Unfit, dotted, key, read
from aegis_core.record import Event
from aegis_core.text import visible
from aegis_core.threads import call_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_core.approval.seal import Headers
    from aegis_core.approval.store import Ticket
    from aegis_core.request import ApprovalRequest

__all__ = ["WebhookApprovalHandler"]

_log = logging.getLogger("aegis")
_LARGEST = 64 * 1024
_PAUSES = (0.5, 2.0)
"""Seconds before a message that could not be delivered is sent once more."""


class WebhookApprovalHandler(QueueApprovalHandler):
    """Files requests as `QueueApprovalHandler` does, and tells a web service of each.

    The service gets a signed message (Standard Webhooks: ``webhook-id``, ``webhook-timestamp``, ``webhook-signature``)
    and has no say by what it replies. Whoever may answers in the inbox that the message links to, on the command line,
    or through the service: it sends a signed message back, which the program's own web server hands to `receive`.

    A message that cannot be delivered is tried three times and then put on record; the call goes on waiting, and can be
    answered everywhere else.

    Args:
        store: The trail the runtime writes to.
        url: Where messages go: https, or http on this machine. It may be secret (chat services do that) and is never
            shown or logged beyond its host.
        secret: Shared with the service: ``whsec_`` and base64, or a random text of at least 24 characters.
        approvers: Who may answer through `receive`, by the names that the service gives them.
        link: Where a person can look at the request and answer: a URL, in which ``{id}`` stands for the request's id.
        wait: As for `QueueApprovalHandler`.
        timeout: Seconds that one delivery may take, all in all.

    Raises:
        ApprovalError: The extra ``http`` is not installed.
        TypeError, ValueError: An argument cannot be used.
    """

    def __init__(
        self,
        store: Any,
        url: str,
        *,
        secret: str,
        approvers: Iterable[str],
        link: str | None = None,
        wait: bool | float = True,
        timeout: float = 10.0,
    ) -> None:
        if find_spec("httpx") is None:
            raise ApprovalError("webhooks need httpx: pip install 'aegis-agents[http]'")
        super().__init__(store, wait=wait)
        self._url = _checked(url)
        self._host = urlsplit(url).hostname or ""
        self._secret = read_secret(secret)
        if isinstance(approvers, str):
            raise TypeError("approvers must be a list of names, got one string")
        self.approvers = frozenset(approvers)
        if not self.approvers or not all(type(name) is str and name for name in self.approvers):
            raise ValueError("approvers must name at least one person: nobody else can answer")
        if link is not None and urlsplit(link).scheme not in ("http", "https"):
            raise ValueError("link must be an http or https URL")
        self._link = link
        if not 0 < timeout <= 300:
            raise ValueError(f"timeout must be from 0 to 300 seconds, got {timeout!r}")
        self._timeout = timeout

    def receive(self, headers: Headers, body: bytes) -> Ticket:
        """Take the answer that the service sends: what a web server calls with the headers and the body of a POST.

        The body is JSON: ``{"type": "approval.answered", "request_id", "digest", "approved": true or false, "approver",
        "reason"}`` (the reason may be left out), with the id and the digest of the message that asked. It counts once.

        Args:
            headers: The request's headers: a mapping, or pairs of text or bytes.
            body: The request's body, as it came. Stop reading after 64 KiB.

        Returns:
            The request, answered.

        Raises:
            ApprovalError: It is no answer: not signed with our secret, too old, not by an approver, not for this very
                call, or the request was answered before or has ended. Say 403 and nothing more.
            AuditError: The answer could not be written down, and does not count.
        """
        if len(body) > _LARGEST:
            raise ApprovalError(f"the message is too long: more than {_LARGEST} bytes")
        check(self._secret, headers, body, now=time.time())
        said = _read(body)
        if said.approver not in self.approvers:
            raise ApprovalError(f"{said.approver!r} is not among those who may approve")
        ticket = self._approvals.get(said.request_id)
        if ticket.digest != said.digest:
            raise ApprovalError(f"the answer is for another call than request {ticket.id}")
        return self._approvals.answer(
            ticket.id, approved=said.approved, approver=said.approver, via="webhook", reason=said.reason or None
        )

    def _file(self, request: ApprovalRequest) -> Ticket:
        ticket = super()._file(request)
        if ticket.id == request.id and ticket.state == "pending":  # not where it has joined another call's
            told = call_in_thread(lambda: self._tell(ticket), name="aegis-webhook")
            if self._wait is False:  # the program may end as soon as it knows that the call is pending
                told.result()
        return ticket

    def _tell(self, ticket: Ticket) -> None:
        """Deliver the message, or put on record that it could not be."""
        why: str | None = None
        pauses = () if self._wait is False else _PAUSES
        for pause in (*pauses, None):
            try:
                why = asyncio.run(self._deliver(ticket))
            except Exception as error:  # noqa: BLE001 - whatever a network does, the call waits on
                why = f"{type(error).__name__}"  # its text may hold the URL
            if why is None:
                return
            if pause is None or not _may_pass(why):
                break
            time.sleep(pause)
        _log.warning("approval request %s could not be sent to %s: %s; the call waits on", ticket.id, self._host, why)
        event = Event("approval_undelivered", data={"id": ticket.id, "host": self._host, "why": why})

        def note(transaction: Any) -> None:
            transaction.append(event)

        try:
            self.store.transact(note)
        except AegisError as error:
            _log.warning("that could not be put on record: %s", error)

    async def _deliver(self, ticket: Ticket) -> str | None:
        """Send the message once; None if the service took it, else why not."""
        import httpx  # noqa: PLC0415 - an extra, and heavy

        body = _message(ticket, self._link)
        headers = {"content-type": "application/json", **seal(self._secret, ticket.id, int(time.time()), body)}
        try:
            async with (
                asyncio.timeout(self._timeout),  # httpx's own clock starts anew with every byte
                httpx.AsyncClient(timeout=self._timeout, follow_redirects=False) as client,
                client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                status = response.status_code  # the rest is not even read
        except TimeoutError:
            return f"no reply within {self._timeout:g} s"
        return None if 200 <= status < 300 else f"HTTP {status}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._host!r})"


def _reason(value: object) -> str:
    return "" if value is None else _TEXT.read(value)


_TEXT = text(empty=True)


class _Answer(Document):
    type: Literal["approval.answered"] = key(one_of("approval.answered"), "What the message is.")
    request_id: str = key(_TEXT, "Which request it answers.")
    digest: str = key(_TEXT, "What was asked, as it was sent.")
    approved: bool = key(FLAG, "Yes or no.")
    approver: str = key(_TEXT, "Who says so.")
    reason: str = key(Reader(_reason, {}), "Why.", default="")


def _read(body: bytes) -> _Answer:
    try:
        return read(_Answer, json.loads(body, object_pairs_hook=_once))
    except Unfit as unfit:
        places = ", ".join(dotted(problem.path) or "body" for problem in unfit.found[:3])
        raise ApprovalError(f"the message is not an answer; see {places!r}") from None
    except (ValueError, RecursionError):
        raise ApprovalError("the message is not an answer: it is not JSON, or says something twice") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _message(ticket: Ticket, link: str | None) -> bytes:
    """What the service is told: what the record shows, without secrets, and a sentence for people."""
    shown = ticket.request
    message: dict[str, Any] = {
        "type": "approval.requested",
        "request_id": ticket.id,
        "digest": ticket.digest,
        "call_id": ticket.call_id,
        "created_at": ticket.created_at,
        "expires_at": ticket.expires_at,
        "link": None if link is None else link.replace("{id}", ticket.id),
        "text": _sentence(ticket, link),
        "call": {name: value for name, value in shown.items() if name not in ("labels", "exact")},
    }
    body = json.dumps(message).encode()
    if len(body) > _LARGEST:
        message["call"] = {**message["call"], "params": None}
        message["left_out"] = ["params"]
        body = json.dumps(message).encode()
    return body


def _sentence(ticket: Ticket, link: str | None) -> str:
    """One line of text for a chat; what a model wrote in it neither formats nor links."""
    shown = ticket.request
    who = f"{shown['agent']} asks" if shown["agent"] else "An agent asks"
    what = f"{who} to run {shown['type']} on {shown['target']} (rule {shown['rule']}, risk {shown['risk'].lower()})."
    text = visible(what)[:500]
    for character, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, escaped)
    where = "" if link is None else f" Look at it and answer: {link.replace('{id}', ticket.id)}"
    return f"{text}{where} What is written here is no answer."


def _checked(url: str) -> str:
    if type(url) is not str:
        raise TypeError(f"url must be a string, got {type(url).__name__}")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("url must be an https URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url must not hold a user or a password; messages are signed with the secret")
    if parts.scheme == "http" and not _is_here(parts.hostname):
        raise ValueError(f"url must be https: messages to {parts.hostname} would travel in the clear")
    return url


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _may_pass(why: str) -> bool:
    """Whether a failure may be gone in a moment."""
    return not why.startswith("HTTP ") or why.startswith("HTTP 5") or why in ("HTTP 408", "HTTP 429")
