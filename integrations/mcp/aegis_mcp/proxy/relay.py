"""What the proxy means: every ``tools/call`` of the client is governed, everything else passes as it is.

Knows no transport. A call is forwarded as the message that was judged, written anew, never as the bytes beside it.
Other messages keep their bytes. An answer of the server counts if it answers a request that was forwarded and is still
open; others are dropped.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import orjson

from aegis_core.errors import AegisError
from aegis_core.text import visible
from aegis_mcp.proxy import frames
from aegis_mcp.proxy.frames import FrameError, dump, key_of
from aegis_mcp.proxy.lane import Lane
from aegis_mcp.tool_calls import ToolCalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_core.runtime import Runtime
    from aegis_mcp.proxy.frames import Message
    from aegis_mcp.proxy.lane import Place

__all__ = ["PLACE", "Relay"]

_log = logging.getLogger("aegis.proxy")
_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
_CLIENT = "io.modelcontextprotocol/clientInfo"
PLACE: ContextVar[Place | None] = ContextVar("aegis_proxy_place", default=None)
"""The place in line of the call that is being judged; who waits for a person steps out of it."""

Answer = tuple[dict[str, Any], bytes]
"""What the server answered, and the bytes it came in."""


class ServerError(Exception):
    """The server answered a call with a JSON-RPC error. ``line`` is that answer, for the client."""

    def __init__(self, message: str, line: bytes) -> None:
        super().__init__(message)
        self.line = line


class Gone(BaseException):
    """The connection ended before the server answered: nobody saw how the call ended."""

    aegis_still_running = True


class Relay:
    """One connection between one client and one server.

    Args:
        runtime: Governs the calls.
        server: The server's name for the policy: the target of every call.
        to_client: Sends bytes to the client; must not block.
        to_server: Sends bytes to the server; must not block.

    Attributes:
        client_name: What the client calls itself, once it has said so.
        client_capabilities: What it says it can do.
        modern: Whether it speaks the stateless protocol (2026-07-28 and later).
    """

    def __init__(
        self, runtime: Runtime, *, server: str, to_client: Callable[[bytes], None], to_server: Callable[[bytes], None]
    ) -> None:
        self._calls = ToolCalls(runtime, server, remember=True)
        self._to_client = to_client
        self._lane = Lane(to_server)
        # Requests of the client that the server has not answered: None for those that merely pass.
        self._open: dict[tuple[str, Any], asyncio.Future[Answer] | None] = {}
        self._governing: dict[tuple[str, Any], asyncio.Task[None]] = {}
        self._asked: dict[str, asyncio.Future[Message]] = {}
        self.client_name: str | None = None
        self.client_capabilities: dict[str, Any] = {}
        self.modern = False

    # --- from the client -------------------------------------------------------------------------------------------

    def from_client(self, line: bytes) -> None:
        """Take one line of the client."""
        try:
            message = frames.parse(line)
        except FrameError as problem:
            self._refuse(problem)
            return
        if isinstance(message, list):
            self._batch(message)
        else:
            self._one(message, line)

    def _batch(self, batch: list[Any]) -> None:
        """The calls of a batch are governed one by one; what else there is passes, one by one too."""
        for message in batch:
            try:
                if not isinstance(message, dict):
                    raise FrameError("a message of the batch is not a JSON object")
                frames.check(message)
            except FrameError as problem:
                self._refuse(problem)
            else:
                self._one(message, dump(message))

    def _one(self, message: Message, line: bytes) -> None:
        method, identity = message.get("method"), message.get("id")
        if method is None:
            asked = self._asked.pop(identity, None) if isinstance(identity, str) else None
            if asked is None:
                self._lane.place().send(line)  # an answer to a request of the server
            elif not asked.done():
                asked.set_result(message)
        elif identity is None:
            self._notification(method, message, line)
        elif key_of(identity) in self._open or key_of(identity) in self._governing:
            self._say(frames.error(identity, frames.INVALID_REQUEST, f"the id {identity!r} is in use"))
        elif method == "tools/call":
            self._call(identity, message)
        else:
            if method == "initialize":
                params = message.get("params")
                self._meet(params.get("clientInfo"), params.get("capabilities")) if isinstance(params, dict) else None
            self._open[key_of(identity)] = None
            self._lane.place().send(line)

    def _notification(self, method: Any, message: Message, line: bytes) -> None:
        if method == "tools/call":
            _log.warning("a tools/call without an id was dropped: nobody could hear how it ended")
            return
        params = message.get("params")
        if method == "notifications/cancelled" and isinstance(params, dict):
            key = key_of(params.get("requestId"))
            task = self._governing.get(key)
            if task is not None:
                heard = key in self._open  # else the server has not heard of the call, and need not hear of this
                task.cancel()
                if not heard:
                    return
            self._open.pop(key, None)
        self._lane.place().send(line)

    def _meet(self, client: Any, capabilities: Any) -> None:
        """Learn who the client is and what it can do."""
        self.client_name = str(client.get("name")) if isinstance(client, dict) else None
        self.client_capabilities = capabilities if isinstance(capabilities, dict) else {}

    def _refuse(self, problem: FrameError) -> None:
        _log.warning("a message of the client was refused: %s", visible(str(problem)))
        self._say(frames.error(problem.id, problem.code, f"refused by Aegis: {problem}"))

    # --- calls -----------------------------------------------------------------------------------------------------

    def _call(self, identity: Any, message: Message) -> None:
        place, key = self._lane.place(), key_of(identity)
        task = asyncio.get_running_loop().create_task(self._govern(identity, message, place))
        self._governing[key] = task

        def done(_task: asyncio.Task[None]) -> None:
            place.drop()
            self._governing.pop(key, None)
            self._open.pop(key, None)

        task.add_done_callback(done)

    async def _govern(self, identity: Any, message: Message, place: Place) -> None:
        """Govern one call and answer it, whatever happens."""
        PLACE.set(place)
        answer: Answer | None = None

        async def send(params: Message) -> Message:
            nonlocal answer
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._open[key_of(identity)] = future
            place.send(dump({**message, "params": params}))
            answer = await future
            reply, line = answer
            if "error" in reply:
                failure = reply["error"]
                text = failure.get("message") if isinstance(failure, dict) else None
                raise ServerError(str(text or "the server answered with an error"), line)
            result: Any = reply.get("result")
            return result if isinstance(result, dict) else {}

        try:
            params = _checked(message)
            self._introduced(params)
            envelope = {"resultType": "complete"} if self.modern else None
            result = await self._calls.call(params, send, envelope=envelope)
        except ServerError as failed:
            self._to_client(failed.line)
        except FrameError as problem:
            self._say(frames.error(identity, frames.INVALID_PARAMS, f"refused by Aegis: {problem}"))
        except AegisError as refused:
            text = f"refused by Aegis: {refused}. The call did not run."
            self._say(frames.tool_error(identity, text, modern=self.modern))
        except Exception:  # noqa: BLE001 - whatever goes wrong, the client is answered
            _log.critical("governing a call failed", exc_info=True)
            self._say(frames.error(identity, frames.INTERNAL_ERROR, "an error inside Aegis; see its standard error"))
        else:
            if answer is not None and result is answer[0].get("result"):
                self._to_client(answer[1])
            else:
                self._say({"jsonrpc": "2.0", "id": identity, "result": result})

    def _introduced(self, params: Message) -> None:
        """In the stateless era every request says who is calling."""
        meta = params.get("_meta")
        if isinstance(meta, dict) and isinstance(meta.get(_CAPABILITIES), dict):
            self.modern = True
            self._meet(meta.get(_CLIENT), meta[_CAPABILITIES])

    # --- from the server -------------------------------------------------------------------------------------------

    def from_server(self, line: bytes) -> None:
        """Take one line of the server."""
        message = _loose(line)
        if isinstance(message, dict):
            if "method" in message or "id" not in message:
                self._to_client(_ended(line))
            else:
                self._answer(message, _ended(line))
        elif isinstance(message, list):
            for entry in message:
                self.from_server(dump(entry))
        elif line.strip():
            shown = visible(line[:200].decode("utf-8", "replace"))
            _log.warning("the server wrote a line that is no message; it was not passed on: %s", shown)

    def _answer(self, message: Message, line: bytes) -> None:
        key = key_of(message["id"])
        if key not in self._open:
            _log.warning("the server answered a request that is not open (id %r); dropped", message["id"])
            return
        waiting = self._open.pop(key)
        if waiting is None:
            self._to_client(line)
        elif not waiting.done():
            waiting.set_result((message, line))

    # --- both ways -------------------------------------------------------------------------------------------------

    async def ask_client(self, method: str, params: Message) -> Message:
        """Send the client a request of the proxy's own and wait for its answer."""
        identity = f"aegis-{secrets.token_hex(12)}"
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[identity] = future
        self._say({"jsonrpc": "2.0", "id": identity, "method": method, "params": params})
        try:
            return await future
        finally:
            self._asked.pop(identity, None)

    async def drain(self) -> None:
        """Wait until every call has been forwarded or answered."""
        while waiting := [task for key, task in self._governing.items() if key not in self._open]:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=0.05)

    async def close(self) -> None:
        """The connection is over: what waits is cancelled; how calls ended that run, nobody saw."""
        for key, task in list(self._governing.items()):
            waiting = self._open.get(key)
            if waiting is None:
                task.cancel()
            elif not waiting.done():
                waiting.set_exception(Gone("the connection ended before the server answered"))
        await asyncio.gather(*self._governing.values(), return_exceptions=True)

    def _say(self, message: Message) -> None:
        self._to_client(dump(message))


def _checked(message: Message) -> Message:
    """The params of a call, in the shape the protocol gives them.

    Raises:
        FrameError: They have another.
    """
    params = message.get("params")
    if not isinstance(params, dict):
        raise FrameError("tools/call needs params")
    if not isinstance(params.get("name"), str):
        raise FrameError("tools/call needs the name of a tool")
    if not isinstance(params.get("arguments", {}), dict | None):
        raise FrameError("the arguments of a tools/call must be an object")
    return params


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"


def _loose(line: bytes) -> Any:
    """A line of the server, read as leniently as clients do; None if it is not JSON."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        import json  # noqa: PLC0415 - orjson refuses lone surrogates; Python's reader does not

        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            return None
