"""What a governed tool's calls go through: whose call it is, how a person is asked, and how it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from agents import get_current_trace
from agents.tool_context import ToolContext

from aegis_core.action import Action
from aegis_core.result import ResultStatus
from aegis_openai_agents.interruption import Asking, Interruption
from aegis_openai_agents.sdk import run_state_says

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aegis_core.result import Result
    from aegis_core.runtime import Runtime

__all__ = ["TARGET", "Door", "conversation"]

TARGET = "openai-agents"


class Door(NamedTuple):
    """Where calls of tools come in.

    Attributes:
        runtime: Judges them, asks people, writes the trail.
        target: The tools' target for the policy; None for the default, an MCP server's name or ``openai-agents``.
        agent: Who calls, where the SDK does not say.
        interrupts: Whether people are asked by interrupting the run, and not through the runtime's approval handler.
    """

    runtime: Runtime
    target: str | None = None
    agent: str | None = None
    interrupts: bool = False

    def action(
        self,
        context: Any,
        type: str,  # noqa: A002 - as in Action
        params: Mapping[str, Any],
        *,
        server: str | None = None,
        call_id: str | None = None,
    ) -> Action:
        """The call as the policy sees it.

        Args:
            context: The tool call's own; None where there is only the run's. (That of an agent that runs as a tool is
                the context of the tool's call.)
            type: The tool.
            params: Its arguments.
            server: The MCP server it lives on, if it does.
            call_id: The tool call's id, where there is no context to say so.
        """
        agent = self.agent
        if isinstance(context, ToolContext):
            call_id = context.tool_call_id
            agent = context.agent.name if context.agent is not None else agent
        return Action(
            type,
            self.target or server or TARGET,
            params,
            agent=agent,
            session_id=conversation(),
            labels={} if call_id is None else {"tool_call_id": call_id},
        )

    async def refuse(
        self,
        context: Any,
        type: str,  # noqa: A002 - as in Action
        text: str,
        problem: Exception,
        *,
        server: str | None = None,
        call_id: str | None = None,
    ) -> str:
        """Refuse, on record, a call whose arguments cannot be read, whatever the policy says of the tool.

        Args:
            context: As for `action`.
            type: The tool.
            text: The arguments as they came.
            problem: What is wrong with them.
            server: As for `action`.
            call_id: As for `action`.

        Returns:
            The refusal, for the model to read.
        """
        action = self.action(context, type, {"arguments": text}, server=server, call_id=call_id)
        result = await self.runtime.arefuse(action, str(problem), rule="<arguments>")
        return str(result.error)

    async def must_interrupt(self, action: Action) -> bool:
        """Whether a person has to be asked about a call. If so, that is on record, and the request is filed."""
        if self.runtime.check(action).status is not ResultStatus.PENDING_APPROVAL:
            return False
        interruption = Interruption(self.runtime)
        result = await self.runtime.arun(action, _not_now, approval_handler=interruption)
        return result.status is ResultStatus.PENDING_APPROVAL and not interruption.answered

    async def reject(self, action: Action) -> None:
        """Put on record that the run's state rejected a call, which therefore is not made."""
        if self.runtime.check(action).status is ResultStatus.PENDING_APPROVAL:
            await self.runtime.arun(action, _not_now, approval_handler=Asking(self.runtime, says=False))

    async def run(
        self,
        context: Any,
        action: Action,
        execute: Callable[[dict[str, Any]], Awaitable[Any]],
        *,
        can_edit: bool = True,
        interruptible: bool = True,
    ) -> Result:
        """Govern one call.

        Args:
            context: The run's, or the tool call's.
            action: The call.
            execute: Runs the tool with the arguments that were judged.
            can_edit: Whether it does what they say, also if an approver changed them.
            interruptible: Whether the SDK can be made to interrupt the run for this kind of tool.
        """
        call_id = action.labels.get("tool_call_id")
        asking = None
        if self.interrupts and interruptible and call_id is not None:
            asking = Asking(self.runtime, says=run_state_says(context, call_id))
        return await self.runtime.arun(action, execute, can_edit=can_edit, approval_handler=asking)


def conversation() -> str | None:
    """The conversation that the run belongs to by its trace (``RunConfig.group_id``); None where none is given."""
    trace = get_current_trace()
    group = getattr(trace, "group_id", None)
    return group if isinstance(group, str) and group else None


def _not_now(_arguments: dict[str, Any]) -> NoReturn:
    raise RuntimeError(
        "the policy changed while the run was about to be interrupted; the call is judged when it is made"
    )
