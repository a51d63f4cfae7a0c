"""What the benchmark of the proxy measures it beside: servers that echo, and relays that only copy.

``sdk`` and ``plain`` serve over standard input and output, ``http`` over HTTP; ``relay COMMAND...`` copies bytes
between its own pipes and a command's, ``reverse URL`` copies requests and answers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


def sdk() -> None:
    """A server on the SDK."""
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("echo", log_level="CRITICAL")

    @server.tool()
    async def echo(text: str) -> str:
        return text

    server.run("stdio")


def plain() -> None:
    """A server of ten lines."""
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "id" in message:
            text = message.get("params", {}).get("arguments", {}).get("text", "hello")
            result: dict[str, Any] = {"content": [{"type": "text", "text": text}]}
            if message["method"] == "tools/list":
                result = {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
            sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
            sys.stdout.buffer.flush()


async def relay(command: list[str]) -> None:
    """Copy bytes, and nothing else."""
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout.buffer)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.close()

    assert child.stdin is not None
    assert child.stdout is not None
    await asyncio.gather(copy(reader, child.stdin), copy(child.stdout, writer))
    await child.wait()


def serve(app: Any) -> None:
    """Serve an ASGI application, and say where."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            print(f"at http://127.0.0.1:{port}/mcp", file=sys.stderr, flush=True)

    Server(uvicorn.Config(app, port=0, log_level="critical", http="h11", ws="none")).run()


def http() -> None:
    """A server over HTTP, on the SDK, without sessions."""
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("echo", log_level="CRITICAL")

    @server.tool()
    async def echo(text: str) -> str:
        return text

    serve(server.streamable_http_app(stateless_http=True, json_response=True))


def reverse(url: str) -> None:
    """A reverse proxy that copies, on what the proxy stands on."""
    from urllib.parse import urlsplit

    from aegis_mcp.proxy.http.upstream import Upstream

    where = urlsplit(url)
    upstream = Upstream(str(where.hostname), where.port or 80, authority=where.netloc.encode())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            part = await receive()
            body += part["body"]
            more = part.get("more_body", False)
        headers = [pair for pair in scope["headers"] if pair[0] not in (b"host", b"content-length")]
        response = await upstream.request(scope["method"], where.path.encode(), headers, body)
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        async for chunk in response.chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        response.close()

    serve(app)


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    if kind == "relay":
        asyncio.run(relay(rest))
    elif kind == "reverse":
        reverse(*rest)
    else:
        {"sdk": sdk, "plain": plain, "http": http}[kind]()
