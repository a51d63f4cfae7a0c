"""`AegisCallbackHandler`: a gate in front of every tool of a run, for programs whose tools cannot be replaced by governed ones."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import ToolMessage

from aegis_core.action import Action
from aegis_core.errors import ActionRefused, AegisError
from aegis_core.result import Result, ResultStatus

if TYPE_CHECKING:
    from uuid import UUID

    from aegis_core.drive import Call
    from aegis_core.runtime import Runtime

__all__ = ["AegisCallbackHandler"]

_GATE = "on_tool_start"


class AegisCallbackHandler(BaseCallbackHandler):
    """Governs every tool call of the runs it is given to: ``invoke(..., config={"callbacks": [handler]})``.

    A callback can keep a tool from starting and see how it ended, and no more: it judges the arguments as the model wrote them, without the tool's
    defaults; it can change neither arguments nor results; a refusal is raised (`ActionRefused`) past ``handle_tool_error`` and ends the run, unless the
    program handles tools' errors. It cannot see ``tool.func(...)``. Where tools can be wrapped, `govern_tool` and `AegisMiddleware` do all of that.

    In a coroutine it judges, and waits for approvals, on the event loop.

    Args:
        runtime: Judges the calls, asks people, writes the trail.
        target: The name for the policy (``match.target``).

    Raises:
        TypeError: If a subclass has made it one that LangChain would run without heeding its refusals.
        ValueError: If the policy has rules about results, which a callback cannot apply.
    """

    raise_error = True
    run_inline = True

    def __init__(self, runtime: Runtime, *, target: str = "langchain") -> None:
        super().__init__()
        self._runtime = runtime
        self._target = target
        self._calls: dict[UUID, Call] = {}
        _refuse_unsafe(self)
        self._refuse_result_rules()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("raise_error", "run_inline", _GATE):
            raise AttributeError(f"{name} of {type(self).__name__} cannot be changed: tools would run that were refused")
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
        try:
            self._begin(serialized["name"], inputs, run_id, metadata or {}, kwargs.get("tool_call_id"))
        except NotImplementedError as error:  # LangChain logs this one and starts the tool
            raise AegisError(f"the call could not be judged and does not run: {error!r}") from error

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Record how it ended."""
        call = self._calls.pop(run_id, None)
        if call is not None:
            failed = isinstance(output, ToolMessage) and output.status == "error"
            value = output.content if isinstance(output, ToolMessage) else output
            call.finish(value, failed=output.text or "the tool reported an error" if failed else None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record how it ended."""
        call = self._calls.pop(run_id, None)
        if call is not None:
            call.fail(error)

    def _begin(
        self, tool: str, inputs: dict[str, Any] | None, run_id: UUID, metadata: dict[str, Any], tool_call_id: str | None
    ) -> None:
        self._refuse_result_rules()
        thread, agent = metadata.get("thread_id"), metadata.get("lc_agent_name")
        labels = {"run_id": str(run_id), **({} if tool_call_id is None else {"tool_call_id": tool_call_id})}
        action = Action(
            tool,
            self._target,
            inputs,
            agent=None if agent is None else str(agent),
            session_id=None if thread is None else str(thread),
            labels=labels,
        )
        if inputs is None:
            why = "was called with a bare text, and a callback cannot tell which argument that is; use govern_tool"
            raise ActionRefused(Result(action, ResultStatus.BLOCKED, error=f"{tool}: {why}. The call did not run."))
        call = self._runtime.begin(action)
        if call.result is not None:
            raise ActionRefused(call.result)
        self._calls[run_id] = call

    def _refuse_result_rules(self) -> None:
        if getattr(self._runtime.policy, "results", ()):
            raise ValueError(
                "the policy has `results` rules, and a callback cannot alter results: use govern_tool or AegisMiddleware"
            )


def _refuse_unsafe(handler: AegisCallbackHandler) -> None:
    """Refuse the shapes in which LangChain starts the tool although the gate raised, or never asks it."""
    cls = type(handler)
    if isinstance(handler, AsyncCallbackHandler) or inspect.iscoroutinefunction(getattr(handler, _GATE)):
        raise TypeError(f"{cls.__name__} is async: LangChain swallows its refusals in front of sync tools")
    if handler.raise_error is not True:
        raise TypeError(f"{cls.__name__}.raise_error is not True: LangChain would only log its refusals")
    if handler.run_inline is not True:
        raise TypeError(f"{cls.__name__}.run_inline is not True: the tool would not run in the context of the governed call")
    if handler.ignore_agent:
        raise TypeError(f"{cls.__name__}.ignore_agent is true: LangChain would not ask it about tools")
