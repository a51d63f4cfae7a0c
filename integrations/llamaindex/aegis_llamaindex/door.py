"""A LlamaIndex tool call's way through the runtime: as an Action of the run and agent that the workflow names."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from workflows.plugins.basic import get_current_run_id  # pyright: ignore[reportMissingTypeStubs]
from workflows.runtime.types.results import (  # pyright: ignore[reportMissingTypeStubs]
    InternalContextVar,
    StepWorkerStateContextVar,
    WaitingForEvent,
)

from aegis_core.action import Action
from aegis_core.call import Reply
from aegis_core.decision import Approval

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aegis_core.request import ApprovalRequest
    from aegis_core.result import Result
    from aegis_core.runtime import Runtime

__all__ = ["Door"]

_WAITING = 256
"""Approved calls remembered while their tool waits; the oldest is forgotten first, and then asked about again."""


class Door:
    """Takes the calls of one tool through a runtime.

    A tool that waits for an event (``ctx.wait_for_event``) is stopped, and called again from its start when the event
    is there. That is another execution, judged and recorded as one; but it is not put to a person again.

    Attributes:
        runtime: Governs the calls.
        target: The tool's target for the policy.
    """

    def __init__(self, runtime: Runtime, target: str) -> None:
        self.runtime = runtime
        self.target = target
        self._waiting: OrderedDict[tuple[str, str], _Approved] = OrderedDict()

    def __deepcopy__(self, _memo: object) -> Door:
        return self

    @staticmethod
    def reply(value: Any, *, failed: str | None) -> Any:
        """What a tool returned, marked as a failure if it is one."""
        return value if failed is None else Reply(value, failed=failed)

    def call(self, name: str, params: Mapping[str, Any], tool: Callable[[dict[str, Any]], Any]) -> Result:
        """Govern one call."""
        place = _place()
        action = self._action(name, params, place, place.agent)
        result = self.runtime.run(action, tool, approval_handler=self._going_on(place))
        self._note(place, result)
        return result

    async def acall(
        self, name: str, params: Mapping[str, Any], tool: Callable[[dict[str, Any]], Awaitable[Any]]
    ) -> Result:
        """`call` from a coroutine."""
        place = _place()
        action = self._action(name, params, place, await _agent(place))
        result = await self.runtime.arun(action, tool, approval_handler=self._going_on(place))
        self._note(place, result)
        return result

    def _action(self, name: str, params: Mapping[str, Any], place: _Place, agent: str | None) -> Action:
        _, _, session = self.runtime.principal()
        labels = {"run_id": place.run_id, "tool_call_id": place.tool_call_id}
        return Action(
            name,
            self.target,
            params,
            agent=agent,
            # Where the program has entered no session of its own, a run is one.
            session_id=place.run_id if session == self.runtime.session_id else None,
            labels={label: value for label, value in labels.items() if value is not None},
        )

    def _going_on(self, place: _Place) -> _GoingOn | None:
        approved = self._waiting.pop(place.key, None) if place.key is not None else None
        return None if approved is None else _GoingOn(self.runtime, approved)

    def _note(self, place: _Place, result: Result) -> None:
        """Remember an approved call that was stopped to wait for an event."""
        decision = result.decision
        if place.key is None or decision is None or not isinstance(result.exception, WaitingForEvent):
            return
        if decision.approval is Approval.APPROVE and self.runtime.enforced:
            while len(self._waiting) >= _WAITING:
                self._waiting.popitem(last=False)
            self._waiting[place.key] = _Approved(self.runtime.bind(result.action, decision), str(result.call_id))


class _Approved(NamedTuple):
    """A yes that was given: to what, and for which call."""

    digest: str
    call_id: str


class _GoingOn:
    """Asks about a call that goes on after it waited: what a person said yes to is not asked again."""

    def __init__(self, runtime: Runtime, approved: _Approved) -> None:
        self._handler = runtime.approval_handler
        self._approved = approved

    def ask(self, request: ApprovalRequest) -> Any:
        if request.digest != self._approved.digest:
            return self._handler.ask(request)
        call_id = self._approved.call_id
        return request.approve(approver=f"call:{call_id}", reason=f"goes on with call {call_id}, which was approved")


class _Place(NamedTuple):
    """Where a call is made: what the workflow's step knows of it. Outside of a workflow, nothing."""

    run_id: str | None = None
    tool_call_id: str | None = None
    agent: str | None = None
    context: Any = None

    @property
    def key(self) -> tuple[str, str] | None:
        """Names the model's call, across the executions of its step."""
        return None if self.run_id is None or self.tool_call_id is None else (self.run_id, self.tool_call_id)


def _place() -> _Place:
    step, reference = StepWorkerStateContextVar.get(None), InternalContextVar.get(None)
    if step is None:
        return _Place()
    context = reference() if reference is not None else None
    workflow = getattr(getattr(context, "_face", None), "_workflow", None)
    return _Place(
        run_id=get_current_run_id(),
        tool_call_id=getattr(step.event, "tool_id", None),
        agent=getattr(workflow, "name", None),
        context=context,
    )


async def _agent(place: _Place) -> str | None:
    """The agent that calls: the workflow is one itself, or keeps the name of the present one."""
    if place.agent is not None or place.context is None:
        return place.agent
    name = await place.context.store.get("current_agent_name", default=None)
    return name if isinstance(name, str) else None
