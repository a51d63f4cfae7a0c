"""`aegis_guardrails`: a gate before a tool and a record after it, where tools cannot be replaced by governed ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from agents import (
    ToolGuardrailFunctionOutput,
    ToolInputGuardrail,
    ToolInputGuardrailData,
    ToolOutputGuardrail,
    ToolOutputGuardrailData,
)

from aegis_core.result import ResultStatus
from aegis_openai_agents.arguments import Unreadable, parse
from aegis_openai_agents.door import Door
from aegis_openai_agents.sdk import is_executing

if TYPE_CHECKING:
    from agents.tool_context import ToolContext

    from aegis_core.action import Action
    from aegis_core.drive import Call
    from aegis_core.runtime import Runtime

__all__ = ["Guardrails", "aegis_guardrails"]


class Guardrails(NamedTuple):
    """The two guardrails that belong together on a tool."""

    input: ToolInputGuardrail[Any]
    output: ToolOutputGuardrail[Any]


def aegis_guardrails(runtime: Runtime, *, target: str | None = None) -> Guardrails:
    """A pair of guardrails that govern the function tools, or the MCP server, that they are put on.

    ``@function_tool(tool_input_guardrails=[g.input], tool_output_guardrails=[g.output])``; put them last of their kind.

    Guardrails see less than `govern_tool` and can do less: what is judged are the arguments as the model wrote them,
    without the function's defaults; nobody can change them; a tool that raises past its failure handling, or is
    cancelled, leaves a call without an outcome, and one that handles its failure counts as a success; results cannot be
    altered. Other kinds of tools have no guardrails. Approval is asked for through the runtime's approval handler.

    Args:
        runtime: Judges the calls, asks people, writes the trail.
        target: The name for the policy (``match.target``); default ``openai-agents``.

    Returns:
        The input guardrail and the output guardrail.

    Raises:
        PolicyError: If the policy has rules about results.
    """
    runtime.declare_unable_to_alter_results("aegis_guardrails")
    gate = _Gate(Door(runtime, target))
    return Guardrails(ToolInputGuardrail(gate.enter, name="aegis"), ToolOutputGuardrail(gate.leave, name="aegis"))


class _Gate:
    """Holds the calls between the two guardrails."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._calls: WeakKeyDictionary[ToolContext[Any], Call] = WeakKeyDictionary()

    async def enter(self, data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        """Govern the call up to the tool."""
        context, door = data.context, self._door
        try:
            params = parse(context.tool_arguments)
        except Unreadable as error:
            if door.runtime.enforced:
                text = context.tool_arguments
                return _refusal(await door.refuse(context, context.tool_name, text, error))
            params = {"arguments": context.tool_arguments}
        action = door.action(context, context.tool_name, params)
        if not is_executing(context, context.tool_call_id) and not self._is_blocked(action):
            return ToolGuardrailFunctionOutput.allow()  # pre_approval_tool_input_guardrails: it will ask again
        call = await door.runtime.abegin(action)
        if call.result is not None:
            return _refusal(call.result.error or "the call did not run")
        self._calls[context] = call
        return ToolGuardrailFunctionOutput.allow()

    def _is_blocked(self, action: Action) -> bool:
        return self._door.runtime.check(action).status is ResultStatus.BLOCKED

    async def leave(self, data: ToolOutputGuardrailData) -> ToolGuardrailFunctionOutput:
        """Record how it ended."""
        call = self._calls.pop(data.context, None)
        if call is not None:
            await call.afinish(data.output)
        return ToolGuardrailFunctionOutput.allow()


def _refusal(message: str) -> ToolGuardrailFunctionOutput:
    return ToolGuardrailFunctionOutput.reject_content(message)
