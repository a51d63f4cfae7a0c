"""What every door into LangChain shares: the Action for a tool call, its way through the runtime, and how a refusal reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.messages import ToolMessage
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import ToolException

from aegis_core.action import Action
from aegis_core.call import Reply
from aegis_core.errors import ActionRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aegis_core.request import ApprovalAnswer, ApprovalRequest
    from aegis_core.result import Result
    from aegis_core.runtime import Runtime

__all__ = ["TARGET", "Door", "Pause", "ToolRefused", "action", "outcome", "refusal"]

TARGET = "langchain"


class ToolRefused(ActionRefused, ToolException):
    """A refusal that a tool's own error handling (``handle_tool_error``) knows."""


class Pause(Protocol):
    """An approval handler for one call that may have to stop the run instead of waiting for an answer."""

    error: BaseException | None
    """What stops the run, once `ask` has found that it must."""

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """As for `ApprovalHandler`."""
        ...


@dataclass(frozen=True)
class Door:
    """Takes calls through a runtime.

    Attributes:
        runtime: Governs them.
        target: The tools' target for the policy.
        pause: The framework's own way to ask about a call, if there is one where it is made; else the runtime's handler is asked.
    """

    runtime: Runtime
    target: str
    pause: Callable[[], Pause | None] | None = None

    def __deepcopy__(self, _memo: object) -> Door:
        return self

    def call(self, action: Action, tool: Callable[[dict[str, Any]], Any]) -> Any:
        """What the tool returns.

        Raises:
            ActionRefused: It was not run.
            BaseException: The tool's own exception; or what stops the run while a person is asked.
        """
        pause = self.pause() if self.pause is not None else None
        return _returned(self.runtime.run(action, lambda given: outcome(tool(given)), approval_handler=pause), pause)

    async def acall(self, action: Action, tool: Callable[[dict[str, Any]], Awaitable[Any]]) -> Any:
        """`call` from a coroutine."""
        pause = self.pause() if self.pause is not None else None

        async def run(given: dict[str, Any]) -> Any:
            return outcome(await tool(given))

        return _returned(await self.runtime.arun(action, run, approval_handler=pause), pause)


def _returned(result: Result, pause: Pause | None) -> Any:
    if result.refused:
        raise pause.error if pause is not None and pause.error is not None else ToolRefused(result)
    if result.exception is not None:
        raise result.exception
    return result.data


def action(tool: str, target: str, params: Mapping[str, Any], tool_call_id: str | None) -> Action:
    """A call of a tool in the thread and by the agent that LangChain's current config names."""
    config = ensure_config()
    thread, agent = config["configurable"].get("thread_id"), config["metadata"].get("lc_agent_name")
    run = getattr(config["callbacks"], "parent_run_id", None)  # of the callbacks for what the tool calls: the tool's run
    labels = {"run_id": run, "tool_call_id": tool_call_id}
    return Action(
        tool,
        target,
        params,
        agent=None if agent is None else str(agent),
        session_id=None if thread is None else str(thread),
        labels={name: str(value) for name, value in labels.items() if value is not None},
    )


def outcome(value: Any) -> Any:
    """What a tool returned, marked as a failure if it says so itself."""
    if isinstance(value, ToolMessage) and value.status == "error":
        return Reply(value, failed=value.text or "the tool reported an error")
    return value


def refusal(tool: str, tool_call_id: str | None, refused: ActionRefused) -> ToolMessage:
    """What a model reads in place of the tool's result; raised instead where no tool call waits for one."""
    if tool_call_id is None:
        raise refused
    return ToolMessage(str(refused), name=tool, tool_call_id=tool_call_id, status="error")
