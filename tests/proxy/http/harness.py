"""A client, the proxy and a server over real sockets, all in this process; the server says what the test wants."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from aegis import Policy, Runtime
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from aegis_mcp.proxy.http.app import HttpProxy
from aegis_mcp.proxy.http.serve import listen, make_server
from tests.proxy.wire import POLICY, call

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

__all__ = ["Answer", "Setting", "call", "events", "proxied", "result"]

ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def result(identity: Any, text: str = "done", **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "result": {"content": [{"type": "text", "text": text}], **more}}


class Answer:
    """What the server of a test says to one request, and how."""

    def __init__(self, send: Any, receive: Any) -> None:
        self._send = send
        self._receive = receive
        self.started = False
        self.hung_up = asyncio.Event()

    async def json(self, message: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        await self.whole(status, {"content-type": "application/json", **(headers or {})}, body)

    async def whole(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": body})

    async def event(self, message: Any = None, *, raw: bytes | None = None, **fields: str) -> None:
        if not self.started:
            await self._start(200, {"content-type": "text/event-stream"})
        if raw is None:
            lines = [f"{name}: {value}" for name, value in fields.items()]
            raw = "\n".join([*lines, f"data: {json.dumps(message)}", "", ""]).encode()
        await self._send({"type": "http.response.body", "body": raw, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def until_hung_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.hung_up.set()

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        self.started = True
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})


class Setting:
    """What a test has in hand.

    Attributes:
        heard: The messages the server got.
        headers: The headers it got them with.
        client: Connected to the proxy.
        url: The proxy's.
    """

    def __init__(self, trail: Any, runtime: Runtime) -> None:
        self.trail = trail
        self.runtime = runtime
        self.heard: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.requests: list[str] = []
        self.client: httpx.AsyncClient = None  # type: ignore[assignment]
        self.url = ""
        self.port = 0

    async def post(self, message: Any, **headers: str) -> httpx.Response:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        return await self.client.post(self.url, content=body, headers={**ACCEPT, **headers})

    @asynccontextmanager
    async def stream(self, message: Any = None, **headers: str) -> AsyncGenerator[httpx.Response]:
        body = None if message is None else json.dumps(message).encode()
        method = "GET" if message is None else "POST"
        async with self.client.stream(method, self.url, content=body, headers={**ACCEPT, **headers}) as response:
            yield response

    @property
    def log(self) -> list[tuple[str, str]]:
        return [(entry["action_type"], entry["result_status"]) for entry in self.trail.get_log()]

    async def until(self, condition: Callable[[], Any]) -> Any:
        for _ in range(2000):
            found = condition()
            if found:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError("it never came true")


async def events(response: httpx.Response) -> AsyncGenerator[dict[str, str]]:
    """The events of a stream as they come."""
    event: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            event[name] = value.removeprefix(" ")
        elif event:
            yield event
            event = {}


async def _running(server: uvicorn.Server, listening: Any) -> asyncio.Task[None]:
    task = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.005)
    return task


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@asynccontextmanager
async def proxied(
    serve: Any = None,
    *,
    policy: Policy = POLICY,
    handler: Any = None,
    answers: Any = (),
    trail: Any = None,
    upstream: str | None = None,
    proxy: Any = None,
    **options: Any,
) -> AsyncGenerator[Setting]:
    """Run a server that answers with ``serve(setting, message, answer)``, and the proxy in front of it."""
    trail = MemoryAuditLogger() if trail is None else trail
    runtime = Runtime(policy=policy, audit_logger=trail, approval_handler=handler or ScriptedApprovalHandler(answers))
    setting = Setting(trail, runtime)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", scope["method"] == "POST"
        while more:
            part = await receive()
            body += part.get("body", b"")
            more = part.get("more_body", False)
        message: Any = json.loads(body) if body else None
        setting.requests.append(scope["method"])
        setting.headers.append({name.decode(): value.decode("latin-1") for name, value in scope["headers"]})
        setting.heard.append(message)
        answer = Answer(send, receive)
        if serve is None:
            await answer.json(result(message["id"], json.dumps(message["params"])))
        else:
            await serve(setting, message, answer)

    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, ws="none", http="h11")
    server = _Server(config)
    theirs, ours = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
    setting.port = ours.getsockname()[1]
    made = HttpProxy(
        runtime,
        server="files",
        upstream=upstream or f"http://127.0.0.1:{theirs.getsockname()[1]}/mcp",
        hosts={f"127.0.0.1:{setting.port}"},
        **options,
    )
    front = make_server(made)
    tasks = [await _running(server, theirs), await _running(front, ours)]
    setting.url = f"http://127.0.0.1:{setting.port}/mcp"
    try:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            setting.client = client
            yield setting
    finally:
        front.should_exit = server.should_exit = True
        await asyncio.gather(*tasks)
        await made.aclose()
        theirs.close()
        ours.close()
