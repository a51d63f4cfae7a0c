"""Webhooks: a signed notice out, a signed answer in, over real HTTP; and nothing else is ever a yes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("httpx", reason="httpx is not installed (the extra http)")

from aegis import Action, Result, ResultStatus, Runtime
from aegis.errors import ApprovalError
from aegis.runtime.approval import WebhookApprovalHandler
from aegis_core.approval.seal import check, read_secret, seal
from aegis_core.approval.store import ApprovalStore
from aegis_core.audit.sqlite import AuditLogger
from tests.core.policies import ASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aegis_core.approval.store import Ticket

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
CALL = Action("write_file", "filesystem", {"path": "/data/a", "password": "hunter2"}, agent="bot")


class Service:
    """The other side: keeps what it is sent, and replies as it is told."""

    def __init__(self, reply: Callable[[Any], None]) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                service.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                with contextlib.suppress(OSError):  # the other side does not wait for the end
                    reply(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks/T0/S3CR3T-PATH"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def says(status: int, body: bytes = b"", **headers: str) -> Callable[[Any], None]:
    def reply(handler: Any) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def start(reply: Callable[[Any], None] | None = None) -> Service:
        services.append(Service(reply or says(204)))
        return services[-1]

    yield start
    for service in services:
        service.close()


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[AuditLogger]:
    with AuditLogger(tmp_path / "aegis_audit.db") as logger:
        yield logger


def webhook(trail: AuditLogger, url: str, **options: Any) -> WebhookApprovalHandler:
    options = {"secret": SECRET, "approvers": ["ann@example.com"], "wait": False, **options}
    return WebhookApprovalHandler(trail, url, **options)


def made(handler: WebhookApprovalHandler, action: Action = CALL, **options: Any) -> Result:
    runtime = Runtime(policy=ASK, audit_logger=handler.store, approval_handler=handler, **options)
    return runtime.run(action, lambda _: "ran")


def reply_to(message: bytes, **changes: Any) -> bytes:
    """The answer of an honest service to a message, but for some changes."""
    asked = json.loads(message)
    said = {"type": "approval.answered", "request_id": asked["request_id"], "digest": asked["digest"]}
    return json.dumps({**said, "approved": True, "approver": "ann@example.com", **changes}).encode()


def sealed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    return seal(read_secret(secret), "msg_1", int(time.time() if at is None else at), body)


def only(trail: AuditLogger) -> Ticket:
    (ticket,) = ApprovalStore(trail).requests()
    return ticket


def events(trail: AuditLogger, kind: str) -> list[dict[str, Any]]:
    rows = trail.read(lambda db: db.execute("SELECT data FROM records WHERE kind = ?", (kind,)).fetchall())
    return [json.loads(data) for (data,) in rows]


def test_the_signature_is_that_of_standard_webhooks() -> None:
    secret = read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = seal(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_service_gets_a_signed_notice_without_secrets_that_links_to_the_inbox(
    trail: AuditLogger, serve: Callable[..., Service]
) -> None:
    service = serve()
    result = made(webhook(trail, service.url, link="https://inbox.example.com/requests/{id}"))
    assert result.status is ResultStatus.PENDING_APPROVAL
    ((headers, body),) = service.got
    signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    mac = hmac.new(base64.b64decode(SECRET[6:]), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
    message = json.loads(body)
    assert message["link"] == f"https://inbox.example.com/requests/{result.request_id}"
    assert message["link"] in message["text"]
    assert message["call"]["params"]["path"] == "/data/a"
    assert b"hunter2" not in body


def test_what_a_model_wrote_neither_formats_nor_links_in_a_chat(
    trail: AuditLogger, serve: Callable[..., Service]
) -> None:
    service = serve()
    made(webhook(trail, service.url), Action("x", "y<https://evil.example|Approve>&", {}, agent="bot"))
    text = json.loads(service.got[0][1])["text"]
    assert "y&lt;https://evil.example|Approve&gt;&amp;" in text
    assert "<" not in text


def test_a_notice_too_large_is_sent_without_the_arguments(trail: AuditLogger, serve: Callable[..., Service]) -> None:
    service = serve()
    made(webhook(trail, service.url), CALL.replace(params={"text": "x" * 200_000}))
    message = json.loads(service.got[0][1])
    assert (message["call"]["params"], message["left_out"]) == (None, ["params"])


def test_a_call_that_joins_a_request_is_not_told_of_again(trail: AuditLogger, serve: Callable[..., Service]) -> None:
    service = serve()
    handler = webhook(trail, service.url)
    made(handler)
    made(handler)
    assert len(service.got) == 1


@pytest.mark.parametrize(("approved", "status"), [(True, ResultStatus.SUCCESS), (False, ResultStatus.DENIED)])
def test_a_call_waits_and_is_woken_by_the_signed_answer(
    trail: AuditLogger, serve: Callable[..., Service], approved: bool, status: ResultStatus
) -> None:
    service = serve()
    handler = webhook(trail, service.url, wait=True)
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(made(handler, approval_timeout=30)))
    thread.start()
    deadline = time.monotonic() + 30
    while not service.got and time.monotonic() < deadline:
        time.sleep(0.01)
    body = reply_to(service.got[0][1], approved=approved, reason="seen")
    ticket = handler.receive(sealed(body), body)
    thread.join()
    assert results[0].status is status
    assert (ticket.via, ticket.approver, ticket.reason) == ("webhook", "ann@example.com", "seen")
    assert trail.get_log()[-1]["approver"] == "ann@example.com"


def asked_about(trail: AuditLogger, serve: Callable[..., Service]) -> tuple[WebhookApprovalHandler, bytes]:
    """A request that waits, and the message about it."""
    service = serve()
    handler = webhook(trail, service.url)
    made(handler)
    return handler, service.got[0][1]


REFUSED: dict[str, tuple[Callable[[bytes], tuple[Any, bytes]], str]] = {
    "another secret": (lambda m: (sealed(reply_to(m), secret="s" * 32), reply_to(m)), "signature is not ours"),
    "another body": (lambda m: (sealed(reply_to(m, approved=False)), reply_to(m)), "signature is not ours"),
    "an old message": (lambda m: (sealed(reply_to(m), at=time.time() - 400), reply_to(m)), "too old"),
    "a message from the future": (lambda m: (sealed(reply_to(m), at=time.time() + 400), reply_to(m)), "too old"),
    "no signature": (lambda m: ({}, reply_to(m)), "no header 'webhook-id'"),
    "a header twice": (lambda m: ([*sealed(reply_to(m)).items()] * 2, reply_to(m)), "twice"),
    "a time that is none": (lambda m: ({**sealed(reply_to(m)), "webhook-timestamp": "1e9"}, reply_to(m)), "no number"),
    "an empty signature": (lambda m: ({**sealed(reply_to(m)), "webhook-signature": ""}, reply_to(m)), "not ours"),
    "a stranger": (lambda m: answered(reply_to(m, approver="eve@example.com")), "not among those who may approve"),
    "another call's digest": (lambda m: answered(reply_to(m, digest="0" * 64)), "for another call"),
    "an unknown request": (lambda m: answered(reply_to(m, request_id="0" * 32)), "there is no approval request"),
    "the words false": (lambda m: answered(reply_to(m, approved="false")), "not an answer; see 'approved'"),
    "the word true": (lambda m: answered(reply_to(m, approved="true")), "not an answer; see 'approved'"),
    "a one": (lambda m: answered(reply_to(m, approved=1)), "not an answer; see 'approved'"),
    "nothing": (lambda m: answered(reply_to(m, approved=None)), "not an answer; see 'approved'"),
    "chat text": (lambda m: answered(b"please do NOT approve this, I disapprove"), "it is not JSON"),
    "an edit": (lambda m: answered(reply_to(m, edits={"path": "/etc"})), "not an answer; see 'edits'"),
    "a key twice": (lambda m: answered(reply_to(m)[:-1] + b', "approved": true}'), "says something twice"),
    "our own message": (lambda message: answered(message), "not an answer"),  # noqa: PLW0108 - defined below
    "something huge": (lambda m: answered(b" " * 70_000 + reply_to(m)), "too long"),
    "something deep": (lambda m: answered(b"[" * 60_000), "not JSON"),
}


def answered(body: bytes) -> tuple[dict[str, str], bytes]:
    return sealed(body), body


@pytest.mark.parametrize("case", REFUSED)
def test_15_what_is_no_signed_explicit_answer_to_this_very_call_counts_for_nothing(
    trail: AuditLogger, serve: Callable[..., Service], case: str
) -> None:
    handler, message = asked_about(trail, serve)
    forge, why = REFUSED[case]
    with pytest.raises(ApprovalError, match=why) as refused:
        handler.receive(*forge(message))
    assert SECRET not in str(refused.value)
    assert only(trail).state == "pending"


def test_15_an_answer_counts_once_and_a_replay_for_nothing(trail: AuditLogger, serve: Callable[..., Service]) -> None:
    handler, message = asked_about(trail, serve)
    headers, body = answered(reply_to(message))
    assert handler.receive(headers, body).state == "approved"
    for _ in range(2):
        with pytest.raises(ApprovalError, match=r"already answered by ann@example\.com \(via webhook\)"):
            handler.receive(headers, body)
    assert made(handler).data == "ran"
    made(handler)  # the same call again: a request of its own, which the old answer does not fit
    with pytest.raises(ApprovalError, match="already answered"):
        handler.receive(headers, body)
    assert [ticket.state for ticket in ApprovalStore(trail).requests()] == ["used", "pending"]


def test_15_who_asked_cannot_answer(trail: AuditLogger, serve: Callable[..., Service]) -> None:
    service = serve()
    handler = webhook(trail, service.url, approvers=["bot"])
    made(handler)
    with pytest.raises(ApprovalError, match="'bot' asked for this call"):
        handler.receive(*answered(reply_to(service.got[0][1], approver="bot")))


def test_headers_may_be_pairs_of_bytes_in_any_case_and_hold_several_signatures() -> None:
    secret, headers = read_secret(SECRET), sealed(b"{}")
    several = {**headers, "webhook-signature": f"v1,AAAA v2,x {headers['webhook-signature']}"}
    pairs = [(name.title().encode(), value.encode()) for name, value in several.items()]
    check(secret, pairs, b"{}", now=time.time())


def slow_drip(handler: Any) -> None:
    with contextlib.suppress(OSError):
        for letter in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
            handler.wfile.write(bytes([letter]))
            handler.wfile.flush()
            time.sleep(0.05)


def endless(handler: Any) -> None:
    handler.send_response(500)
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(10_000):
            handler.wfile.write(b"x" * 65_536)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (says(500, b'{"approved": true}'), "HTTP 500"),
        (says(403), "HTTP 403"),
        (slow_drip, "no reply within"),
        (endless, "HTTP 500"),
        (lambda handler: handler.connection.close(), ""),
    ],
    ids=["500", "403", "slow", "endless", "closed"],
)
def test_a_notice_that_cannot_be_delivered_is_on_record_and_the_call_can_be_answered_elsewhere(
    trail: AuditLogger,
    serve: Callable[..., Service],
    reply: Callable[[Any], None],
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    handler = webhook(trail, serve(reply).url, timeout=0.5)
    assert made(handler).status is ResultStatus.PENDING_APPROVAL
    (event,) = events(trail, "approval_undelivered")
    assert (event["id"], event["host"]) == (only(trail).id, "127.0.0.1")
    assert why in event["why"]
    said = " ".join(record.getMessage() for record in caplog.records if record.name == "aegis")
    assert "could not be sent to 127.0.0.1" in said
    assert "S3CR3T-PATH" not in said + repr(handler) + json.dumps(event)
    assert SECRET not in caplog.text + repr(handler) + json.dumps(event)
    ApprovalStore(trail).answer(only(trail).id, approved=True, approver="ann", via="cli")
    assert made(handler).data == "ran"


def test_nobody_there_is_not_a_yes_and_is_tried_again(trail: AuditLogger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aegis_core.approval.webhook._PAUSES", (0.01, 0.01))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        result = made(webhook(trail, url, wait=True), approval_timeout=0.5)
    assert (result.status, "nobody answered" in (result.error or "")) == (ResultStatus.DENIED, True)
    deadline = time.monotonic() + 20
    while not events(trail, "approval_undelivered") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert events(trail, "approval_undelivered")[0]["why"] == "ConnectError"


def test_a_redirect_is_not_followed(trail: AuditLogger, serve: Callable[..., Service]) -> None:
    elsewhere = serve()
    handler = webhook(trail, serve(says(307, Location=elsewhere.url)).url)
    made(handler)
    assert elsewhere.got == []
    assert events(trail, "approval_undelivered")[0]["why"] == "HTTP 307"


def test_what_comes_back_on_the_connection_is_no_answer(trail: AuditLogger, serve: Callable[..., Service]) -> None:
    service = serve(says(200, b'{"type": "approval.answered", "approved": true, "approver": "ann@example.com"}'))
    assert made(webhook(trail, service.url)).status is ResultStatus.PENDING_APPROVAL
    assert only(trail).state == "pending"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"url": "http://hooks.example.com/"}, "would travel in the clear"),
        ({"url": "ftp://hooks.example.com/"}, "must be an https URL"),
        ({"url": "https:///x"}, "must be an https URL"),
        ({"url": "https://u:p@hooks.example.com/"}, "must not hold a user"),
        ({"secret": "short-secret"}, "12 bytes and needs 24"),
        ({"secret": "whsec_%%%"}, "not followed by base64"),
        ({"approvers": []}, "at least one person"),
        ({"link": "javascript:alert(1)"}, "link must be an http"),
        ({"timeout": 0}, "from 0 to 300"),
    ],
)
def test_what_cannot_be_used_is_refused_where_it_is_made(trail: AuditLogger, options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        webhook(trail, options.pop("url", "https://hooks.example.com/"), **options)
    assert str(options.get("secret", "nothing")) not in str(refused.value)


def test_one_string_is_no_list_of_approvers(trail: AuditLogger) -> None:
    with pytest.raises(TypeError, match="a list of names"):
        webhook(trail, "https://hooks.example.com/", approvers="ann@example.com")


async def test_a_coroutine_waits_without_blocking_its_loop(trail: AuditLogger, serve: Callable[..., Service]) -> None:
    service = serve()
    handler = webhook(trail, service.url, wait=True)
    runtime = Runtime(policy=ASK, audit_logger=trail, approval_handler=handler, approval_timeout=30)
    calls = [
        asyncio.create_task(runtime.arun(CALL.replace(params={"path": f"/{number}"}), lambda given: given["path"]))
        for number in range(20)
    ]
    answered_ids: set[str] = set()
    while len(answered_ids) < 20:
        await asyncio.sleep(0.01)
        for _, message in list(service.got):
            name = json.loads(message)["request_id"]
            if name not in answered_ids:
                answered_ids.add(name)
                await asyncio.to_thread(handler.receive, *answered(reply_to(message)))
    results = await asyncio.gather(*calls)
    assert [result.data for result in results] == [f"/{number}" for number in range(20)]


def test_the_web_application_of_the_documentation_takes_answers(
    tmp_path: Path, serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    documented = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text(encoding="utf-8")
    (block,) = [part.split("```")[0] for part in documented.split("```python\n") if "async def app(" in part]
    service = serve()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APPROVAL_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("APPROVAL_WEBHOOK_URL", service.url)
    space: dict[str, Any] = {}
    exec(compile(block, "docs/webhooks.md", "exec"), space)
    trail = space["trail"]
    runtime = Runtime(policy=ASK, audit_logger=trail, approval_handler=space["handler"], approval_timeout=30)
    server = uvicorn.Server(uvicorn.Config(space["app"], host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    results: list[Result] = []
    call = threading.Thread(target=lambda: results.append(runtime.run(CALL, lambda _: "ran")))
    call.start()
    try:
        deadline = time.monotonic() + 30
        while not (server.started and service.got) and time.monotonic() < deadline:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        body = reply_to(service.got[0][1])
        assert posted(port, b"yes", {}) == 403
        assert posted(port, b"x" * 100_000, sealed(b"x")) == 413
        assert posted(port, reply_to(service.got[0][1], approver="eve@example.com"), sealed(body)) == 403
        assert only(trail).state == "pending"
        assert posted(port, body, sealed(body)) == 204
        assert posted(port, body, sealed(body)) == 403
        call.join(30)
        assert results[0].data == "ran"
    finally:
        server.should_exit = True
        thread.join()
        trail.close()


def posted(port: int, body: bytes, headers: dict[str, str]) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/approvals", data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
