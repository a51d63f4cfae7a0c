"""What tools a server has: starts it, says hello in whichever era of the protocol it speaks, and lists them.

Knows no SDK. Nothing is called: only ``initialize`` or ``server/discover``, and ``tools/list``.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from aegis_core.errors import AegisError
from aegis_core.text import visible
from aegis_mcp.proxy import frames
from aegis_mcp.proxy.child import end_child, start_child
from aegis_mcp.proxy.frames import FrameError, dump

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

__all__ = ["ServerTools", "alist_tools", "all_pages", "list_tools"]

HANDSHAKE, STATELESS = "2025-11-25", "2026-07-28"
"""The protocol versions offered: the last that begins with a handshake, and the first that does not."""
MAX_PAGES = 1000
_GRACE = 2.0
"""Seconds the server has to end after its input closed, and again after it was asked to terminate."""
_TAIL = 4000
"""Characters of its standard error that are kept for the error message."""
_CLIENT = {"name": "aegis", "version": "1"}
_ABLE: dict[str, Any] = {"roots": {}, "sampling": {}, "elicitation": {}}
"""What we claim to be able to do: some servers list a tool only to clients that can do what it asks of them."""
Tool = dict[str, Any]


class ServerTools(NamedTuple):
    """What a server says about itself and its tools. All of it is a stranger's word.

    Attributes:
        tools: The definitions of its tools, as listed. Each is an object with a name; names may come twice.
        name: What it calls itself, or None.
        version: The version it claims, or None.
        protocol: The protocol version it was spoken to in.
    """

    tools: tuple[Tool, ...]
    name: str | None
    version: str | None
    protocol: str


def list_tools(command: Sequence[str], *, timeout: float = 60.0, env: Mapping[str, str] | None = None) -> ServerTools:
    """`alist_tools` for programs without an event loop."""
    return asyncio.run(alist_tools(command, timeout=timeout, env=env))


async def alist_tools(
    command: Sequence[str],
    *,
    timeout: float = 60.0,  # noqa: ASYNC109 - the word users know; asyncio.timeout does the work
    env: Mapping[str, str] | None = None,
) -> ServerTools:
    """Start a server over standard input and output, list its tools, and end it with all it has started.

    Args:
        command: The server's command and arguments. May be an ``aegis proxy`` command: then it is listed through that.
        timeout: Seconds for all of it; a first ``npx`` downloads.
        env: The server's environment; default ours.

    Raises:
        AegisError: It could not be started, ended, did not answer in time, or answered with what is no list of tools.
            The message ends with the last of what it wrote on its standard error.
    """
    child = await start_child(command, stderr=asyncio.subprocess.PIPE, env=env)
    assert child.stderr is not None
    tail = _Tail()
    listening = asyncio.create_task(tail.follow(child.stderr))
    conversation = _Conversation(child)
    try:
        async with asyncio.timeout(timeout):
            return await conversation.tools()
    except TimeoutError:
        problem: str = f"did not list its tools within {timeout:g} s{conversation.noise()}"
    except (_EndedError, ConnectionError):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(child.wait()), _GRACE)
        code = "" if child.returncode is None else f" (exit code {child.returncode})"
        problem = f"ended before it listed its tools{code}{conversation.noise()}"
    except _UnfitError as unfit:
        problem = str(unfit)
    finally:
        await _leave(child)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(listening, _GRACE)
    raise AegisError(f"the server {command[0]!r} {problem}{tail.shown()}")


async def all_pages(ask: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> tuple[Tool, ...]:
    """Every tool of a list that comes in pages.

    Args:
        ask: Sends ``tools/list`` with these params and returns the result.

    Raises:
        AegisError: What came is no list of tools, or has no end.
    """
    tools: list[Tool] = []
    params: dict[str, Any] = {}
    seen: set[str] = set()
    while True:
        result = await ask(params)
        tools += tools_of(result)
        cursor = result.get("nextCursor")
        if cursor is None:
            return tuple(tools)
        if not isinstance(cursor, str) or cursor in seen or len(seen) >= MAX_PAGES:
            raise _UnfitError(f"lists its tools without an end (cursor {visible(repr(cursor)[:80])})")
        seen.add(cursor)
        params = {"cursor": cursor}


def tools_of(result: Mapping[str, Any]) -> list[Tool]:
    """The tools of one page.

    Raises:
        AegisError: It is no list of objects with names.
    """
    tools = result.get("tools")
    if not isinstance(tools, list):
        raise _UnfitError("answered tools/list with something that has no list of tools")
    for tool in tools:
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            raise _UnfitError(f"lists a tool without a name: {visible(repr(tool)[:80])}")
    return tools


class _EndedError(Exception):
    """The server closed its output."""


class _UnfitError(AegisError):
    """The server answered, and the answer cannot be used; the message follows "the server X ..."."""


class _RefusedError(Exception):
    """The server answered with a JSON-RPC error."""

    def __init__(self, error: Any) -> None:
        data = error if isinstance(error, dict) else {}
        self.code = data.get("code")
        super().__init__(visible(str(data.get("message") or "no reason given")[:300]))


class _Conversation:
    """Requests and answers, one at a time."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self._stdin, self._stdout = child.stdin, child.stdout
        self._count = 0
        self._noise: str | None = None

    async def tools(self) -> ServerTools:
        """The whole of it."""
        envelope: dict[str, Any] = {}
        try:
            hello = await self._request(
                "initialize", {"protocolVersion": HANDSHAKE, "capabilities": _ABLE, "clientInfo": _CLIENT}
            )
            protocol = hello.get("protocolVersion")
            self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        except _RefusedError as refused:  # a server that knows no handshake any more
            prefix = "io.modelcontextprotocol/"
            meta = {f"{prefix}protocolVersion": STATELESS, f"{prefix}clientInfo": _CLIENT}
            envelope = {"_meta": {**meta, f"{prefix}clientCapabilities": _ABLE}}
            protocol = STATELESS
            try:
                hello = await self._request("server/discover", envelope)
            except _RefusedError as again:
                raise _UnfitError(f"refuses to talk: {refused}; and without a handshake: {again}") from None

        async def page(params: dict[str, Any]) -> dict[str, Any]:
            return await self._request("tools/list", {**params, **envelope})

        try:
            tools = await all_pages(page)
        except _RefusedError as refused:
            raise _UnfitError(f"refuses to list its tools: {refused}") from None
        name, version = _introduction(hello)
        return ServerTools(tools, name, version, protocol if isinstance(protocol, str) else HANDSHAKE)

    async def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        self._send({"jsonrpc": "2.0", "id": self._count, "method": method, "params": params})
        await self._stdin.drain()
        while True:
            message = await self._next()
            if "method" in message:
                self._answer(message)
            elif message.get("id") == self._count:
                if "error" in message:
                    raise _RefusedError(message["error"])
                result = message.get("result")
                if not isinstance(result, dict):
                    raise _UnfitError(f"answered {method} with something that is no object")
                return result

    async def _next(self) -> dict[str, Any]:
        """The next message; lines that are none are passed over."""
        while True:
            try:
                line = await self._stdout.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                raise _EndedError from None
            except asyncio.LimitOverrunError:
                raise _UnfitError(f"sent a message longer than {frames.MAX_BYTES // 2**20} MiB") from None
            try:
                message = frames.parse(line)
            except FrameError as problem:
                if line.lstrip().startswith(b"{"):
                    raise _UnfitError(f"sent a message that cannot be read: {visible(str(problem))}") from None
                self._noise = self._noise or visible(line[:80].decode("utf-8", "replace"))
                continue
            if isinstance(message, dict):
                return message

    def _answer(self, message: dict[str, Any]) -> None:
        """A server may ask things of its client; we can do none of them."""
        identity = message.get("id")
        if identity is None:
            return
        if message.get("method") == "ping":
            self._send({"jsonrpc": "2.0", "id": identity, "result": {}})
        else:
            self._send(frames.error(identity, -32601, "this client only lists tools"))

    def _send(self, message: dict[str, Any]) -> None:
        self._stdin.write(dump(message))

    def noise(self) -> str:
        """What came on standard output that is no message, for whoever wonders why nothing else came."""
        return f"; on its standard output it wrote {self._noise!r}, which is no message" if self._noise else ""


