"""`govern_mcp_server`: an MCP server of the SDK, whichever way its tools are called."""

from __future__ import annotations

import functools
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import wrapt
from agents.mcp import MCPServer
from mcp.types import CallToolResult

from aegis_core.action import Action
from aegis_core.call import Reply
from aegis_openai_agents.sdk import server_name, subclass

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from aegis_core.runtime import Runtime

__all__ = ["govern_mcp_server", "reports", "target_of"]

T = TypeVar("T", bound=MCPServer)
_REPORTS: ContextVar[list[str] | None] = ContextVar("aegis_openai_agents_mcp_reports", default=None)


def govern_mcp_server(server: T, runtime: Runtime, *, target: str | None = None) -> T:
    """Govern every tool call of an MCP server of the SDK (``agents.mcp``), in place: a connection cannot be copied.

    `govern_agent` does so for its agent's servers. A call that an agent makes is governed as the agent's; one that the
    program makes itself (``await server.call_tool(...)``) is governed here, and so is every attempt of a server that
    retries. A refused call does not raise: its result has ``isError`` set and a text that says why.

    Args:
        server: Connected or not.
        runtime: Judges the calls, asks people, writes the trail.
        target: The name for the policy (``match.target``); default the server's name.

    Returns:
        The same object. Governing it again by the same runtime, under the same name or none, changes nothing.

    Raises:
        TypeError: If it is not such a server.
        ValueError: If it is already governed by another runtime or under another name.
    """
    if not isinstance(server, MCPServer):  # pyright: ignore[reportUnnecessaryIsInstance] - not every caller is typed
        raise TypeError(f"govern_mcp_server takes an agents.mcp.MCPServer, got {server!r}")
    present: _Calls | None = getattr(server, "_aegis_calls", None)
    if present is None:
        server._aegis_calls = _Calls(runtime, server_name(server) if target is None else target)  # type: ignore[attr-defined]
        object.__setattr__(server, "__class__", _governed_class(type(server)))
    elif present.runtime is not runtime or target not in (None, present.target):
        raise ValueError(
            f"the MCP server {server.name!r} is already governed, by another runtime or under another name"
        )
    return server


def target_of(server: MCPServer) -> str | None:
    """The name under which the policy knows a governed server."""
    calls: _Calls | None = getattr(server, "_aegis_calls", None)
    return None if calls is None else calls.target


@contextmanager
def reports() -> Generator[list[str]]:
    """Within the block, what tools of governed servers report as their failure; the SDK makes an output of it."""
    found: list[str] = []
    token = _REPORTS.set(found)
    try:
        yield found
    finally:
        _REPORTS.reset(token)


class _Calls(NamedTuple):
    """Governs the tool calls of one server."""

    runtime: Runtime
    target: str

    async def call(
        self, tool: str, arguments: dict[str, Any] | None, send: Callable[[dict[str, Any] | None], Awaitable[Any]]
    ) -> Any:
        """Govern one call; ``send`` makes it."""
        answer: Any = None
        value: dict[str, Any] = {}  # the answer as on the wire, which the trail and result rules know

        async def execute(judged: dict[str, Any]) -> Reply:
            nonlocal answer, value
            answer = await send(judged if judged or arguments is not None else None)
            value = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
            failure = _failure(value)
            told = _REPORTS.get()
            if failure is not None and told is not None:
                told.append(failure)
            return Reply(value, failed=failure)

        result = await self.runtime.arun(Action(tool, self.target, arguments or {}), execute)
        if result.refused:
            refusal = {"content": [{"type": "text", "text": result.error}], "isError": True}
            return CallToolResult.model_validate(refusal)
        if result.exception is not None:
            raise result.exception
        return answer if result.data == value else type(answer).model_validate(result.data)


@functools.cache
def _governed_class(cls: type[MCPServer]) -> type[MCPServer]:
    """The subclass whose tool calls are governed."""
    if cls.call_tool.__module__ == MCPServer.__module__:
        return subclass(cls, _WithSession)
    # Of a server of the program's own it is not known where its calls leave.
    return subclass(cls, call_tool=_own_call_tool(cls))


def _own_call_tool(cls: type[MCPServer]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(cls.call_tool)
    async def call_tool(self: Any, tool_name: str, arguments: dict[str, Any] | None, *args: Any, **kwargs: Any) -> Any:
        async def send(judged: dict[str, Any] | None) -> Any:
            return await cls.call_tool(self, tool_name, judged, *args, **kwargs)

        return await self._aegis_calls.call(tool_name, arguments, send)

    return call_tool


class _WithSession(MCPServer):
    """A server of the SDK. All its calls, retries too, leave through its sessions."""

    _aegis_calls: _Calls

    @property
    def session(self) -> Any:
        session = vars(self).get("session")
        return session if session is None or isinstance(session, _Session) else _Session(session, self._aegis_calls)

    @session.setter
    def session(self, session: Any) -> None:
        vars(self)["session"] = session

    @asynccontextmanager
    async def _isolated_client_session(self) -> AsyncGenerator[Any]:
        """The SDK's own, for retries of a streamable HTTP server."""
        async with super()._isolated_client_session() as session:  # type: ignore[misc]
            yield _Session(session, self._aegis_calls)


class _Session(wrapt.ObjectProxy):
    """A client session whose `call_tool` is governed."""

    def __init__(self, session: Any, calls: _Calls) -> None:
        super().__init__(session)
        self._self_calls = calls

    async def call_tool(self, name: str, arguments: dict[str, Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        async def send(judged: dict[str, Any] | None) -> Any:
            return await self.__wrapped__.call_tool(name, judged, *args, **kwargs)

        return await self._self_calls.call(name, arguments, send)


def _failure(result: dict[str, Any]) -> str | None:
    """What a tool says went wrong, or None if it does not say that anything did."""
    if not result.get("isError"):
        return None
    texts = [str(block["text"]) for block in result.get("content", []) if "text" in block]
    return "\n".join(texts) or "the tool reported an error"
