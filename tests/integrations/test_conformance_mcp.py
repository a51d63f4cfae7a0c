"""Governed MCP sessions and servers pass the conformance list, against real servers, in every era the SDK speaks."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

pytest.importorskip("mcp")

from aegis import Runtime
from aegis.adapters.mcp import govern_server, govern_session
from tests.integrations.conformance import Answer, Behaviour, Door, conformance
from tests.mcp.connections import ERAS, connected, make_server, text_of, tool_error


class Session(Door):
    """A client session; the server runs beside it and hears of a call over the wire."""

    target = "notes"
    raises = False
    encloses = False

    def __init__(self, era: str) -> None:
        self.era = era

    def failure(self, message: str) -> Exception:
        return tool_error(message)

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        async with connected(make_server(tool), self.era) as session:
            govern_session(session, runtime, server="notes")
            return await answer(session, arguments)


class Server(Session):
    """A server that governs its own tools, called by an ordinary session."""

    encloses = True

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        async with connected(govern_server(make_server(tool), runtime), self.era) as session:
            return await answer(session, arguments)


async def answer(session: Any, arguments: Mapping[str, Any]) -> Answer:
    try:
        return Answer(text_of(await session.call_tool("send_note", dict(arguments))))
    except Exception as error:  # noqa: BLE001 - what came back is what is tested
        return Answer(error=error)


def cases(kind: type[Session]) -> list[Any]:
    return [
        pytest.param(kind(era), behaviour, id=f"{era}-{behaviour.__name__}")
        for era in ERAS
        for behaviour in conformance(kind(era))
    ]


@pytest.mark.parametrize(("door", "behaviour"), cases(Session))
async def test_governed_sessions(door: Door, behaviour: Behaviour):
    await behaviour(door)


@pytest.mark.parametrize(("door", "behaviour"), cases(Server))
async def test_governed_servers(door: Door, behaviour: Behaviour):
    await behaviour(door)
