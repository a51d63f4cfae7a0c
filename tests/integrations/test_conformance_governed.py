"""`@governed` passes the conformance list, on async and on sync functions."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from aegis import Action, Runtime, governed
from tests.integrations.conformance import Answer, Behaviour, Door, conformance


class AsyncFunctions(Door):
    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        try:
            return Answer(await governed(runtime)(tool)(**arguments))
        except Exception as error:  # noqa: BLE001 - what came back is what is tested
            return Answer(error=error)


class SyncFunctions(Door):
    sync = True
    cancellable = False

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        try:
            return Answer(await asyncio.to_thread(governed(runtime)(tool), **arguments))
        except Exception as error:  # noqa: BLE001 - what came back is what is tested
            return Answer(error=error)


class SplitCalls(Door):
    """A call whose tool the framework runs: `begin` and `finish` around it."""

    edits = True

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        try:
            call = await runtime.abegin(Action("send_note", "python", arguments), can_edit=True)
        except Exception as error:  # noqa: BLE001 - what came back is what is tested
            return Answer(error=error)
        if not call.permitted:
            assert call.result is not None
            return Answer(call.result.error or "")
        try:
            value = await tool(**call.action.arguments())
        except BaseException as error:
            await call.afail(error)
            if not isinstance(error, Exception):
                raise
            return Answer(error=error)
        await call.afinish(value)
        return Answer(value)


@pytest.mark.parametrize("behaviour", conformance(AsyncFunctions()))
async def test_governed_async_functions(behaviour: Behaviour):
    await behaviour(AsyncFunctions())


@pytest.mark.parametrize("behaviour", conformance(SyncFunctions()))
async def test_governed_sync_functions(behaviour: Behaviour):
    await behaviour(SyncFunctions())


@pytest.mark.parametrize("behaviour", conformance(SplitCalls()))
async def test_split_calls(behaviour: Behaviour):
    await behaviour(SplitCalls())
