"""An integration for a framework of your own: here a tiny one, to show what a shim has to do and how little that is.

``docs/integrations/custom.md`` walks through it, and ``tests/integrations/test_conformance_custom.py`` holds it to the
list of behaviours that every integration passes.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aegis import Action, Runtime
from aegis.errors import ActionRefused

if TYPE_CHECKING:
    from collections.abc import Callable

# --- the framework: tools, and a loop that calls them for a model ---


@dataclass
class Tool:
    """A tool of the framework: a name, an async function, and what it does to reach it."""

    name: str
    function: Callable[..., Any]

    async def invoke(self, arguments: dict[str, Any], *, conversation: str | None = None) -> Any:
        """Call the function with a model's arguments."""
        return await self.function(**arguments)


async def answer(tool: Tool, arguments: dict[str, Any], *, conversation: str | None = None) -> str:
    """What the framework's loop gives back to the model."""
    return str(await tool.invoke(arguments, conversation=conversation))


# --- the shim ---


class _GovernedTool(Tool):
    """A tool whose every execution goes through a runtime."""

    runtime: Runtime
    target: str

    async def invoke(self, arguments: dict[str, Any], *, conversation: str | None = None) -> Any:
        async def run(approved: dict[str, Any]) -> Any:
            return await Tool.invoke(self, approved, conversation=conversation)

        judged = self._arguments(arguments)
        action = Action(self.name, self.target, judged, session_id=conversation)
        result = await self.runtime.arun(action, run)
        if result.refused:
            return result.error  # a sentence for the model; the loop goes on
        return result.unwrap()  # the tool's own value, or its own exception

    def _arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What the function will really get: the model's arguments and the function's defaults."""
        bound = inspect.signature(self.function).bind(**arguments)
        bound.apply_defaults()
        return dict(bound.arguments)


def govern_tool(tool: Tool, runtime: Runtime, *, target: str = "custom") -> Tool:
    """A governed copy of a tool; the tool itself stays as it is."""
    governed = copy.copy(tool)
    governed.__class__ = _GovernedTool
    assert isinstance(governed, _GovernedTool)
    governed.runtime, governed.target = runtime, target
    return governed


# --- the other way: a framework that runs the tool itself, and only calls a hook before and after ---


class Hooks:
    """For a loop that calls ``before(...)``, runs the tool, and then calls ``after(...)`` or ``failed(...)``."""

    def __init__(self, runtime: Runtime, *, target: str = "custom") -> None:
        runtime.declare_unable_to_alter_results(type(self).__name__)  # it hears of results and cannot change them
        self._runtime = runtime
        self._target = target
        self._calls: dict[str, Any] = {}

    async def before(self, call_id: str, name: str, arguments: dict[str, Any]) -> None:
        """Judge the call; raise to keep the tool from running."""
        call = await self._runtime.abegin(Action(name, self._target, arguments))
        if call.result is not None:
            raise ActionRefused(call.result)
        self._calls[call_id] = call

    async def after(self, call_id: str, value: Any) -> None:
        """The tool returned."""
        await self._calls.pop(call_id).afinish(value)

    async def failed(self, call_id: str, error: BaseException) -> None:
        """The tool raised, or was cancelled."""
        await self._calls.pop(call_id).afail(error)
