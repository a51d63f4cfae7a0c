"""What came back from a person: only an explicit yes to the very request is a yes, and an edit makes a new call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_core.errors import ApprovalError
from aegis_core.record import now_us
from aegis_core.request import ApprovalAnswer
from aegis_core.result import ResultStatus

if TYPE_CHECKING:
    from aegis_core.action import Action
    from aegis_core.request import ApprovalRequest

__all__ = ["edited", "why_not"]


def why_not(
    answer: object, error: BaseException | None, request: ApprovalRequest, *, can_edit: bool
) -> tuple[ResultStatus, str] | None:
    """Why what came back is not a yes, or None if it is one. Anything unexpected is a no.

    Args:
        answer: What the handler returned.
        error: What it raised instead.
        request: What was asked.
        can_edit: Whether the door can run the tool with other arguments than the caller gave.

    Returns:
        How the call ends, and why, in words for people.
    """
    rule = request.decision.matched_rule
    if isinstance(error, TimeoutError):
        waited = f"within {request.timeout:g} s"
        return ResultStatus.DENIED, f"denied (timeout): nobody answered the approval required by rule {rule!r} {waited}"
    if error is not None:
        if not isinstance(error, Exception):
            return ResultStatus.CANCELLED, "cancelled while waiting for approval"
        detail = (
            str(error) if isinstance(error, ApprovalError) else f"the approval handler raised {type(error).__name__}"
        )
        return ResultStatus.DENIED, f"denied: no approval could be obtained for rule {rule!r}: {detail}"
    if not isinstance(answer, ApprovalAnswer):
        return ResultStatus.DENIED, f"denied: the approval handler answered {type(answer).__name__}, which is not a yes"
    if answer.approved is None and answer.request_id == request.id:
        why = answer.reason or f"approval required by rule {rule!r} is pending"
        return ResultStatus.PENDING_APPROVAL, why
    if answer.approved is not True:
        by = f" by {answer.approver}" if answer.approver else ""
        return ResultStatus.DENIED, f"denied{by}: {answer.reason or f'approval required by rule {rule!r} was refused'}"
    flaw = _flaw(answer, request, can_edit=can_edit)
    return None if flaw is None else (ResultStatus.DENIED, f"denied: {flaw}")


def _flaw(answer: ApprovalAnswer, request: ApprovalRequest, *, can_edit: bool) -> str | None:
    """Why a yes does not count for this request, or None if it does."""
    if not answer.is_yes_to(request):
        return "the answer belongs to another request"
    if now_us() > request.expires_at:
        return "the answer came after the request had expired"
    if answer.approver is not None and answer.approver == request.action.agent:
        return f"{answer.approver!r} asked for this call and cannot approve it"
    if answer.grant is not None and not request.action.bindable:
        return f"a stored approval cannot cover arguments passed by reference ({', '.join(request.opaque)})"
    if answer.edits and not can_edit:
        return "the approver changed the arguments, and this integration cannot pass them on"
    if answer.edits:
        try:
            edited(request.action, answer)
        except ApprovalError as problem:
            return str(problem)
    return None


def edited(action: Action, answer: ApprovalAnswer) -> Action:
    """The action with an approver's edits: a new action, to be judged from the start.

    Raises:
        ApprovalError: An edit names no argument that the call has.
    """
    arguments: Any = action.arguments()
    for name, value in answer.edits.items():
        # A name, or a JSON Pointer (RFC 6901) to a value inside an argument.
        path = (
            [part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/")] if name[:1] == "/" else [name]
        )
        place = arguments
        try:
            for part in path[:-1]:
                place = place[_key(place, part)]
            last = _key(place, path[-1])
            _ = place[last]
            place[last] = value
        except (LookupError, TypeError, ValueError):
            raise ApprovalError(f"the edit of {name!r} names no argument of this call") from None
    return action.replace(params=arguments)


def _key(place: Any, part: str) -> Any:
    if type(place) is dict:
        return part
    if type(place) is list:
        return int(part)
    raise TypeError("an edit goes into what was copied, never into an object that travels by reference")
