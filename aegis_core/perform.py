"""Running the tool of a call, where the doors that it opens in its turn can see what call they are in."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from aegis_core.call import Outcome
from aegis_core.enclosing import ENCLOSING
from aegis_core.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_core.action import Action
    from aegis_core.enclosing import Enclosing
    from aegis_core.executor import BaseExecutor

__all__ = ["Tool", "aperform", "perform"]

if TYPE_CHECKING:
    Tool = Callable[[dict[str, Any]], Any]

_PLAIN = frozenset((str, dict, list, tuple, int, float, bool, bytes, type(None)))


def perform(
    action: Action, tool: Tool | None, *, executor: BaseExecutor | None, enclosing: Enclosing | None = None
) -> Outcome:
    """Run a tool with a fresh copy of an action's arguments; never raises, whatever the tool does.

    Args:
        action: What was judged.
        tool: The tool; None for the executor.
        executor: The executor, if there is one.
        enclosing: What doors inside may join; None if this has itself joined the call around it.
    """
    outer = ENCLOSING.get()
    if enclosing is not None:
        ENCLOSING.set(enclosing)
    try:
        if tool is None:
            from aegis_core.executor import execute  # noqa: PLC0415 - only executors need an event loop here

            return Outcome(execute(_required(executor), action))
        value = tool(action.arguments())
        if value is None or type(value) is str or not _is_awaitable(value):
            return Outcome(value)
        return Outcome(None, _unawaited(value))
    except BaseException as error:  # noqa: BLE001 - every error is an outcome; the call decides what it means
        return Outcome(None, error)
    finally:
        if enclosing is not None:
            enclosing.end()
            ENCLOSING.set(outer)  # not reset(): a coroutine may be closed in another context than it ran in


async def aperform(
    action: Action, tool: Tool | None, *, executor: BaseExecutor | None, enclosing: Enclosing | None = None
) -> Outcome:
    """`perform` from a coroutine; a tool that returns an awaitable is awaited.

    An outcome is also how a tool's ``StopIteration`` gets out: no coroutine can raise one.
    """
    outer = ENCLOSING.get()
    if enclosing is not None:
        ENCLOSING.set(enclosing)
    try:
        if tool is None:
            from aegis_core.executor import aexecute  # noqa: PLC0415 - only executors need an event loop here

            return Outcome(await aexecute(_required(executor), action))
        value = tool(action.arguments())
        return Outcome(await value if _is_awaitable(value) else value)
    except BaseException as error:  # noqa: BLE001 - every error is an outcome; the call decides what it means
        return Outcome(None, error)
    finally:
        if enclosing is not None:
            enclosing.end()
            ENCLOSING.set(outer)


def _required(executor: BaseExecutor | None) -> BaseExecutor:
    if executor is None:
        raise AegisError(
            "no tool was given and this Runtime has no executor: pass run(action, tool) or Runtime(executor=...)"
        )
    return executor


def _is_awaitable(value: Any) -> bool:
    try:
        return type(value) not in _PLAIN and inspect.isawaitable(value)
    except Exception:  # noqa: BLE001 - a class that cannot even be looked at is nothing to wait for
        return False


def _unawaited(value: Any) -> TypeError:
    """Nobody here can wait for it, and "success" would be a lie."""
    if inspect.iscoroutine(value):
        value.close()
    return TypeError(
        f"the tool is async: it returned a {type(value).__name__}, which a sync call cannot wait for; use arun, or "
        "make the governed function itself async"
    )
