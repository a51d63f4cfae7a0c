"""`govern_tool`: a LangChain tool whose every execution is governed, and which is otherwise the same tool."""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.tools import BaseTool
from langchain_core.tools.base import _get_runnable_config_param  # pyright: ignore[reportPrivateUsage]
from pydantic import PrivateAttr

from aegis_core.errors import ActionRefused
from aegis_core.result import Result, ResultStatus
from aegis_langchain.arguments import Arguments
from aegis_langchain.door import TARGET, Door, ToolRefused, current_action, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aegis_core.runtime import Runtime

__all__ = ["door_of", "govern", "govern_tool", "govern_tools"]

T = TypeVar("T", bound=BaseTool)

_TOOL_CALL_ID: ContextVar[str | None] = ContextVar("aegis_langchain_tool_call_id", default=None)
"""The model's call that the tool in progress answers: LangChain tells `run`, and not `_run`."""


def govern_tool(tool: T, runtime: Runtime, *, target: str | None = None) -> T:
    """A governed copy of a tool: every execution, sync and async, is judged, approved if need be, and recorded.

    Name, schemas, artifacts, ``return_direct``, injected arguments, error handling and streaming events are the tool's
    own. What is judged are the arguments it will get: validated, with defaults, without injected ones. A refused call
    that answers a model's tool call returns a ``ToolMessage`` with ``status="error"``; any other raises
    `ActionRefused`. To the tool's ``handle_tool_error`` a refusal is a ``ToolException``.

    Args:
        tool: Any LangChain tool. It is not changed, and stays ungoverned itself.
        runtime: Judges the calls, asks people, writes the trail.
        target: The name for the policy (``match.target``); default ``langchain``.

    Returns:
        The copy, of a subclass of the tool's class.

    Raises:
        TypeError: If it is not a LangChain tool; make one of a function with LangChain's ``@tool``.
        ValueError: If it is already governed by another runtime or under another target. (The same again changes
            nothing.)
    """
    if not isinstance(tool, BaseTool):  # pyright: ignore[reportUnnecessaryIsInstance] - not every caller is typed
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
    copy: Any = tool.model_copy()
    if door_of(tool) is None:
        object.__setattr__(copy, "__class__", _governed_class(type(tool)))
    copy._aegis_door = door
    governed: T = copy
    return governed


def door_of(tool: BaseTool) -> Door | None:
    """The door a tool's executions go through, if it is governed."""
    return getattr(tool, "_aegis_door", None)


@functools.cache
def _governed_class(cls: Any) -> Any:
    """The subclass of governed tools. Its methods have the signatures of those they stand for: LangChain reads them."""

    @functools.wraps(cls._run)
    def _run(self: Any, *args: Any, **kwargs: Any) -> Any:
        execution = _Execution(self, cls._run, args, kwargs)
        return execution.returned(self._aegis_door.call(execution.action, execution.run))

    @functools.wraps(cls._arun)
    async def _arun(self: Any, *args: Any, **kwargs: Any) -> Any:
        execution = _Execution(self, cls._arun, args, kwargs)
        return execution.returned(await self._aegis_door.acall(execution.action, execution.run))

    @functools.wraps(cls.run)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        tool_call_id = kwargs.get("tool_call_id")
        token = _TOOL_CALL_ID.set(tool_call_id)
        try:
            return cls.run(self, *args, **kwargs)
        except ActionRefused as refused:
            return refusal(self.name, tool_call_id, refused)
        finally:
            _TOOL_CALL_ID.reset(token)

    @functools.wraps(cls.arun)
    async def arun(self: Any, *args: Any, **kwargs: Any) -> Any:
        tool_call_id = kwargs.get("tool_call_id")
        token = _TOOL_CALL_ID.set(tool_call_id)
        try:
            return await cls.arun(self, *args, **kwargs)
        except ActionRefused as refused:
            return refusal(self.name, tool_call_id, refused)
        finally:
            _TOOL_CALL_ID.reset(token)

    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    methods: dict[str, Any] = {"_run": _run, "run": run, "arun": arun}
    if cls._arun is not BaseTool._arun:  # pyright: ignore[reportPrivateUsage]
        methods["_arun"] = _arun  # Else it is the base's, which calls `_run`; and LangChain asks whether it is.
    return type(cls)(cls.__name__, (cls,), {**names, **methods, "_aegis_door": PrivateAttr()})


class _Execution:
    """One execution of a tool: what of its arguments is judged, and how it is called with what was approved.

    Attributes:
        action: The call for the policy.
    """

    def __init__(self, tool: Any, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._tool = tool
        self._method = method
        # A tool that is called with a bare text gets it by position, under the name of its only argument.
        self._positional = list(tool.args)[: len(args)] if args else []
        named = {**dict(zip(self._positional, args, strict=True)), **kwargs}
        self._langchains = {name: named.pop(name) for name in _added_by_langchain(method) if name in named}
        injected = named.keys() - tool._filter_injected_args(named).keys() - _ORDINARY
        self._injected = {name: named.pop(name) for name in injected}
        self._arguments = Arguments({**_defaults(tool, method, named), **named})
        self.action = current_action(tool.name, tool._aegis_door.target, self._arguments.judged, _TOOL_CALL_ID.get())

    def run(self, approved: dict[str, Any]) -> Any:
        """Call the tool with what was approved."""
        if approved == self._arguments.judged:
            arguments = self._arguments.to_run(approved)
        else:
            arguments = self._edited(approved)
        args = [arguments.pop(name) for name in self._positional]
        return self._method(self._tool, *args, **arguments, **self._injected, **self._langchains)

    def returned(self, value: Any) -> Any:
        """What the tool returned; of a result that was withheld, in the shape that LangChain wants of this tool."""
        if self._tool.response_format == "content_and_artifact" and isinstance(value, str):
            return value, None
        return value

    def _edited(self, approved: dict[str, Any]) -> dict[str, Any]:
        """An approver's changes, through the tool's schema, which must read them as they were judged."""
        try:
            parsed = self._tool._parse_input({**approved, **self._injected}, _TOOL_CALL_ID.get())
            validated = {name: value for name, value in parsed.items() if name not in self._injected}
            problem = "" if Arguments(validated).judged == approved else "reads the changed arguments otherwise"
        except ValueError as error:
            validated, problem = {}, f"refuses the changed arguments: {error}"
        if problem:
            message = f"{self.action.type}: the tool's schema {problem}. The call did not run."
            raise ToolRefused(Result(self.action, ResultStatus.BLOCKED, error=message))
        return validated


_ORDINARY = frozenset(("run_manager", "callbacks"))
"""Names that LangChain leaves out of what it shows; an argument of such a name is an argument all the same."""


@functools.cache
def _added_by_langchain(method: Callable[..., Any]) -> tuple[str, ...]:
    """The names under which LangChain hands a tool's method what nobody called the tool with."""
    manager = "run_manager" if "run_manager" in inspect.signature(method).parameters else None
    return tuple(name for name in (manager, _get_runnable_config_param(method)) if name is not None)


def _defaults(tool: Any, method: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
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
