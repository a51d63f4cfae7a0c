"""What the proxy means: every ``tools/call`` of the client is governed, everything else passes as it is.

Knows no transport: a message comes with its `Way`, on which answers go back and messages go on. A call is forwarded as
the message that was judged, written anew, never as the bytes beside it. Other messages keep their bytes. An answer of
the server counts if it answers a request that was forwarded and is still open; others are dropped.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Any

from aegis_core.errors import AegisError
from aegis_core.text import visible
from aegis_mcp.listing import all_pages
from aegis_mcp.proxy import frames
from aegis_mcp.proxy.frames import FrameError, dump, key_of
from aegis_mcp.proxy.lane import Lane
from aegis_mcp.proxy.rounds import Rounds
from aegis_mcp.proxy.strand import Reply, Strand
from aegis_mcp.proxy.tools import LIST, LIST_CHANGED
from aegis_mcp.proxy.way import CALL, Back, Gone, Judged, ServerError, Way
from aegis_mcp.tool_calls import ToolCalls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_core.runtime import Runtime
    from aegis_mcp.proxy.frames import Message
    from aegis_mcp.proxy.tools import ToolView

__all__ = ["Relay", "refusal"]

_log = logging.getLogger("aegis.proxy")
_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
_CLIENT = "io.modelcontextprotocol/clientInfo"
_ENVELOPE = "io.modelcontextprotocol/"
_PATIENCE = 10.0
"""Seconds the server has to list its tools for a call that waits."""
Key = tuple[str, Any]
Answer = tuple[dict[str, Any], bytes, Back]
"""What the server answered, the bytes it came in, and how it gets to the client from where it arrived."""


class Relay:
    """One connection between one client and one server.

    Args:
        runtime: Governs the calls.
        server: The server's name for the policy: the target of every call.
        way: The way of messages that come without one.
        view: What the client sees of the tools; None where their list passes untouched.

    Attributes:
        client_name: What the client calls itself, once it has said so.
        client_capabilities: What it says it can do.
        modern: Whether it speaks the stateless protocol (2026-07-28 and later).
        rounds: Issues and takes back the states of that protocol.
    """

    def __init__(self, runtime: Runtime, *, server: str, way: Way | None = None, view: ToolView | None = None) -> None:
        # A yes covers the server's own rounds of questions only where nobody else can bring their state.
        pins = None if view is None else view.pins
        self._calls = ToolCalls(runtime, server, remember=way is not None, pins=pins)
        if pins is not None:
            pins.lister = self._list_tools
        self._view = view
        self._lists: dict[Key, Any] = {}  # the cursors of the lists of tools that are on their way
        self.rounds = Rounds(runtime.audit_logger.digest)
        self._way = way
        self._homeward = Lane(_nobody if way is None else way.back)
        # Requests of the client that the server has not answered; without a future if they merely pass.
        self._open: dict[Key, tuple[Way, Reply[Answer] | None]] = {}
        self._governing: dict[Key, Strand] = {}
        self._asked: dict[str, asyncio.Future[Message]] = {}
        self.client_name: str | None = None
        self.client_capabilities: dict[str, Any] = {}
        self.modern = False

    # --- from the client -------------------------------------------------------------------------------------------

    def from_client(self, line: bytes) -> None:
        """Take one line of the client, which may be a batch."""
        assert self._way is not None
        try:
            message = frames.parse(line)
        except FrameError as problem:
            self._refuse(problem, self._way)
            return
        if isinstance(message, list):
            self._batch(message, self._way)
        else:
            self.take(message, line, self._way)

    def _batch(self, batch: list[Any], way: Way) -> None:
        """The calls of a batch are governed one by one; what else there is passes, one by one too."""
        for message in batch:
            try:
                if not isinstance(message, dict):
                    raise FrameError("a message of the batch is not a JSON object")
                frames.check(message)
            except FrameError as problem:
                self._refuse(problem, way)
            else:
                self.take(message, dump(message), way)

    def take(self, message: Message, line: bytes, way: Way) -> asyncio.Future[None] | None:
        """Take one message of the client.

        Args:
            message: The message, checked.
            line: Its bytes.
            way: Its way.

        Returns:
            For a call: the task that governs and answers it.
        """
        method, identity = message.get("method"), message.get("id")
        if method is None:
            asked = self._asked.pop(identity, None) if isinstance(identity, str) else None
            if asked is None:
                way.lane.place().send(line)  # an answer to a request of the server
            elif not asked.done():
                asked.set_result(message)
        elif identity is None:
            self._notification(method, message, line, way)
        elif (key := key_of(identity)) in self._open or key in self._governing:
            _say(way.back, frames.error(identity, frames.INVALID_REQUEST, f"the id {identity!r} is in use"))
        elif method == "tools/call":
            return self._call(identity, key, message, way)
        else:
            if method == "initialize":
                params = message.get("params")
                self._meet(params.get("clientInfo"), params.get("capabilities")) if isinstance(params, dict) else None
            if method == LIST and self._view is not None:
                params = message.get("params")
                self._lists[key] = params.get("cursor") if isinstance(params, dict) else None
            self._open[key] = way, None
            way.lane.place().send(line)
        return None

    def _notification(self, method: Any, message: Message, line: bytes, way: Way) -> None:
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
            self._lists.pop(key, None)
        way.lane.place().send(line)

    def _meet(self, client: Any, capabilities: Any) -> None:
        """Learn who the client is and what it can do."""
        self.client_name = str(client.get("name")) if isinstance(client, dict) else None
        self.client_capabilities = capabilities if isinstance(capabilities, dict) else {}

    def _refuse(self, problem: FrameError, way: Way) -> None:
        _say(way.back, refusal(problem))

    # --- calls -----------------------------------------------------------------------------------------------------

    def _call(self, identity: Any, key: Key, message: Message, way: Way) -> asyncio.Future[None]:
        call = Judged(self, way, way.lane.place())
        self._governing[key] = strand = Strand(self._govern(identity, key, message, call))
        strand.run()
        return strand

    async def _govern(self, identity: Any, key: Key, message: Message, call: Judged) -> None:
        """Govern one call and answer it, whatever happens."""
        try:
            await self._governed(identity, key, message, call)
        finally:
            call.place.drop()
            self._governing.pop(key, None)
            self._open.pop(key, None)

    async def _governed(self, identity: Any, key: Key, message: Message, call: Judged) -> None:
        CALL.set(call)
        back = call.way.back
        answer: Answer | None = None

        async def send(params: Message) -> Message:
            nonlocal answer
            waiting: Reply[Answer] = Reply()
            self._open[key] = call.way, waiting
            call.place.send(dump({**message, "params": params}))
            answer = await waiting
            reply, line, arrived = answer
            if "error" in reply:
                failure = reply["error"]
                text = failure.get("message") if isinstance(failure, dict) else None
                raise ServerError(str(text or "the server answered with an error"), lambda: arrived(line))
            result: Any = reply.get("result")
            return result if isinstance(result, dict) else {}

        try:
            params = _checked(message)
            self._introduced(params)
            params, call.approval = self.rounds.resume(params)
            call.params = params
            envelope = {"resultType": "complete"} if self.modern else None
            result = await self._calls.call(params, send, envelope=envelope)
        except ServerError as failed:
            failed.pass_on()
        except Gone:
            pass  # that nobody saw its end is on record, and nobody is left to be told
        except FrameError as problem:
            _say(back, frames.error(identity, frames.INVALID_PARAMS, f"refused by Aegis: {problem}"))
        except AegisError as refused:
            text = f"refused by Aegis: {refused}. The call did not run."
            _say(back, frames.tool_error(identity, text, modern=self.modern))
        except Exception:  # noqa: BLE001 - whatever goes wrong, the client is answered
            _log.critical("governing a call failed", exc_info=True)
            _say(back, frames.error(identity, frames.INTERNAL_ERROR, "an error inside Aegis; see its standard error"))
        else:
            if answer is None:
                _say(back, {"jsonrpc": "2.0", "id": identity, "result": call.question or result})
            elif result is answer[0].get("result"):
                answer[2](answer[1])
            else:
                _say(answer[2], {"jsonrpc": "2.0", "id": identity, "result": result})

    def _introduced(self, params: Message) -> None:
        """In the stateless era every request says who is calling."""
        meta = params.get("_meta")
        if isinstance(meta, dict) and isinstance(meta.get(_CAPABILITIES), dict):
            self.modern = True
            self._meet(meta.get(_CLIENT), meta[_CAPABILITIES])

    # --- from the server -------------------------------------------------------------------------------------------

    def from_server(self, line: bytes, back: Back | None = None) -> asyncio.Future[None] | None:
        """Take one message of the server, or one batch.

        Args:
            line: Its bytes.
            back: Hands it to the client, if not on the way of messages that come without one.

        Returns:
            If it ends a call: the task that writes that down and then answers the client.
        """
        message = frames.loose(line)
        if isinstance(message, list):
            for entry in message:
                self.from_server(dump(entry), back)
            return None
        if back is not None:
            return self._hear(message, line, back)
        if self._homeward.idle:
            ending = self._hear(message, line, self._homeward.emit)
            if ending is None or ending.done():
                return ending
            place = self._homeward.place()
        else:
            place = self._homeward.place()
            ending = self._hear(message, line, place.send)
        # What the server says after an answer does not overtake it while the outcome is written down.
        if ending is None or ending.done():
            place.drop()
        else:
            ending.add_done_callback(lambda _: place.drop())
        return ending

    def _hear(self, message: Any, line: bytes, back: Back) -> asyncio.Future[None] | None:
        if isinstance(message, dict):
            if "method" in message or message.get("id") is None:
                if message.get("method") == LIST_CHANGED and self._view is not None and self._view.pins is not None:
                    self._view.pins.announced()
                back(_ended(line))  # a request or a notification; or an error that answers no request in particular
            else:
                return self._answer(message, _ended(line), back)
        elif line.strip():
            shown = visible(line[:200].decode("utf-8", "replace"))
            _log.warning("the server wrote a line that is no message; it was not passed on: %s", shown)
        return None

    def _answer(self, message: Message, line: bytes, back: Back) -> asyncio.Future[None] | None:
        key = key_of(message["id"])
        if key not in self._open:
            _log.warning("the server answered a request that is not open (id %r); dropped", message["id"])
            return None
        _, waiting = self._open.pop(key)
        if waiting is None:
            if self._view is not None and key in self._lists:
                line = self._view.listed(message, line, self._lists.pop(key))
            back(line)
        elif not waiting.done():
            call = self._governing.get(key)
            waiting.bring((message, line, back))
            return call
        return None

    # --- both ways -------------------------------------------------------------------------------------------------

    @property
    def shows_forms(self) -> bool:
        """Whether the client has said that it can show its user a form."""
        elicits = self.client_capabilities.get("elicitation")
        return isinstance(elicits, dict) and (not elicits or "form" in elicits)

    async def ask_client(self, ask: Back, method: str, params: Message) -> Message:
        """Send the client a request of the proxy's own and wait for its answer."""
        identity = f"aegis-{secrets.token_hex(12)}"
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[identity] = future
        _say(ask, {"jsonrpc": "2.0", "id": identity, "method": method, "params": params})
        try:
            return await future
        finally:
            self._asked.pop(identity, None)

    async def _list_tools(self, meta: Any) -> Iterable[Message]:
        """The server's list of tools, for a call that comes before its client has asked for one.

        Raises:
            AegisError: There is none.
            TimeoutError: It takes too long.
        """
        call = CALL.get()
        assert call is not None
        meta = meta if isinstance(meta, dict) else {}
        envelope = {key: value for key, value in meta.items() if key.startswith(_ENVELOPE)}

        async def page(params: Message) -> Message:
            if envelope:
                params = {**params, "_meta": envelope}
            identity = f"aegis-{secrets.token_hex(12)}"
            request = {"jsonrpc": "2.0", "id": identity, "method": LIST, "params": params}
            reply = await (call.way.fetch or self._fetch)(request)
            result = reply.get("result")
            if not isinstance(result, dict):
                raise AegisError("answered tools/list with an error")
            return result

        await asyncio.sleep(0)  # a timeout takes a task (see `Strand`)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await all_pages(page)
        except AegisError as problem:
            raise AegisError(f"the server {problem}") from None

    async def _fetch(self, request: Message) -> Message:
        """Send the server a request of the proxy's own, past what waits in line, and wait for its answer."""
        assert self._way is not None
        key = key_of(request["id"])
        waiting: Reply[Answer] = Reply()
        self._open[key] = self._way, waiting
        self._way.lane.emit(dump(request))
        try:
            return (await waiting)[0]
        finally:
            self._open.pop(key, None)

    async def drain(self) -> None:
        """Wait until every call has been forwarded or answered."""
        while waiting := [task for key, task in self._governing.items() if key not in self._open]:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=0.05)

    def fail(self, identity: Any, way: Way, error: BaseException) -> asyncio.Future[None] | None:
        """The request that went this way gets no answer. Returns the task that writes that down, for a call."""
        key = key_of(identity)
        opened, waiting = self._open.get(key, (None, None))
        if opened is not way:
            return None
        del self._open[key]
        self._lists.pop(key, None)
        if waiting is None or waiting.done():
            return None
        call = self._governing.get(key)
        waiting.fail(error)
        return call

    async def close(self) -> None:
        """The connection is over: what waits is cancelled; how calls ended that run, nobody saw."""
        calls = list(self._governing.items())
        for key, task in calls:
            _, waiting = self._open.get(key, (None, None))
            if waiting is None:
                task.cancel()
            elif not waiting.done():
                waiting.fail(Gone("the connection ended before the server answered"))
        await asyncio.gather(*(task for _, task in calls), return_exceptions=True)


def refusal(problem: FrameError) -> Message:
    """What the client hears about a message that is not forwarded."""
    _log.warning("a message of the client was refused: %s", visible(str(problem)))
    return frames.error(problem.id, problem.code, f"refused by Aegis: {problem}")


def _nobody(_data: bytes) -> None:
    raise AssertionError("every message of this connection brings its own way back")


def _say(back: Back, message: Message) -> None:
    back(dump(message))


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
    arguments = params.get("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        raise FrameError("the arguments of a tools/call must be an object")
    return params


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"
