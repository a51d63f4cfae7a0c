"""An approval handler that follows a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_core.request import ApprovalAnswer, ApprovalRequest

__all__ = ["ScriptedApprovalHandler"]


class ScriptedApprovalHandler:
    """Answers requests from a list, in order; past its end, no.

    Args:
        answers: Per request: True, False, an exception to raise, or a function of the request returning an answer.

    Attributes:
        requests: Every request that was put, in order.
    """

    def __init__(self, answers: Iterable[Any] = ()) -> None:
        self._answers = list(answers)
        self.requests: list[ApprovalRequest] = []

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Answer from the script."""
        self.requests.append(request)
        answer = self._answers.pop(0) if self._answers else False
        if isinstance(answer, BaseException):
            raise answer
        if answer is True:
            return request.approve(approver="script")
        if answer is False:
            return request.deny(approver="script")
        return answer(request)  # type: ignore[no-any-return]
