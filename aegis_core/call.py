"""One governed call. Read this first.

Only four things in a governed call touch the world: asking a person, writing something down, running the tool, writing
down how it ended. So the call is a generator that does none of them. It yields them as steps (`Ask`, `Write`,
`Execute`; and `Recall`, where a rule asks what was called before), is sent an `Outcome` for each, and returns a
`Result`. There is no I/O here, no async, no threads, no clock beyond the record's times; `drive` performs the steps,
synchronously or asynchronously, and nothing else differs between the two.

The rules, in order:

1. What is judged is the action's snapshot; the tool later gets a fresh copy of exactly that snapshot.
2. Only an explicit yes, bound to this very request, is a yes. Then the call is judged again by the policy now in force.
3. A refusal is on record before the caller hears of it. If even that fails, the refusal stands.
4. The intent is on record before the tool runs, in one transaction with what it uses up. If that fails, the tool does
   not run.
5. What the tool returned goes through the policy's result rules before anybody sees it.
6. The outcome is recorded, also of a call that was cancelled; then a cancellation goes on its way.

Outcomes are sent in; exceptions are never thrown into the generator (``StopIteration`` and ``GeneratorExit`` would be
lost in it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aegis_core.answers import edited, why_not
from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.record import BudgetExhausted, GrantUnavailable, Intent, Record, Refusal, new_id, now_us
from aegis_core.record import Outcome as OutcomeRecord
from aegis_core.request import ApprovalAnswer, ApprovalRequest
from aegis_core.result import Result, ResultStatus, result_of
from aegis_core.snapshot import excerpt
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aegis_core.action import Action
    from aegis_core.decision import Caution
    from aegis_core.redact import Redactor

__all__ = [
    "Ask",
    "Execute",
    "Outcome",
    "Recall",
    "Reply",
    "Step",
    "Terms",
    "describe",
    "ending",
    "governed_call",
    "refused_call",
]

# Looking an enum's member up costs as much as two calls (until Python 3.12).
_BLOCK, _APPROVE, _SUCCESS = Approval.BLOCK, Approval.APPROVE, ResultStatus.SUCCESS

MAX_ROUNDS = 8
"""How often one call may be asked about or judged anew (policy changed, grant used up, edited) before it is denied."""


# Steps and outcomes are plain dataclasses, though nobody changes them: frozen ones take three times as long to make.


class Ask(NamedTuple):
    """Put the request to a person. The outcome's value is whatever came back."""

    request: ApprovalRequest


class Execute(NamedTuple):
    """Run the tool with a fresh copy of the intended action's params. The outcome's value may be a `Reply`."""

    intent: Intent


class Recall(NamedTuple):
    """See what the trail knows of the session, before the call is judged. Its failure is the judgement's doubt."""

    session_id: str


Step = Ask | Record | Execute | Recall
"""What a call wants done. A record is to be written down; its outcome's error says that it is not."""


@dataclass(slots=True)
class Outcome:
    """What became of a step: a value, or an error."""

    value: Any = None
    error: BaseException | None = None


class Reply(NamedTuple):
    """What a tool returned that reports failure in what it returns instead of raising (MCP's ``isError``, an executor).

    Attributes:
        value: What the caller gets, unchanged.
        failed: Why it failed, or None if it did not.
        exception: The exception behind the failure, if there is one.
        claimed_by: Who says so: ``tool``, or the executor's class name.
    """

    value: Any
    failed: str | None = None
    exception: BaseException | None = None
    claimed_by: str = "tool"


class Terms(Protocol):
    """What a call needs to know of its surroundings. All of it is pure to ask."""

    enforced: bool
    """False in observe mode: decide and record, ask nobody, let everything run."""
    approval_timeout: float | None
    """Seconds a call waits for an answer."""
    request_lifetime: float
    """Seconds after which an answer to a request is refused."""

    @property
    def redactor(self) -> Redactor | None:
        """Masks secrets for people who are asked; None for the default."""
        ...

    @property
    def recalls(self) -> bool:
        """Whether judging a call takes what the trail knows of its session."""
        ...

    def judge(self, action: Action) -> tuple[Decision, str]:
        """The decision under the policy in force now, and that policy's digest."""
        ...

    def bind(self, action: Action, decision: Decision) -> str:
        """What an approval of this action, asked for by these rules, binds to."""
        ...

    def exhausted(self, budget: BudgetExhausted) -> None:
        """Take note that a budget is used up, so that the next `judge` knows."""
        ...

    def screen(self, action: Action, value: Any) -> tuple[Any, tuple[str, ...]]:
        """What the caller may get of what the tool returned, and the result rules that changed it."""
        ...

    def learn(self, action: Action, value: Any) -> None:
        """Take note of what a call returned, so that later calls of its session can be judged by it."""
        ...


