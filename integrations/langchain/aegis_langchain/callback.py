"""`AegisCallbackHandler`: a gate in front of every tool of a run, where the tools themselves cannot be replaced."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import ToolMessage

from aegis_core.action import Action
from aegis_core.errors import ActionRefused, AegisError
from aegis_core.record import Event
from aegis_core.result import Result, ResultStatus
from aegis_langchain.door import TARGET, facts

if TYPE_CHECKING:
    from uuid import UUID

    from aegis_core.drive import Call
    from aegis_core.runtime import Runtime

__all__ = ["AegisCallbackHandler"]


class AegisCallbackHandler(BaseCallbackHandler):
    """Governs every tool call of the runs it is given to: ``invoke(..., config={"callbacks": [handler]})``.

    A callback can keep a tool from starting and see how it ended, and no more. It judges the arguments as the model
    wrote them, without the tool's defaults; it can change neither arguments nor results; it hears nothing of a
    cancellation. A refusal is raised (`ActionRefused`) past the tool's ``handle_tool_error``, and ends the run unless
    the program handles it (``ToolErrorMiddleware``, ``ToolNode(handle_tool_errors=True)``). In a coroutine it works on
    the event loop, and waits for approvals there. Where tools can be wrapped, `govern_tool` and `AegisMiddleware` have
    none of these limits.

    Args:
        runtime: Judges the calls, asks people, writes the trail.
        target: The name for the policy (``match.target``).

    Raises:
        TypeError: If a subclass has made it one whose refusals LangChain would not heed.
        PolicyError: If the policy has rules about results, which a callback cannot keep.
    """

    raise_error = True
    run_inline = True

    def __init__(self, runtime: Runtime, *, target: str = TARGET) -> None:
        super().__init__()
        _refuse_unsafe(self)
        runtime.declare_unable_to_alter_results(type(self).__name__)
        self._runtime = runtime
        self._target = target
        self._calls: dict[UUID, Call] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(BaseCallbackHandler, name):
            raise AttributeError(f"{name!r} of a {type(self).__name__} cannot be set: refused tools might run")
        super().__setattr__(name, value)

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Govern the call up to the tool.

        Raises:
            ActionRefused: The tool must not start.
            AuditError: The call could not be written down and must not start.
        """
        params = {"input": input_str} if inputs is None else inputs
        known = facts(metadata or {}, metadata or {}, run_id, kwargs.get("tool_call_id"))
        action = Action(serialized["name"], self._target, params, **known)
        if inputs is None and self._runtime.enforced:
            raise ActionRefused(self._unnamed(action))
        try:
            call = self._runtime.begin(action)
        except NotImplementedError as error:  # LangChain would log this one, and start the tool
            raise AegisError(f"{action.type}: the call could not be judged and does not run: {error!r}") from error
        if call.result is not None:
            raise ActionRefused(call.result)
        self._calls[run_id] = call

    def on_tool_end(self, output: Any, *, run_id: UUID, **_kwargs: Any) -> None:
        """Record how it ended."""
        call = self._calls.pop(run_id, None)
        if call is None:
            return
        if isinstance(output, ToolMessage):
            failed = output.text or "the tool reported an error" if output.status == "error" else None
            call.finish(output.content, failed=failed)
        else:
            call.finish(output)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_kwargs: Any) -> None:
        """Record how it ended."""
        call = self._calls.pop(run_id, None)
        if call is not None:
            call.fail(error)

    def _unnamed(self, action: Action) -> Result:
        """Refuse a call whose argument no rule can be sure to have looked at."""
        why = "it was called with a bare text, and a callback cannot tell which argument that is; use govern_tool"
        self._runtime.record(Event("call_refused", data={"type": action.type, "target": action.target, "reason": why}))
        return Result(action, ResultStatus.BLOCKED, error=f"{action.type}: {why}. The call did not run.")


def _refuse_unsafe(handler: AegisCallbackHandler) -> None:
    """Refuse the shapes in which LangChain starts the tool although the gate raised, or never asks it."""
    cls: type = type(handler)
    name = cls.__name__
    if issubclass(cls, AsyncCallbackHandler) or inspect.iscoroutinefunction(handler.on_tool_start):
        raise TypeError(f"{name} is async: LangChain swallows what it raises before a sync tool, and runs the tool")
    if handler.raise_error is not True:
        raise TypeError(f"{name}.raise_error is not True: LangChain would log its refusals and run the tools")
    if handler.run_inline is not True:
        raise TypeError(f"{name}.run_inline is not True: tools would not run in the context of their governed call")
    if handler.ignore_agent:
        raise TypeError(f"{name}.ignore_agent is true: LangChain would not ask it about tools")
