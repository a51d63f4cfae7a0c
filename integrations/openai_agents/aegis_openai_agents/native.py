"""The SDK's other tools that run here, or ask here before they run: shells, patches, custom and hosted MCP tools."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

from agents import (
    ApplyPatchTool,
    CustomTool,
    HostedMCPTool,
    LocalShellTool,
    ShellCallOutcome,
    ShellCommandOutput,
    ShellResult,
    ShellTool,
)
from agents.editor import ApplyPatchOperation, ApplyPatchResult

from aegis_core.call import Reply
from aegis_openai_agents.arguments import Unreadable, parse
from aegis_openai_agents.sdk import shell_action

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents import LocalShellCommandRequest, MCPToolApprovalRequest, ShellActionRequest, ShellCommandRequest
    from agents.tool import MCPToolApprovalFunctionResult
    from agents.tool_context import ToolContext

    from aegis_openai_agents.door import Door

__all__ = ["GOVERNORS"]

_CANNOT_EXECUTE = 126  # what a shell exits with for a command it may not execute


def _shell(tool: ShellTool, door: Door) -> ShellTool:
    executor = tool.executor
    assert executor is not None  # a hosted one is never governed

    async def execute(request: ShellCommandRequest) -> str | ShellResult:
        asked = request.data
        params = dataclasses.asdict(asked.action)
        action = door.action(None, tool.name, params, call_id=asked.call_id)

        async def run(judged: dict[str, Any]) -> Any:
            if judged == params:
                return await _finished(executor(request))
            data = dataclasses.replace(asked, action=dataclasses.replace(asked.action, **judged), raw=None)
            return await _finished(executor(dataclasses.replace(request, data=data)))

        result = await door.run(request.ctx_wrapper, action, run)
        if result.refused:
            outcome = ShellCallOutcome(type="exit", exit_code=_CANNOT_EXECUTE)
            return ShellResult([ShellCommandOutput(stderr=result.error or "", outcome=outcome)])
        return result.unwrap()  # type: ignore[no-any-return]

    async def needs_approval(context: Any, action: ShellActionRequest, call_id: str) -> bool:
        call = door.action(None, tool.name, dataclasses.asdict(action), call_id=call_id)
        return await door.must_interrupt(call) or await _says(tool.needs_approval, context, action, call_id)

    async def rejected(item: dict[str, Any]) -> None:
        params = dataclasses.asdict(shell_action(item))
        await door.reject(door.action(None, tool.name, params, call_id=item["call_id"]))

    governed = copy.copy(tool)
    governed.executor = execute
    if door.interrupts:
        governed.needs_approval = needs_approval
        governed._aegis_rejected = rejected  # type: ignore[attr-defined]
    return governed


def _local_shell(tool: LocalShellTool, door: Door) -> LocalShellTool:
    executor = tool.executor

    async def execute(request: LocalShellCommandRequest) -> str:
        asked = request.data
        params = asked.action.model_dump()

        async def run(judged: dict[str, Any]) -> Any:
            if judged == params:
                return await _finished(executor(request))
            data = asked.model_copy(update={"action": type(asked.action).model_validate(judged)})
            return await _finished(executor(dataclasses.replace(request, data=data)))

        action = door.action(None, tool.name, params, call_id=asked.call_id)
        result = await door.run(request.ctx_wrapper, action, run, interruptible=False)
        return str(result.error) if result.refused else result.unwrap()

    governed = copy.copy(tool)
    governed.executor = execute
    return governed


def _apply_patch(tool: ApplyPatchTool, door: Door) -> ApplyPatchTool:
    governed = copy.copy(tool)
    governed.editor = _Editor(tool, door)
    return governed


class _Editor:
    """Governs every operation of a patch by itself."""

    def __init__(self, tool: ApplyPatchTool, door: Door) -> None:
        self._name = tool.name
        self._door = door
        self._edit = {
            "create_file": tool.editor.create_file,
            "update_file": tool.editor.update_file,
            "delete_file": tool.editor.delete_file,
        }

    async def _governed(self, operation: ApplyPatchOperation) -> Any:
        context = operation.ctx_wrapper
        params = {name: getattr(operation, name) for name in ("type", "path", "diff", "move_to")}

        async def run(judged: dict[str, Any]) -> Any:
            return await _finished(self._edit[judged["type"]](dataclasses.replace(operation, **judged)))

        action = self._door.action(None, self._name, params)
        result = await self._door.run(context, action, run, interruptible=False)
        return ApplyPatchResult(status="failed", output=result.error) if result.refused else result.unwrap()

    create_file = update_file = delete_file = _governed


def _custom(tool: CustomTool, door: Door) -> CustomTool:
    async def invoke(context: ToolContext[Any], text: str) -> Any:
        async def run(judged: dict[str, Any]) -> Any:
            if judged["input"] != text:
                context.tool_arguments = judged["input"]
            return await _finished(tool.on_invoke_tool(context, judged["input"]))

        result = await door.run(context, door.action(context, tool.name, {"input": text}), run)
        return result.error if result.refused else result.unwrap()

    async def needs_approval(context: Any, text: str, call_id: str) -> bool:
        call = door.action(None, tool.name, {"input": text}, call_id=call_id)
        return await door.must_interrupt(call) or await _says(tool.runtime_needs_approval(), context, text, call_id)

    async def rejected(item: dict[str, Any]) -> None:
        await door.reject(door.action(None, tool.name, {"input": item["input"]}, call_id=item["call_id"]))

    governed = copy.copy(tool)
    governed.on_invoke_tool = invoke
    if door.interrupts:
        governed.needs_approval = needs_approval
        governed._aegis_rejected = rejected  # type: ignore[attr-defined]
        governed.runtime_needs_approval = lambda: needs_approval  # type: ignore[method-assign]
    return governed


def _hosted_mcp(tool: HostedMCPTool, door: Door) -> HostedMCPTool:
    """Runs where the model runs, but asks here first. How the call ended is never known here."""
    callback = tool.on_approval_request

    async def approve(request: MCPToolApprovalRequest) -> MCPToolApprovalFunctionResult:
        asked, context = request.data, request.ctx_wrapper
        try:
            params = parse(asked.arguments)
        except Unreadable as error:
            message = await door.refuse(
                None, asked.name, asked.arguments, error, server=asked.server_label, call_id=asked.id
            )
            return {"approve": False, "reason": message}

        async def run(_judged: dict[str, Any]) -> Reply:
            said: Any = {"approve": True} if callback is None else await _finished(callback(request))
            no = None if said.get("approve") is True else said.get("reason") or "on_approval_request rejected it"
            return Reply("approved", failed=no, claimed_by="HostedMCPTool")

        action = door.action(None, asked.name, params, server=asked.server_label, call_id=asked.id)
        result = await door.run(context, action, run, can_edit=False, interruptible=False)
        if result.exception is not None:
            raise result.exception
        return {"approve": True} if result.ok else {"approve": False, "reason": result.error or ""}

    governed = copy.copy(tool)
    governed.tool_config = {**tool.tool_config, "require_approval": "always"}
    governed.on_approval_request = approve
    return governed


GOVERNORS: dict[type, Callable[[Any, Door], Any]] = {
    ApplyPatchTool: _apply_patch,
    CustomTool: _custom,
    HostedMCPTool: _hosted_mcp,
    LocalShellTool: _local_shell,
    ShellTool: _shell,
}
"""How each kind of tool is governed: a function of the tool and the door that returns a governed copy."""


async def _finished(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _says(setting: Any, *args: Any) -> bool:
    """What a tool's own ``needs_approval`` says, a bool or a function."""
    return bool(await _finished(setting(*args)) if callable(setting) else setting)