def governed_call(
    call_id: str,
    action: Action,
    terms: Terms,
    *,
    can_edit: bool = True,
    caution: Callable[[], Caution | None] | None = None,
    resumed: tuple[ApprovalRequest, ApprovalAnswer] | None = None,
) -> Generator[Step, Outcome, Result]:
    """Govern one call: decide, ask, write, run, write.

    Args:
        call_id: The call's id on the trail.
        action: The call.
        terms: Its surroundings.
        can_edit: Whether the door can run the tool with other arguments than the caller gave.
        caution: What the door knows of the tool, asked anew whenever the call is judged.
        resumed: What the call was asked about in another life of it, and the durable answer: it runs on that or not at
            all, so that it runs once however often it is resumed.

    Returns:
        How it ended, also for a failed tool.

    Raises:
        AuditError: The intent could not be written down; the tool did not run.
        BaseException: A cancellation, after it was recorded.
    """
    answer: ApprovalAnswer | None = None  # the last yes, for the record
    asked = None if resumed is None else resumed[0]  # what it said yes to, if that still is the call
    reply = None if resumed is None else Outcome(resumed[1])  # an answer that is yet to be heard
    for _ in range(MAX_ROUNDS):
        if terms.recalls:
            yield from _recall(action)
        decision, policy_digest = terms.judge(action) if caution is None else _judge(action, terms, caution)
        if terms.enforced and decision.approval is _BLOCK:
            status, reason = ResultStatus.BLOCKED, decision.reason
            refusal = Refusal(call_id, now_us(), action, decision, policy_digest, status, reason, answer)
            return (yield from _refuse(refusal))
        if reply is None and terms.enforced and decision.approval is _APPROVE and not _stands(asked, decision):
            asked = _request(call_id, action, decision, policy_digest, terms)
            reply = yield Ask(asked)
        if reply is not None:
            assert asked is not None
            no = why_not(reply.value, reply.error, asked, can_edit=can_edit)
            if no is not None:
                status, reason = no
                given, name = _given(reply, asked)
                refusal = Refusal(call_id, now_us(), action, decision, policy_digest, status, reason, given, name)
                return (yield from _refuse(refusal, reply.error))
            answer, reply = reply.value, None
            assert answer is not None
            action, asked = _as_answered(action, asked, answer)
            continue  # judge again, by the policy now in force
        # A yes stays on the record (and its grant is consumed) also where the policy in force now asks nobody any more.
        intent = Intent(call_id, now_us(), action, decision, policy_digest, terms.enforced, answer)
        written = yield intent
        if written.error is None:
            started = now_us()
            outcome = yield Execute(intent)
            record, result = _ended(intent, outcome, started, terms)
            written = yield record
            _passes_on(outcome, written)
            return result
        if isinstance(written.error, GrantUnavailable):
            if resumed is not None:
                status, reason = ResultStatus.DENIED, "denied: its approval was used up, was withdrawn or has lapsed"
                refusal = Refusal(call_id, now_us(), action, decision, policy_digest, status, reason, answer)
                return (yield from _refuse(refusal))
            answer, asked = None, None
        elif isinstance(written.error, BudgetExhausted):
            terms.exhausted(written.error)
        else:
            if not isinstance(written.error, Exception):  # cancelled while the intent was on its way to disk
                yield _cancelled(intent)
            raise written.error
    decision, policy_digest = terms.judge(action) if caution is None else _judge(action, terms, caution)
    reason = f"the call was judged {MAX_ROUNDS} times without coming to rest; try again"
    refusal = Refusal(call_id, now_us(), action, decision, policy_digest, ResultStatus.DENIED, reason, answer)
    return (yield from _refuse(refusal))


def _judge(action: Action, terms: Terms, caution: Callable[[], Caution | None]) -> tuple[Decision, str]:
    """The decision by the policy in force and by what the door knows, and that policy's digest."""
    decision, policy_digest = terms.judge(action)
    said = caution()
    return (decision if said is None else decision.under(said)), policy_digest


def _passes_on(outcome: Outcome, written: Outcome) -> None:
    """Let a cancellation go on its way, now that how the call ended is on record.

    The effect has happened: a failure to write is dealt with below us, and the caller gets the result.
    """
    for error in (outcome.error, written.error):
        if error is not None and not isinstance(error, Exception):
            raise error


def _recall(action: Action) -> Generator[Step, Outcome, None]:
    """Before a call is judged: see what the trail knows now. Its failure is the judgement's doubt."""
    if action.session_id is not None:
        recalled = yield Recall(action.session_id)
        if recalled.error is not None and not isinstance(recalled.error, Exception):
            raise recalled.error  # cancelled, before anything was decided


def _request(call_id: str, action: Action, decision: Decision, policy_digest: str, terms: Terms) -> ApprovalRequest:
    created, lifetime = now_us(), terms.request_lifetime
    return ApprovalRequest(
        id=new_id(),
        call_id=call_id,
        action=action,
        decision=decision,
        digest=terms.bind(action, decision),
        policy_digest=policy_digest,
        created_at=created,
        expires_at=created + int(lifetime * 1e6),
        timeout=lifetime if terms.approval_timeout is None else min(terms.approval_timeout, lifetime),
        opaque=action.opaque_params(),
        redactor=terms.redactor,
    )


