"""All that stands on details of the SDK which it does not promise, for openai-agents 0.24. Tests hold it."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import copy
import inspect
import types
import weakref
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from agents import Agent
from agents._public_agent import get_public_agent
from agents.function_schema import FuncSchema
from agents.mcp._logging import get_mcp_server_log_name
from agents.run_internal.tool_execution import coerce_shell_call
from agents.tool import _FailureHandlingFunctionToolInvoker as FailureHandling
from agents.tool import invoke_function_tool, set_function_tool_failure_error_function
from agents.util._approvals import evaluate_function_tool_approval
from pydantic import TypeAdapter

from aegis_core.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents import FunctionTool, Handoff, ShellActionRequest
    from agents.mcp import MCPServer

T = TypeVar("T")

__all__ = [
    "Binding",
    "Preparation",
    "Prepared",
    "agent_of",
    "bare",
    "binding",
    "fail",
    "invoke",
    "is_executing",
    "is_sync",
    "name_target",
    "needs_approval_itself",
    "preparation",
    "public",
    "refuse",
    "run_state_says",
    "server_name",
    "shell_action",
    "subclass",
    "target_of",
    "with_agent",
]


def bare(tool: FunctionTool) -> FunctionTool:
    """A copy that raises what the tool's work raises and takes its time: both are dealt with outside."""
    copied = set_function_tool_failure_error_function(copy.copy(tool), None)
    copied.timeout_seconds = None
    return copied


class Prepared(Protocol):
    """A function's validated arguments for one call. Given back in the context, they are what it gets."""

    args: list[Any]
    kwargs: dict[str, Any]


class Preparation:
    """How the SDK makes a decorated function's arguments of a model's text.

    Attributes:
        signature: What they are bound to: the function's, without the context.
        prepare: Validates a text for a tool of some name.
    """

    def __init__(self, schema: FuncSchema, prepare: Callable[[str, str], Prepared]) -> None:
        parameters = list(schema.signature.parameters.values())
        self.signature = inspect.Signature(parameters[1:] if schema.takes_context else parameters)
        self.prepare = prepare


def preparation(tool: FunctionTool) -> Preparation | TypeAdapter[Any] | None:
    """How the SDK validates a tool's arguments: as a function's, as an agent tool's parameters, or (None) not at all.

    Raises:
        AegisError: It validates them in a way that is not known here.
    """
    captured = _captured(_work(tool))
    schema, adapter = captured.get("schema"), captured.get("params_adapter")
    if isinstance(schema, FuncSchema) and "_prepare_arguments" in captured:
        return Preparation(schema, captured["_prepare_arguments"])
    if isinstance(adapter, TypeAdapter):
        return adapter
    if hasattr(tool, "__wrapped__") or tool._is_agent_tool:
        raise AegisError(
            f"the tool {tool.name!r} was made by a version of openai-agents that this version of Aegis does not know; "
            "what it would get cannot be judged"
        )
    return None


async def fail(tool: FunctionTool, original: FunctionTool, error: Exception, context: Any, text: str) -> Any:
    """What the SDK makes of an exception of a tool's work: a text for the model, or the exception itself.

    Args:
        tool: Whose settings count.
        original: The tool as the SDK made it.
        error: What its work raised.
        context: The call's context.
        text: The call's arguments.
    """
    if not isinstance(original.on_invoke_tool, FailureHandling):
        raise error

    async def work(_context: Any, _text: str) -> Any:
        raise error

    return await FailureHandling(work, original.on_invoke_tool._on_handled_error, function_tool=tool)(context, text)


async def invoke(tool: FunctionTool, context: Any, text: str, prepared: Prepared | None) -> Any:
    """Invoke a tool as the SDK does.

    Args:
        tool: A `bare` one.
        context: The call's context.
        text: The call's arguments.
        prepared: The same, prepared: the very objects that a decorated function gets.
    """
    if prepared is not None:
        context._function_tool_arguments = prepared
    return await invoke_function_tool(function_tool=tool, context=context, arguments=text)


async def needs_approval_itself(tool: FunctionTool, context: Any, text: str, call_id: str) -> bool:
    """Whether a tool's own setting asks for approval of a call, by the SDK's rules for that."""
    return (await evaluate_function_tool_approval(tool, context, text, call_id)).outcome != "invoke"


def refuse(context: Any, message: str) -> str:
    """A refusal as the tool's output, which need not fit the output schema that the tool may have."""
    context._function_tool_default_failure_handled = True
    return message