class _Tail:
    """The last of what a server writes on its standard error."""

    def __init__(self) -> None:
        self._text = b""

    async def follow(self, stream: asyncio.StreamReader) -> None:
        while some := await stream.read(65536):
            self._text = (self._text + some)[-_TAIL:]

    def shown(self) -> str:
        lines = self._text.decode("utf-8", "replace").strip().splitlines()[-8:]
        return "".join(
            [". Its standard error ends with:", *(f"\n  {visible(line[:200])}" for line in lines)] if lines else []
        )


def _introduction(hello: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """What a server calls itself: in the handshake's result, or stamped on the result of a discovery."""
    info = hello.get("serverInfo")
    meta = hello.get("_meta")
    if not isinstance(info, dict) and isinstance(meta, dict):
        info = meta.get("io.modelcontextprotocol/serverInfo")
    info = info if isinstance(info, dict) else {}
    name, version = info.get("name"), info.get("version")
    return name if isinstance(name, str) else None, version if isinstance(version, str) else None


async def _leave(child: asyncio.subprocess.Process) -> None:
    """Close the server's input, as a client that leaves does, and end what does not end by itself."""
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(OSError):
        child.stdin.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(child.wait()), _GRACE)
    await end_child(child, grace=_GRACE)
    # What it wrote and nobody read keeps the pipe open, and then asyncio complains when the loop is closed.
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(_GRACE):
            while await child.stdout.read(2**20):
                pass
