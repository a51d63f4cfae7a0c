"""What the doors into LangChain share: a call's Action, its way through the runtime, and how a refusal reads."""

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

__all__ = ["TARGET", "Door", "Pause", "ToolRefused", "current_action", "facts", "refusal"]

TARGET = "langchain"


class ToolRefused(ActionRefused, ToolException):
    """A refusal that a tool's own error handling (``handle_tool_error``) knows."""


class Pause(Protocol):
    """An approval handler for one call, which may have to stop the run where nobody has answered yet."""

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
        pause: Finds the framework's own way to ask, if there is one where a call is made; else the runtime's handler
            is asked.
    """

    runtime: Runtime
    target: str
    pause: Callable[[], Pause | None] = lambda: None

    def __deepcopy__(self, _memo: object) -> Door:
        return self

    def call(self, action: Action, tool: Callable[[dict[str, Any]], Any]) -> Any:
        """What the tool returns.

        Raises:
            ActionRefused: It was not run.
            BaseException: The tool's own exception; or what stops the run while a person is asked.
        """
        pause = self.pause()
        return _returned(self.runtime.run(action, lambda given: _reply(tool(given)), approval_handler=pause), pause)

    async def acall(self, action: Action, tool: Callable[[dict[str, Any]], Awaitable[Any]]) -> Any:
        """`call` from a coroutine."""
        pause = self.pause()

        async def run(given: dict[str, Any]) -> Any:
            return _reply(await tool(given))

        return _returned(await self.runtime.arun(action, run, approval_handler=pause), pause)


def _reply(value: Any) -> Any:
    """What a tool returned, marked as a failure if it says so itself."""
    if isinstance(value, ToolMessage) and value.status == "error":
        return Reply(value, failed=value.text or "the tool reported an error")
    return value


def _returned(result: Result, pause: Pause | None) -> Any:
    if result.refused:
        raise pause.error if pause is not None and pause.error is not None else ToolRefused(result)
    if result.exception is not None:
        raise result.exception
    return result.data


def current_action(tool: str, target: str, params: Mapping[str, Any], tool_call_id: str | None) -> Action:
    """A call of a tool in the thread and by the agent that LangChain's current config names."""
    config: Any = ensure_config()
    run_id = getattr(config["callbacks"], "parent_run_id", None)  # these are for what the tool calls: it is the parent
    return Action(tool, target, params, **facts(config["configurable"], config["metadata"], run_id, tool_call_id))


def facts(
    configurable: Mapping[str, Any], metadata: Mapping[str, Any], run_id: object, tool_call_id: str | None
) -> dict[str, Any]:
    """What LangChain knows of a call besides tool and arguments, as the keywords of an `Action`."""
    thread, agent = configurable.get("thread_id"), metadata.get("lc_agent_name")
    labels = {"run_id": run_id, "tool_call_id": tool_call_id}
    return {
        "session_id": None if thread is None else str(thread),
        "agent": None if agent is None else str(agent),
        "labels": {name: str(value) for name, value in labels.items() if value is not None},
    }


def refusal(tool: str, tool_call_id: str | None, refused: ActionRefused) -> ToolMessage:
    """What a model reads in place of the tool's result; raised instead where no tool call waits for one."""
    if tool_call_id is None:
        raise refused
    return ToolMessage(str(refused), name=tool, tool_call_id=tool_call_id, status="error")
