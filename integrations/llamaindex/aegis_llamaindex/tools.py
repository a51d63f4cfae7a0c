"""`govern_tool`: a LlamaIndex tool whose every execution is governed, and which is otherwise the same tool."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.base.llms.types import TextBlock
from llama_index.core.tools import AsyncBaseTool, BaseTool, FunctionTool, ToolOutput

from aegis_core.errors import ActionRefused
from aegis_llamaindex.arguments import Arguments
from aegis_llamaindex.door import Door

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aegis_core.result import Result
    from aegis_core.runtime import Runtime

__all__ = ["govern_tool", "govern_tools"]

T = TypeVar("T", bound=BaseTool)


def govern_tool(tool: T, runtime: Runtime, *, target: str | None = None) -> T:
    """A governed copy of a tool: every execution, sync and async, is judged, approved if need be, and recorded.

    It works wherever the tool does: ``FunctionAgent``, ``ReActAgent``, ``AgentWorkflow``, ``call_tool``, your own loop;
    with workflow contexts, callbacks, partial parameters and ``return_direct``. What is judged are the arguments it
    will get, by name, with defaults, without the context. A refused call returns a ``ToolOutput`` with ``is_error``
    whose text says why; it does not raise.

    Args:
        tool: Any LlamaIndex tool. It is not changed, and stays ungoverned itself.
        runtime: Judges the calls, asks people, writes the trail.
        target: The name for the policy (``match.target``); default ``llamaindex``.

    Returns:
        The copy, of a subclass of the tool's class.

    Raises:
        TypeError: If it is not a LlamaIndex tool; make one of a function with ``FunctionTool.from_defaults``.
        ValueError: If it is already governed by another runtime or under another target. (The same again changes
            nothing.)
    """
    if not isinstance(tool, BaseTool):  # pyright: ignore[reportUnnecessaryIsInstance] - not every caller is typed
        raise TypeError(
            f"govern_tool takes a LlamaIndex tool (a BaseTool), got {tool!r}; make one with FunctionTool.from_defaults"
        )
    wanted = "llamaindex" if target is None else target
    present: Door | None = getattr(tool, "_aegis_door", None)
    if present is not None:
        if present.runtime is not runtime or present.target != wanted:
            raise ValueError(f"the tool {tool.metadata.name!r} is already governed, as one of {present.target!r}")
        return tool
    governed: Any = copy.copy(tool)
    object.__setattr__(governed, "__class__", _governed_class(type(tool)))
    governed._aegis_door = Door(runtime, wanted)
    copied: T = governed
    return copied


def govern_tools(tools: Iterable[BaseTool], runtime: Runtime, *, target: str | None = None) -> list[Any]:
    """`govern_tool` for each of them; a list of Any, because an agent's is one of tools and functions."""
    return [govern_tool(tool, runtime, target=target) for tool in tools]


@functools.cache
def _governed_class(cls: Any) -> Any:
    """The subclass of governed tools."""
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    governed = type(cls)(cls.__name__, (cls,), names)
    # Set afterwards: LlamaIndex puts a span around the methods a class is made with, and those called here have theirs.
    for name in "__call__", "call":
        if (method := getattr(cls, name, None)) not in (None, AsyncBaseTool.__call__, FunctionTool.__call__):
            setattr(governed, name, _sync(method))
    if hasattr(cls, "acall"):
        governed.acall = _async(cls.acall)
    return governed


def _sync(method: Callable[..., Any]) -> Any:
    @functools.wraps(method)
    def governed(self: Any, *args: Any, **kwargs: Any) -> Any:
        execution = _Execution(self, method, args, kwargs)

        def run(approved: dict[str, Any]) -> Any:
            return execution.seen(execution.call(approved))

        return execution.output(self._aegis_door.call(execution.name, execution.arguments.judged, run))

    return governed


def _async(method: Callable[..., Any]) -> Any:
    @functools.wraps(method)
    async def governed(self: Any, *args: Any, **kwargs: Any) -> Any:
        execution = _Execution(self, method, args, kwargs)

        async def run(approved: dict[str, Any]) -> Any:
            return execution.seen(await execution.call(approved))

        return execution.output(await self._aegis_door.acall(execution.name, execution.arguments.judged, run))

    return governed


class _Execution:
    """One execution of a tool: its arguments on the way in, its output on the way out.

    Attributes:
        name: The tool's.
        arguments: What it was called with.
    """

    def __init__(self, tool: Any, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.name: str = tool.metadata.get_name()
        self.arguments = Arguments(tool, method, args, kwargs)
        self._tool = tool
        self._method = method
        self._output: Any = None
        self._shown: Any = None

    def call(self, approved: dict[str, Any]) -> Any:
        """Call the tool with what was approved."""
        args, kwargs = self.arguments.to_run(approved)
        return self._method(self._tool, *args, **kwargs)

    def seen(self, output: Any) -> Any:
        """What the policy's result rules and the trail see of an output: its text, where it is all text."""
        self._output = output
        if not isinstance(output, ToolOutput):
            return output
        texts = [block.text for block in output.blocks if isinstance(block, TextBlock)]
        shown = output if len(texts) < len(output.blocks) else texts[0] if len(texts) == 1 else texts
        self._shown = shown
        return Door.reply(shown, failed=_failure(output))

    def output(self, result: Result) -> Any:
        """What the caller gets: the tool's own output, unless the call was refused or its result changed."""
        if result.refused:
            return self._said(str(result.error), is_error=True, exception=ActionRefused(result))
        if result.exception is not None:
            raise result.exception
        if not isinstance(self._output, ToolOutput):
            return result.data
        if result.data is self._shown:
            return self._output
        texts = [result.data] if isinstance(result.data, str) else result.data
        return self._said("\n".join(texts), is_error=self._output.is_error)

    def _said(self, text: str, *, is_error: bool, exception: Exception | None = None) -> ToolOutput:
        return ToolOutput(
            tool_name=self.name,
            content=text,
            raw_input={"args": (), "kwargs": self.arguments.judged},
            raw_output=text,
            is_error=is_error,
            exception=exception,
        )


def _failure(output: ToolOutput) -> str | None:
    """Why a tool says it failed, if it says so: in its output, or in the result of the MCP tool behind it."""
    reported = output.is_error or any(
        getattr(output.raw_output, name, False) is True for name in ("is_error", "isError")
    )
    return (output.content or "the tool reported an error") if reported else None
