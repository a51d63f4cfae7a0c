"""`govern_tool`: a LangChain tool whose every execution is governed, and which is otherwise the same tool."""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.tools import BaseTool
from langchain_core.tools.base import _get_runnable_config_param
from pydantic import PrivateAttr

from aegis_core.errors import ActionRefused
from aegis_core.result import Result, ResultStatus
from aegis_langchain.arguments import Arguments
from aegis_langchain.door import TARGET, Door, ToolRefused, action, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from aegis_core.action import Action
    from aegis_core.runtime import Runtime

__all__ = ["door_of", "govern", "govern_tool", "govern_tools"]

T = TypeVar("T", bound=BaseTool)

_TOOL_CALL_ID: ContextVar[str | None] = ContextVar("aegis_langchain_tool_call_id", default=None)
"""The model's call that the tool in progress answers: LangChain tells `run`, not `_run`."""


def govern_tool(tool: T, runtime: Runtime, *, target: str | None = None) -> T:
    """A governed copy of a tool: every execution, sync and async, is judged, approved where the policy says so, and recorded.

    Name, schemas, artifacts, ``return_direct``, injected arguments, error handling and streaming events are the tool's own. What is judged are the
    arguments it will get: validated, with defaults, without injected ones. A refused call that answers a model's tool call returns a
    ``ToolMessage`` with ``status="error"``; any other raises `ActionRefused`. To the tool's ``handle_tool_error`` a refusal is a ``ToolException``.

    Args:
        tool: Any LangChain tool. It is not changed, and stays ungoverned itself.
        runtime: Judges the calls, asks people, writes the trail.
        target: The name for the policy (``match.target``); default ``langchain``.

    Returns:
        The copy, of a subclass of the tool's class.

    Raises:
        TypeError: If it is not a LangChain tool; make one of a function with LangChain's ``@tool``.
        ValueError: If it is already governed by another runtime or under another target. (The same again changes nothing.)
    """
    if not isinstance(tool, BaseTool):
        raise TypeError(f"govern_tool takes a LangChain tool (a BaseTool), got {tool!r}; make one with @tool")
    door = Door(runtime, TARGET if target is None else target)
    present = door_of(tool)
    if present is None:
        return govern(tool, door)
    if present.runtime is not runtime or present.target != door.target:
        raise ValueError(f"the tool {tool.name!r} is already governed, as one of {present.target!r}")
    return tool


def govern_tools(tools: Iterable[BaseTool], runtime: Runtime, *, target: str | None = None) -> list[BaseTool]:
    """`govern_tool` for each of them."""
    return [govern_tool(tool, runtime, target=target) for tool in tools]


def govern(tool: T, door: Door) -> T:
    """A copy of the tool whose executions go through the door."""
    copy = tool.model_copy()
    if door_of(tool) is None:
        object.__setattr__(copy, "__class__", _governed_class(type(tool)))
    copy._aegis_door = door  # type: ignore[attr-defined]
    return copy


def door_of(tool: BaseTool) -> Door | None:
    """The door a tool's executions go through, if it is governed."""
    return getattr(tool, "_aegis_door", None)