def _given(reply: Outcome, asked: ApprovalRequest) -> tuple[ApprovalAnswer | None, str]:
    """What was answered, for the record, and the id of what it answers: the durable request's, if there is one."""
    given = reply.value if isinstance(reply.value, ApprovalAnswer) else None
    return given, asked.id if given is None or given.grant is None else given.grant


def _as_answered(
    action: Action, asked: ApprovalRequest, answer: ApprovalAnswer
) -> tuple[Action, ApprovalRequest | None]:
    """What a yes is for. A yes with edits goes on record with the new call, but stands for nothing it needs."""
    if not answer.edits:
        return action, asked
    other = edited(action, answer)
    return (action, asked) if other.canonical_params() == action.canonical_params() else (other, None)


def _stands(asked: ApprovalRequest | None, decision: Decision) -> bool:
    """Whether the yes to what was asked covers the decision: the same requirement by the same rules."""
    return asked is not None and asked.decision.rules_digest == decision.rules_digest


def refused_call(
    call_id: str, action: Action, reason: str, rule: str, policy_digest: str
) -> Generator[Step, Outcome, Result]:
    """Refuse a call for a reason that no policy knows of, on record.

    Args:
        call_id: The call's id on the trail.
        action: The call.
        reason: Why, for people and models.
        rule: What stands in the place of a rule's name.
        policy_digest: The policy in force.
    """
    decision = Decision(_BLOCK, RiskLevel.HIGH, rule, reason)
    refusal = Refusal(call_id, now_us(), action, decision, policy_digest, ResultStatus.BLOCKED, reason)
    return (yield from _refuse(refusal))


def _refuse(refusal: Refusal, error: BaseException | None = None) -> Generator[Step, Outcome, Result]:
    """Record a refusal, then tell the caller. That it cannot be recorded is loud (the trail logs it), no more."""
    written = yield refusal
    for cancelled in (error, written.error):
        if cancelled is not None and not isinstance(cancelled, Exception):
            raise cancelled
    return Result(
        refusal.action,
        refusal.status,
        error=_sentence(refusal),
        decision=refusal.decision,
        call_id=refusal.call_id,
        request_id=refusal.request_id,
    )


def _sentence(refusal: Refusal) -> str:
    """The refusal as a model should read it: what, why, and that trying again changes nothing."""
    sentence = f"{refusal.action.type}: {refusal.reason}. The call did not run."
    if refusal.status is ResultStatus.PENDING_APPROVAL:
        sentence += " Call again with the same arguments once it is approved."
    return visible(sentence)


def _ended(intent: Intent, outcome: Outcome, started: int, terms: Terms) -> tuple[OutcomeRecord, Result]:
    """How a call that ran has ended, for the record and for the caller."""
    at = now_us()
    action, decision, call_id = intent.action, intent.decision, intent.call_id
    status, data, error, exception, claimed_by = ending(outcome)
    data, changes = terms.screen(action, data)
    if error is not None and exception is None:  # the tool's own words, like its data
        error, more = terms.screen(action, error)
        changes = tuple(dict.fromkeys(changes + more))
    if status is _SUCCESS:
        terms.learn(action, data)
    kind = None if exception is None else type(exception).__name__
    record = OutcomeRecord(
        call_id, at, status, at - started, action, decision, excerpt(data), error, claimed_by, changes, kind
    )
    return record, result_of(action, status, data, error, exception, decision, call_id)


def ending(outcome: Outcome) -> tuple[ResultStatus, Any, str | None, BaseException | None, str]:
    """What became of the tool: status, data, error, exception, and who says so."""
    value, exception = outcome.value, outcome.error
    if exception is not None:
        if isinstance(exception, Exception):
            return ResultStatus.FAILED, None, describe(exception), exception, "tool"
        running = getattr(exception, "aegis_still_running", False)
        return (
            (ResultStatus.UNKNOWN if running else ResultStatus.CANCELLED),
            None,
            describe(exception),
            exception,
            "tool",
        )
    if type(value) is not Reply:  # a stranger's object may answer anything, or raise, when asked for its class
        return _SUCCESS, value, None, None, "tool"
    status = ResultStatus.SUCCESS if value.failed is None else ResultStatus.FAILED
    return status, value.value, value.failed, value.exception, value.claimed_by


def _cancelled(intent: Intent) -> OutcomeRecord:
    return OutcomeRecord(
        intent.call_id,
        now_us(),
        ResultStatus.CANCELLED,
        0,
        intent.action,
        intent.decision,
        error="cancelled before the tool ran",
    )


def describe(error: BaseException) -> str:
    """An exception as one line of text; never raises, whatever its ``__str__`` does."""
    name = type(error).__name__
    try:
        text = str(error)
        return f"{name}: {text}" if text else name
    except Exception:  # noqa: BLE001 - a stranger's __str__ may raise anything
        return name