def is_sync(tool: FunctionTool) -> bool:
    """Whether the tool's work is a plain function, which the SDK runs in a thread."""
    return bool(getattr(tool.on_invoke_tool, "__agents_sync_function_tool__", False))


class Binding(NamedTuple):
    """Where an MCP tool comes from: its server, and its name there."""

    server: str
    tool: str


def binding(tool: FunctionTool) -> Binding | None:
    """Where a tool comes from, if it is an MCP server's."""
    return None if tool._mcp_tool_binding is None else Binding(*tool._mcp_tool_binding[:2])


def server_name(server: MCPServer) -> str:
    """A server's name as its tools have it: without credentials, if it is a URL."""
    return get_mcp_server_log_name(server.name)


def agent_of(tool: FunctionTool) -> Agent[Any] | None:
    """The agent that a tool runs, if it is one made by ``agent.as_tool()``."""
    agent = tool._agent_instance
    return agent if isinstance(agent, Agent) else None


def target_of(handoff: Handoff[Any, Any]) -> Agent[Any] | None:
    """The agent that a handoff names as its target; it may hand over to another."""
    agent = handoff._agent_ref() if handoff._agent_ref is not None else None
    return agent if isinstance(agent, Agent) else None


def name_target(handoff: Handoff[Any, Any], agent: Agent[Any]) -> None:
    """Make a handoff name an agent as its target, which a run that is resumed goes by."""
    handoff._agent_ref = weakref.ref(agent)


def with_agent(tool: FunctionTool, govern: Callable[[Agent[Any]], Agent[Any]]) -> FunctionTool:
    """A copy of an agent tool (``agent.as_tool()``) that runs the governed agent instead.

    Raises:
        AegisError: The agent cannot be exchanged.
    """
    work = _work(tool)
    agent: Any = _captured(work).get("self")
    if not isinstance(work, FunctionType) or not isinstance(agent, Agent) or agent is not tool._agent_instance:
        raise AegisError(
            f"the agent behind the tool {tool.name!r} cannot be governed from outside; "
            "use govern_agent(agent, runtime).as_tool(...)"
        )
    governed = govern(agent)
    cells = zip(work.__code__.co_freevars, work.__closure__ or (), strict=True)
    closure = tuple(CellType(governed) if name == "self" else cell for name, cell in cells)
    exchanged = FunctionType(work.__code__, work.__globals__, work.__name__, work.__defaults__, closure)
    copied = copy.copy(tool)
    copied.on_invoke_tool = FailureHandling(exchanged, _failure_handling(tool)._on_handled_error, function_tool=copied)
    copied._agent_instance = governed
    return copied


def public(agent: Any) -> Any:
    """The agent that hooks are told of; the one that runs in a sandbox is a copy of it."""
    return get_public_agent(agent)


def shell_action(item: dict[str, Any]) -> ShellActionRequest:
    """What a model's call of the shell asks for, as the executor is given it."""
    return coerce_shell_call(item).action


def subclass(cls: type[T], *before: type, **attributes: Any) -> type[T]:
    """A subclass that goes by the name of ``cls`` (the SDK compares names), with others' methods first."""
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__, **attributes}
    return types.new_class(cls.__name__, (*before, cls), exec_body=lambda namespace: namespace.update(names))


def run_state_says(context: Any, call_id: str) -> bool | None:
    """Whether the run's state approves or rejects exactly this call. What it says of a tool for good is no answer."""
    for record in context._approvals.values():
        if isinstance(record.approved, list) and call_id in record.approved:
            return True
        if isinstance(record.rejected, list) and call_id in record.rejected:
            return False
    return None


def is_executing(context: Any, call_id: str) -> bool:
    """Whether the run has come to the execution of a call, or only asks whether it needs approval."""
    invocation = context._tool_invocations.get(call_id)
    return invocation is not None and invocation.executed


def _failure_handling(tool: FunctionTool) -> FailureHandling:
    assert isinstance(tool.on_invoke_tool, FailureHandling)
    return tool.on_invoke_tool


def _work(tool: FunctionTool) -> object:
    """What does a tool's work behind the SDK's handling of its failures; None for a tool that handles its own."""
    invoker = tool.on_invoke_tool
    return invoker._invoke_tool_impl if isinstance(invoker, FailureHandling) else None


def _captured(work: object) -> dict[str, Any]:
    """The variables that a function was made with."""
    if not isinstance(work, FunctionType):
        return {}
    return {
        name: cell.cell_contents for name, cell in zip(work.__code__.co_freevars, work.__closure__ or (), strict=True)
    }
