"""Executors: what runs an action when the caller gives no tool."""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from aegis_core.call import Reply, describe
from aegis_core.result import Result, ResultStatus

if TYPE_CHECKING:
    from aegis_core.action import Action

__all__ = ["BaseExecutor", "aexecute", "execute"]


class BaseExecutor(ABC):
    """Runs actions. Derive from it and implement `execute`.

    The trail records the class's name with the outcome it claims: a pass-through executor's ``success`` says "allowed",
    not "done".
    """

    @abstractmethod
    async def execute(self, action: Action) -> Result:
        """Run the action and say how it ended; raise, or return a Result with status ``failed``, if it did not work.

        ``action.params`` is a fresh, mutable copy of exactly what was judged.
        """


async def aexecute(executor: BaseExecutor, action: Action) -> Reply:
    """Run an action through an executor."""
    name = type(executor).__name__
    try:
        result: Any = executor.execute(action.for_execution())
        if inspect.isawaitable(result):  # a plain method will do, too: its effect has happened by now
            result = await result
    except Exception as error:  # noqa: BLE001 - any exception of the executor is the tool's outcome
        return Reply(None, describe(error), error, name)
    if not isinstance(result, Result):
        kind = type(result).__name__
        return Reply(None, f"{name}.execute returned {kind} where it should return a Result", claimed_by=name)
    if result.status is ResultStatus.SUCCESS:
        return Reply(result.data, claimed_by=name)
    return Reply(result.data, result.error or f"the executor reported {result.status}", result.exception, name)


def execute(executor: BaseExecutor, action: Action) -> Any:
    """The same from sync code: on an event loop of its own, in another thread if this one has a running loop."""
    from aegis_core.threads import call_in_thread  # noqa: PLC0415 - only sync code with an async executor needs it

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(aexecute(executor, action))
    return call_in_thread(lambda: asyncio.run(aexecute(executor, action))).result()
