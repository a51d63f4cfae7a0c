"""What the proxy means: every ``tools/call`` of the client is governed, everything else passes as it is. Knows no transport.

A call is forwarded as the message that was judged, written anew, never as the bytes beside it. Other messages keep their bytes. An answer counts if it
answers a request that was forwarded and is still open; others are dropped.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import orjson

from aegis_core.action import Action
from aegis_core.errors import AegisError
from aegis_core.text import visible
from aegis_mcp.proxy import frames
from aegis_mcp.proxy.frames import FrameError, dump, key_of
from aegis_mcp.proxy.lane import Lane, Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_core.drive import Call
    from aegis_core.runtime import Runtime
    from aegis_mcp.proxy.frames import Message

__all__ = ["PLACE", "Relay"]

_log = logging.getLogger("aegis.proxy")
_META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
_META_CLIENT = "io.modelcontextprotocol/clientInfo"
PLACE: ContextVar[Place | None] = ContextVar("aegis_proxy_place", default=None)
"""The place in line of the call that is being judged; an approval handler that waits for a person steps out of it."""


class _Open:
    """A request of the client that the server has not answered yet."""

    __slots__ = ("call", "message", "method")

    def __init__(self, method: str, message: Message, call: Call | None = None) -> None:
        self.method = method
        self.message = message
        self.call = call


class Relay:
    """One connection between one client and one server.

    Args:
        runtime: Governs the calls.
        server: The server's name for the policy: the target of every call.
        to_client: Sends bytes to the client; must not block.
        to_server: Sends bytes to the server; must not block.
    """

    def __init__(
        self, runtime: Runtime, *, server: str, to_client: Callable[[bytes], None], to_server: Callable[[bytes], None]
    ) -> None:
        self._runtime = runtime
        self._server = server
        self._to_client = to_client
        self._lane = Lane(to_server)
        self._open: dict[tuple[str, Any], _Open] = {}
        self._judging: dict[tuple[str, Any], asyncio.Task[None]] = {}
        self._continuations: dict[str, tuple[Call, str, bytes]] = {}
        self._asked: dict[str, asyncio.Future[Message]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.client_name: str | None = None
        self.client_capabilities: dict[str, Any] = {}
        self.modern = False

    # --- from the client ---

    def from_client(self, line: bytes) -> None:
        """Take one line of the client."""
        try:
            message = frames.parse(line)
        except FrameError as problem:
            self._refuse_frame(problem)
            return
        if isinstance(message, list):
            self._batch(message)
        else:
            self._one(message, line)

    def _batch(self, batch: list[Any]) -> None:
        """The calls of a batch are governed one by one; the rest of it stays a batch."""
        rest: list[Any] = []
        for message in batch:
            try:
                if not isinstance(message, dict):
                    raise FrameError("a message of the batch is not a JSON object")
                frames.check(message)
            except FrameError as problem:
                self._refuse_frame(problem)
                continue
            if message.get("method") == "tools/call":
                self._one(message, b"")
            else:
                self._note(message)
                rest.append(message)
        if rest:
            self._lane.place().send(dump(rest))

    def _one(self, message: Message, line: bytes) -> None:
        method = message.get("method")
        if method == "tools/call":
            self._call(message)
        elif method == "notifications/cancelled" and self._cancel(message):
            return
        elif method is None and isinstance(message.get("id"), str) and message["id"] in self._asked:
            self._asked.pop(message["id"]).set_result(message)
        elif self._note(message):
            self._lane.place().send(line.strip() + b"\n")

    def _note(self, message: Message) -> bool:
        """Remember a request so that its answer can be told from a forgery; False if it is not to be forwarded."""
        method, identity = message.get("method"), message.get("id")
        if not isinstance(method, str):
            return True  # an answer to a request of the server
        if method == "initialize":
            self._meet(message.get("params"))
        if identity is not None:
            if not self._is_new(identity):
                return False
            self._open[key_of(identity)] = _Open(method, message)
        return True

    def _meet(self, params: Any) -> None:
        """Learn who the client is and what it can do."""
        if isinstance(params, dict):
            client, capabilities = params.get("clientInfo"), params.get("capabilities")
            self.client_name = str(client.get("name")) if isinstance(client, dict) else None
            self.client_capabilities = capabilities if isinstance(capabilities, dict) else {}

    def _is_new(self, identity: Any) -> bool:
        key = key_of(identity)
        if key in self._open or key in self._judging:
            self._answer(
                frames.error(identity, frames.INVALID_REQUEST, f"the id {identity!r} is in use by an open request")
            )
            return False
        return True

    def _refuse_frame(self, problem: FrameError) -> None:
        _log.warning("a message of the client was refused: %s", visible(str(problem)))
        self._answer(frames.error(problem.id, problem.code, f"refused by Aegis: {problem}"))

    # --- calls ---

    def _call(self, message: Message) -> None:
        identity = message.get("id")
        if identity is None:
            _log.warning("a tools/call without an id was dropped: nobody could hear how it ended")
            return
        if not self._is_new(identity):
            return
        place = self._lane.place()
        task = asyncio.get_running_loop().create_task(self._govern(message, place))
        self._judging[key_of(identity)] = task
        self._keep(task)

    async def _govern(self, message: Message, place: Place) -> None:
        """Judge one call; forward it, or answer it."""
        identity, key = message["id"], key_of(message["id"])
        PLACE.set(place)
        try:
            params = _checked_params(message)
            call = self._continued(params) or await self._runtime.abegin(self._action(params, message), can_edit=True)
        except FrameError as problem:
            self._judging.pop(key, None)
            place.drop()
            self._answer(frames.error(identity, frames.INVALID_PARAMS, f"refused by Aegis: {problem}"))
            return
        except asyncio.CancelledError:  # the client cancelled it while it waited; nothing is owed
            self._judging.pop(key, None)
            place.drop()
            return
        except Exception as error:  # noqa: BLE001 - whatever goes wrong while judging, the call does not run
            self._judging.pop(key, None)
            place.drop()
            known = isinstance(error, AegisError)
            if not known:
                _log.critical("judging a call failed; it does not run", exc_info=True)
            reason = str(error) if known else "an internal error; see the proxy's standard error"
            self._answer(
                frames.tool_error(identity, f"refused by Aegis: {reason}. The call did not run.", modern=self.modern)
            )
            return
        self._judging.pop(key, None)
        if call.result is not None:
            place.drop()
            self._answer(frames.tool_error(identity, call.result.error or "refused", modern=self.modern))
            return
        self._open[key] = _Open("tools/call", message, call)
        arguments = call.action.arguments()
        if arguments or "arguments" in params:
            params = {**params, "arguments": arguments}
        place.send(dump({**message, "params": params}))

    def _action(self, params: Message, message: Message) -> Action:
        meta = params.get("_meta")
        if isinstance(meta, dict) and isinstance(meta.get(_META_CAPABILITIES), dict):
            # The stateless era: every request says who is calling.
            self.modern = True
            self._meet({"clientInfo": meta.get(_META_CLIENT), "capabilities": meta[_META_CAPABILITIES]})
        labels = {"mcp.request_id": str(message["id"])}
        if self.client_name:
            labels["mcp.client"] = self.client_name
        return Action(params["name"], self._server, params.get("arguments") or {}, labels=labels)

    def _continued(self, params: Message) -> Call | None:
        """The call that a further round of input belongs to: same tool, same arguments, a state that the server issued."""
        state = params.get("requestState")
        known = self._continuations.pop(state, None) if isinstance(state, str) else None
        if known is None:
            return None
        call, name, arguments = known
        same = (
            name == params["name"] and arguments == Action(name, "", params.get("arguments") or {}).canonical_params()
        )
        if not same:
            self._later(call.afail(AegisError("the client went on with another call")))
            return None
        return call

    def _cancel(self, message: Message) -> bool:
        """Cancel a call; True if the server has not heard of it and so need not hear of this."""
        params = message.get("params")
        identity = params.get("requestId") if isinstance(params, dict) else None
        key = key_of(identity)
        task = self._judging.get(key)
        if task is not None:
            task.cancel()
            return True
        entry = self._open.pop(key, None)
        if entry is not None and entry.call is not None:
            self._later(entry.call.afail(asyncio.CancelledError("cancelled by the client")))
        return False

    # --- from the server ---

    def from_server(self, line: bytes) -> None:
        """Take one line of the server."""
        message = _loose(line)
        if isinstance(message, dict) and "method" not in message and "id" in message:
            self._response(message, line)
        elif isinstance(message, list):
            for entry in message:
                if isinstance(entry, dict):
                    self.from_server(dump(entry))
        elif isinstance(message, dict):
            self._to_client(line.strip() + b"\n")
        elif line.strip():
            _log.warning(
                "the server wrote a line that is no message: %s", visible(line[:200].decode("utf-8", "replace"))
            )

    def _response(self, message: Message, line: bytes) -> None:
        entry = self._open.pop(key_of(message["id"]), None)
        if entry is None:
            _log.warning(
                "the server answered a request that is not open (id %r); the answer was dropped", message["id"]
            )
        elif entry.call is not None:
            self._later(self._finish(entry.call, entry, message, line))
        else:
            self._to_client(line.strip() + b"\n")

    async def _finish(self, call: Call, entry: _Open, message: Message, line: bytes) -> None:
        """Record how a call ended, then pass the answer on."""
        if "error" in message:
            failure = message["error"]
            text = failure.get("message") if isinstance(failure, dict) else None
            await call.afinish(failure, failed=str(text or "the server answered with an error"))
            self._to_client(line.strip() + b"\n")
            return
        value = message.get("result")
        if isinstance(value, dict) and value.get("resultType") == "input_required":
            state = value.get("requestState")
            if isinstance(state, str):
                params = entry.message["params"]
                arguments = Action(params["name"], "", params.get("arguments") or {}).canonical_params()
                self._continuations[state] = (call, params["name"], arguments)
            else:
                await call.afinish(value)
            self._to_client(line.strip() + b"\n")
            return
        failed = _failure(value)
        result = await call.afinish(value, failed=failed)
        if result.data is value:
            self._to_client(line.strip() + b"\n")
        else:
            self._answer({**message, "result": result.data})

    # --- both ways ---

    async def ask_client(self, method: str, params: Message) -> Message:
        """Send the client a request of the proxy's own and wait for its answer."""
        from os import urandom

        identity = f"aegis-{urandom(12).hex()}"
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[identity] = future
        self._answer({"jsonrpc": "2.0", "id": identity, "method": method, "params": params})
        try:
            return await future
        finally:
            self._asked.pop(identity, None)

    async def drain(self) -> None:
        """Wait until every call that is being judged has been forwarded or answered."""
        while self._judging:
            await asyncio.gather(*self._judging.values(), return_exceptions=True)

    async def close(self) -> None:
        """The connection is over: what waits is cancelled, and what runs has an end nobody saw."""
        for task in list(self._judging.values()):
            task.cancel()
        for entry in self._open.values():
            if entry.call is not None:
                self._later(entry.call.afail(_Gone("the connection ended before the server answered")))
        for call, _, _ in self._continuations.values():
            self._later(call.afail(_Gone("the connection ended before the call went on")))
        self._open.clear()
        self._continuations.clear()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _answer(self, message: Message) -> None:
        self._to_client(dump(message))

    def _later(self, work: Any) -> None:
        self._keep(asyncio.get_running_loop().create_task(work))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Gone(BaseException):
    """Nobody saw the call end: recorded as ``unknown``."""

    aegis_still_running = True


def _checked_params(message: Message) -> Message:
    params = message.get("params")
    if not isinstance(params, dict):
        raise FrameError("tools/call needs params")
    if not isinstance(params.get("name"), str):
        raise FrameError("tools/call needs the name of a tool")
    if not isinstance(params.get("arguments", {}), dict | None):
        raise FrameError("the arguments of a tools/call must be an object")
    return params


def _failure(value: Any) -> str | None:
    """What a tool result says went wrong, or None."""
    if not isinstance(value, dict) or value.get("isError") is not True:
        return None
    content = value.get("content")
    texts = [part.get("text") for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return " ".join(text for text in texts if isinstance(text, str))[:2000] or "the tool reported an error"


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
