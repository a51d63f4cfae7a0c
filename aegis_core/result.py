"""The Result: how one governed call ended."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, NoReturn, final

from aegis_core.errors import ActionRefused, AegisError

if TYPE_CHECKING:
    from aegis_core.action import Action
    from aegis_core.decision import Decision

__all__ = ["Result", "ResultStatus", "result_of"]


class ResultStatus(enum.StrEnum):
    """How a call ended.

    ``success`` and ``failed``: the tool ran. ``blocked``: policy refused. ``denied``: a person refused, or nobody said
    yes in time. ``pending_approval``: a person has yet to answer; nothing ran. ``cancelled``: stopped by the caller.
    ``unknown``: the tool may have run and nobody saw it end; found in the trail after a crash.
    """

    SUCCESS = "success"
    FAILED = "failed"
    BLOCKED = "blocked"
    DENIED = "denied"
    PENDING_APPROVAL = "pending_approval"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


_SUCCESS = ResultStatus.SUCCESS
_REFUSED = frozenset((ResultStatus.BLOCKED, ResultStatus.DENIED, ResultStatus.PENDING_APPROVAL))


class _Fields:
    """What a Result is made of, while it is being made (as in `action`: cheaper than ``object.__setattr__``)."""

    __slots__ = ("action", "call_id", "data", "decision", "error", "exception", "request_id", "status")

    action: Action
    status: ResultStatus
    data: Any
    error: str | None
    exception: BaseException | None
    decision: Decision | None
    call_id: str | None
    request_id: str | None


@final
class Result(_Fields):
    """How one governed call ended. Immutable.

    Args:
        action: The call, as it was judged.
        status: How it ended.
        data: What the tool returned, if it ran and succeeded.
        error: One sentence saying why not, fit for a model to read; for a failed tool, the text of its exception.
        exception: The tool's own exception object, if it raised.
        decision: The policy's decision, where there was one.
        call_id: The call's id on the audit trail.
        request_id: The approval request's id, where a person was asked.

    Raises:
        ValueError: If ``status`` is none of `ResultStatus`.
    """

    __slots__ = ()

    def __new__(  # noqa: D102 - the class's docstring says it
        cls,
        action: Action,
        status: ResultStatus,
        data: Any = None,
        error: str | None = None,
        *,
        exception: BaseException | None = None,
        decision: Decision | None = None,
        call_id: str | None = None,
        request_id: str | None = None,
    ) -> Result:
        known = status if status.__class__ is ResultStatus else ResultStatus(status)
        return result_of(action, known, data, error, exception, decision, call_id, request_id)

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("Result cannot be derived from; what a tool has to say belongs in its data")

    @property
    def ok(self) -> bool:
        """Whether the call ran and succeeded (for ``check``: could run right now without anyone being asked)."""
        return self.status is _SUCCESS

    @property
    def refused(self) -> bool:
        """Whether the call was kept from running: blocked, denied, or waiting for a person."""
        return self.status in _REFUSED

    def unwrap(self) -> Any:
        """What the tool returned, or its own exception.

        Raises:
            ActionRefused: If the call was not run.
            AegisError: If the tool reported failure without raising.
            BaseException: The tool's own exception, the same object, if it raised one.
        """
        if self.status is _SUCCESS:
            return self.data
        if self.exception is not None:
            raise self.exception
        if self.status is ResultStatus.FAILED:
            raise AegisError(self.error or "the tool reported a failure without saying why")
        raise ActionRefused(self)

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: getattr(self, name) for name in _Fields.__slots__}
        return (_rebuild, (fields,))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Result cannot be changed: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Result cannot be changed")

    def __repr__(self) -> str:
        return f"Result({self.action.type!r}, status={self.status.value!r}, error={self.error!r})"


def result_of(
    action: Action,
    status: ResultStatus,
    data: Any,
    error: str | None,
    exception: BaseException | None,
    decision: Decision | None,
    call_id: str | None,
    request_id: str | None = None,
) -> Result:
    """A Result, at half the price of calling the class."""
    fields: Any = _Fields()
    fields.action = action
    fields.status = status
    fields.data = data
    fields.error = error
    fields.exception = exception
    fields.decision = decision
    fields.call_id = call_id
    fields.request_id = request_id
    fields.__class__ = Result
    return fields  # type: ignore[no-any-return]


def _rebuild(fields: dict[str, Any]) -> Result:
    return Result(**fields)
