"""Agents whose model follows a script, for the tests; nothing leaves the process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agents import Agent, FunctionTool, RunConfig, Runner, function_tool
from agents.mcp import MCPServer
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call

from aegis import Policy, Runtime
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OFFLINE = RunConfig(tracing_disabled=True)


def reading(error: Any) -> str:
    """A failure as the model is to read it; by default the SDK hides it."""
    return f"failed: {error}"


def as_tool(function: Callable[..., Any], **options: Any) -> FunctionTool:
    """A function tool whose failures can be read."""
    return function_tool(function, failure_error_function=lambda _context, error: reading(error), **options)


def model(*steps: Any) -> ScriptedModel:
    """A model that makes these calls, ``(tool, arguments)`` or lists of them, step after step, and then is done."""
    script: list[Any] = []
    number = 0
    for step in steps:
        calls = step if isinstance(step, list) else [step]
        output = []
        for tool, arguments in calls:
            number += 1
            output.append(function_call(tool, arguments, call_id=f"call_{number}"))
        script.append(output)
    return ScriptedModel([*script, [assistant_message("done")]])


async def run(
    agent: Agent[Any], given: Any = "go", *, stream: bool = False, model: ScriptedModel | None = None, **options: Any
) -> Any:
    """Run an agent to its end, or to its interruption; ``model`` is that of all its agents."""
    options.setdefault("run_config", OFFLINE if model is None else replace(OFFLINE, model=model))
    if not stream:
        return await Runner.run(agent, given, **options)
    result = Runner.run_streamed(agent, given, **options)
    async for _event in result.stream_events():
        pass
    return result


def outputs(result: Any) -> list[Any]:
    """What the tools of a run gave the model, refusals too."""
    return [item.output for item in result.new_items if item.type == "tool_call_output_item"]


def policy(**rules: str) -> Policy:
    """A policy of ``tool=approval``."""
    return Policy.from_dict(
        {
            "version": "1",
            "rules": [
                {"name": f"{approval}_{tool}", "match": {"type": tool}, "approval": approval}
                for tool, approval in rules.items()
            ],
        }
    )


class World:
    """A runtime and all that it does, in view."""

    def __init__(self, rules: Policy | Mapping[str, str], *answers: Any, **options: Any) -> None:
        self.trail: Any = options.pop("audit_logger", None) or MemoryAuditLogger()
        self.handler = ScriptedApprovalHandler(answers)
        self.runtime = Runtime(
            policy=rules if isinstance(rules, Policy) else policy(**rules),
            audit_logger=self.trail,
            approval_handler=self.handler,
            **options,
        )

    def log(self) -> list[tuple[str, str]]:
        """``(tool, how it ended)`` of every call on the trail."""
        return [(entry["action_type"], entry["result_status"]) for entry in self.trail.get_log()]

    @property
    def last(self) -> dict[str, Any]:
        return self.trail.get_log()[-1]


class SessionServer(MCPServer):
    """An MCP server of the program's own, over a session that is already there."""

    def __init__(self, session: Any, name: str = "notes", **options: Any) -> None:
        super().__init__(**options)
        self.session = session
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    async def connect(self) -> None:
        pass

    async def cleanup(self) -> None:
        pass

    async def list_tools(self, run_context: Any = None, agent: Any = None) -> list[Any]:
        return list((await self.session.list_tools()).tools)

    async def call_tool(
        self, tool_name: str, arguments: dict[str, Any] | None, meta: dict[str, Any] | None = None
    ) -> Any:
        return await self.session.call_tool(tool_name, arguments)

    async def list_prompts(self) -> Any:
        return await self.session.list_prompts()

    async def get_prompt(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        return await self.session.get_prompt(name, arguments)


__all__ = [
    "OFFLINE",
    "ModelStep",
    "SessionServer",
    "World",
    "as_tool",
    "model",
    "outputs",
    "policy",
    "reading",
    "run",
]