@functools.cache
def _governed_class(cls: type[BaseTool]) -> type[BaseTool]:
    """The subclass of governed tools. Its methods have the signatures of those they stand for: LangChain reads them."""

    @functools.wraps(cls._run)
    def _run(self: Any, *args: Any, **kwargs: Any) -> Any:
        execution = _Execution(self, cls._run, args, kwargs)
        return self._aegis_door.call(execution.action, execution.run)

    @functools.wraps(cls._arun)
    async def _arun(self: Any, *args: Any, **kwargs: Any) -> Any:
        execution = _Execution(self, cls._arun, args, kwargs)
        return await self._aegis_door.acall(execution.action, execution.run)

    @functools.wraps(cls.run)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = _TOOL_CALL_ID.set(kwargs.get("tool_call_id"))
        try:
            return cls.run(self, *args, **kwargs)
        except ActionRefused as refused:
            return refusal(self.name, kwargs.get("tool_call_id"), refused)
        finally:
            _TOOL_CALL_ID.reset(token)

    @functools.wraps(cls.arun)
    async def arun(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = _TOOL_CALL_ID.set(kwargs.get("tool_call_id"))
        try:
            return await cls.arun(self, *args, **kwargs)
        except ActionRefused as refused:
            return refusal(self.name, kwargs.get("tool_call_id"), refused)
        finally:
            _TOOL_CALL_ID.reset(token)

    namespace: dict[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "_aegis_door": PrivateAttr(),
        "_run": _run,
        "run": run,
        "arun": arun,
    }
    if cls._arun is not BaseTool._arun:  # The base's runs `_run`, governed above; and LangChain asks whether it is the base's.
        namespace["_arun"] = _arun
    return type(cls)(cls.__name__, (cls,), namespace)


class _Execution:
    """One execution of a tool: what of its arguments is judged, and how it is called with what was approved.

    Attributes:
        action: The call for the policy.
    """

    def __init__(
        self, tool: BaseTool, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._tool = tool
        self._method = method
        # A tool that is called with a bare text gets it by position, under the name of its only argument.
        self._positional = list(tool.args)[: len(args)] if args else []
        named = {**dict(zip(self._positional, args, strict=True)), **kwargs}
        self._framework = {name: named.pop(name) for name in _added_by_langchain(method) if name in named}
        injected = named.keys() - tool._filter_injected_args(named).keys() - _ORDINARY
        self._injected = {name: named.pop(name) for name in injected}
        self._arguments = Arguments({**_defaults(tool, method, named), **named})
        self.action: Action = action(tool.name, door_of(tool).target, self._arguments.judged, _TOOL_CALL_ID.get())  # type: ignore[union-attr]

    def run(self, approved: dict[str, Any]) -> Any:
        """Call the tool with what was approved."""
        if approved == self._arguments.judged:
            arguments = self._arguments.to_run(approved)
        else:
            arguments = self._edited(approved)
        args = [arguments.pop(name) for name in self._positional]
        return self._method(self._tool, *args, **arguments, **self._injected, **self._framework)

    def _edited(self, approved: dict[str, Any]) -> dict[str, Any]:
        """An approver's changes, through the tool's schema, which must not make of them anything else than what was judged."""
        try:
            parsed = self._tool._parse_input({**approved, **self._injected}, _TOOL_CALL_ID.get())
            validated = {name: value for name, value in dict(parsed).items() if name not in self._injected}
            problem = None if Arguments(validated).judged == approved else "reads the changed arguments otherwise"
        except ValueError as error:
            problem = f"refuses the changed arguments: {error}"
        else:
            if problem is None:
                return validated
        message = f"{self.action.type}: the tool's schema {problem}. The call did not run."
        raise ToolRefused(Result(self.action, ResultStatus.BLOCKED, error=message))


_ORDINARY = frozenset(("run_manager", "callbacks"))
"""Names that LangChain leaves out of what it shows; an argument of such a name is an argument all the same."""


def _added_by_langchain(method: Callable[..., Any]) -> Iterator[str]:
    """The names under which LangChain hands a tool's method what nobody called the tool with."""
    if "run_manager" in inspect.signature(method).parameters:
        yield "run_manager"
    config = _get_runnable_config_param(method)
    if config is not None:
        yield config


def _defaults(tool: BaseTool, method: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Python's own defaults of declared arguments, where there is no schema that has filled them in."""
    if tool.args_schema is not None and not isinstance(tool.args_schema, dict):
        return {}
    function = getattr(tool, "func", None) or getattr(tool, "coroutine", None) or method
    omitted = tool.args.keys() - given.keys()
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if name in omitted and parameter.default is not parameter.empty
    }
