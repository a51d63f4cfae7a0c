"""Requests to the server, over real connections to servers that behave in every way."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("h11")

from aegis_mcp.proxy.http import upstream as module
from aegis_mcp.proxy.http.upstream import Response, Upstream, UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Case: a\r\n\r\nhi"


class Server:
    """Counts connections and keeps what it was sent."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.connections = 0
        self.heads: list[bytes] = []
        self._serving: list[asyncio.Task[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.append(task)
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._handler(reader, writer)
        finally:
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def stop(self) -> None:
        """End what is being served."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def head(self, reader: asyncio.StreamReader) -> int:
        """The next request's head; the length of its body."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return int(lengths[0].partition(b":")[2]) if lengths else 0


@contextlib.asynccontextmanager
async def behind(answers: list[bytes | None], *, close: bool = False) -> AsyncGenerator[tuple[Upstream, Server]]:
    """A server that gives these answers, one a request, on whatever connection; None hangs up instead."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readexactly(await server.head(reader))
            answer = answers.pop(0)
            if answer is None:
                return
            writer.write(answer)
            await writer.drain()
            if close:
                return

    server = Server(handler)
    async with running(server) as upstream:
        yield upstream, server


@contextlib.asynccontextmanager
async def running(server: Server) -> AsyncGenerator[Upstream]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    upstream = Upstream("127.0.0.1", port, authority=b"the.host:%d" % port)
    try:
        yield upstream
    finally:
        await upstream.aclose()
        listening.close()
        await server.stop()


async def body_of(response: Response) -> bytes:
    return b"".join([chunk async for chunk in response.chunks()])


async def ask(upstream: Upstream, content: bytes | None = b"{}") -> bytes:
    method = "GET" if content is None else "POST"
    response = await upstream.request(method, b"/mcp?a=b", [(b"accept", b"x")], content)
    try:
        return await body_of(response)
    finally:
        response.close()


async def test_a_request_is_sent_whole_and_its_connection_is_used_again() -> None:
    async with behind([OK, OK, OK]) as (upstream, server):
        response = await upstream.request("POST", b"/mcp?a=b", [(b"accept", b"x")], b"{}")
        assert (response.status, response.header(b"x-case"), response.header(b"y")) == (200, b"a", b"")
        assert (b"X-Case", b"a") in response.headers
        assert await body_of(response) == b"hi"
        assert [await ask(upstream), await ask(upstream, None)] == [b"hi", b"hi"]
    assert server.connections == 1
    first, _, last = server.heads
    assert first.startswith(b"POST /mcp?a=b HTTP/1.1\r\nhost: the.host:")
    assert b"content-length: 2\r\n" in first.lower()
    assert last.startswith(b"GET ")
    assert b"content-length" not in last.lower()


async def test_requests_at_once_have_a_connection_each() -> None:
    async with behind([OK] * 20) as (upstream, server):
        assert await asyncio.gather(*(ask(upstream) for _ in range(10))) == [b"hi"] * 10
        assert 1 < server.connections <= 10
        before = server.connections
        assert await asyncio.gather(*(ask(upstream) for _ in range(before))) == [b"hi"] * before
        assert server.connections == before


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
        b"HTTP/1.0 200 OK\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
async def test_an_answer_may_end_in_any_way_http_has(answer: bytes) -> None:
    async with behind([answer, answer], close=b"1.0" in answer or b"close" in answer) as (upstream, _):
        assert [await ask(upstream), await ask(upstream)] == [b"hi", b"hi"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "without an answer"),
        (b"SSH-2.0\r\n\r\n", "illegal status line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "without sending complete message body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", "without sending complete message body"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "without a pending proposal"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "too long|too large|incomplete"),
    ],
)
async def test_what_is_no_answer_is_an_error_and_its_connection_is_not_used_again(
    answer: bytes | None, why: str
) -> None:
    async with behind([answer, OK], close=True) as (upstream, server):
        with pytest.raises(UpstreamError, match=why) as caught:
            await ask(upstream)
        assert not caught.value.unheard, "the server may have acted on it"
        assert await ask(upstream) == b"hi"
    assert server.connections == 2


async def test_a_connection_that_the_server_has_ended_is_not_used_again() -> None:
    async with behind([OK, OK], close=True) as (upstream, server):
        assert await ask(upstream) == b"hi"
        await asyncio.sleep(0.05)
        assert await ask(upstream) == b"hi"
    assert server.connections == 2


async def test_a_connection_on_which_more_was_said_than_was_asked_is_not_used_again() -> None:
    async with behind([OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", OK]) as (upstream, server):
        assert [await ask(upstream), await ask(upstream)] == [b"hi", b"hi"]
    assert server.connections == 2


async def test_a_connection_that_rested_too_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_FOR", -1.0)
    async with behind([OK, OK]) as (upstream, server):
        assert [await ask(upstream), await ask(upstream)] == [b"hi", b"hi"]
    assert server.connections == 2


async def test_an_answer_before_all_was_read_is_an_answer_and_its_connection_is_not_used_again() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        await asyncio.sleep(10)

    server = Server(handler)
    async with running(server) as upstream:
        assert await asyncio.wait_for(ask(upstream, b"x" * 20_000_000), 30) == b"no"
        assert await asyncio.wait_for(ask(upstream), 30) == b"no"
    assert server.connections == 2


async def test_a_server_that_is_faster_than_its_reader_is_made_to_wait() -> None:
    size, sent = 40_000_000, 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readexactly(await server.head(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 100_000)
            sent += 100_000
            await writer.drain()

    server = Server(handler)
    async with running(server) as upstream:
        response = await upstream.request("POST", b"/", [], b"")
        await asyncio.sleep(0.3)
        assert sent < size
        assert len(await body_of(response)) == size


async def test_giving_up_ends_the_connection() -> None:
    ended = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(await server.head(reader))
        if server.connections == 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhi")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        ended.set()

    server = Server(handler)
    async with running(server) as upstream:
        response = await upstream.request("POST", b"/", [], b"")
        async for chunk in response.chunks():
            assert chunk == b"hi"
            break
        response.close()
        await asyncio.wait_for(ended.wait(), 10)
        ended.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(upstream.request("POST", b"/", [], b""), 0.2)
        await asyncio.wait_for(ended.wait(), 10)


async def test_a_server_that_is_not_there_never_heard_of_the_request() -> None:
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    for host in ("127.0.0.1", "nobody.invalid"):
        with pytest.raises(UpstreamError) as caught:
            await ask(Upstream(host, port, authority=b"x"))
        assert caught.value.unheard
        assert str(caught.value)


async def test_a_server_that_does_not_take_the_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(module, "CONNECT_PATIENCE", 0.05)
    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
    with pytest.raises(UpstreamError, match=r"no connection within 0\.05 s") as caught:
        await ask(Upstream("127.0.0.1", 1, authority=b"x"))
    assert caught.value.unheard


async def test_headers_that_http_cannot_carry_are_an_error_before_anything_is_sent() -> None:
    async with behind([OK]) as (upstream, server):
        with pytest.raises(UpstreamError, match="header") as caught:
            await upstream.request("POST", b"/", [(b"x", b"a\r\nb: c")], b"")
    assert caught.value.unheard
    assert server.connections == 0


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own for 127.0.0.1, and its key."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


async def test_a_server_with_tls_must_show_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    own, key = certificate(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(own, key)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readexactly(await server.head(reader))
            writer.write(OK)
            await writer.drain()

    server = Server(handler)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=serving)
    port = listening.sockets[0].getsockname()[1]
    stranger = Upstream("127.0.0.1", port, authority=b"x", context=ssl.create_default_context())
    with pytest.raises(UpstreamError, match=r"(?i)certificate.verify.failed") as caught:
        await ask(stranger)
    assert caught.value.unheard
    friend = Upstream("127.0.0.1", port, authority=b"x", context=ssl.create_default_context(cafile=own))
    assert [await ask(friend), await ask(friend)] == [b"hi", b"hi"]
    assert len(server.heads) == 2
    assert server.connections == 1
    await friend.aclose()
    listening.close()
    await server.stop()
