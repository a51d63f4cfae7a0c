"""Records as rows, and rows as entries: the one way anything gets onto a trail, and the one way it is read back.

Every sink stores or prints what `render` returns, so the redactor stands in front of all of them. A row holds integers,
text and nulls only; structured parts are JSON text. Rendering never raises, whatever is in a record.
"""

from __future__ import annotations

import datetime
import functools
from typing import TYPE_CHECKING, Any

import orjson

from aegis_core.record import Event, Intent, Outcome, Refusal
from aegis_core.redact import RECORD, REDACTOR, Bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_core.record import Record
    from aegis_core.redact import Redactor

__all__ = [
    "COLUMNS",
    "EVENT",
    "OPENING",
    "OUTCOME",
    "Row",
    "entry",
    "filled",
    "note",
    "render",
    "session_name",
    "timestamp",
]

Row = tuple[int | str | None, ...]

_HEAD = ("kind", "at", "call_id", "result_status")
_BODY = (
    *("session_id", "agent", "user", "action_type", "action_target", "action_params", "params_digest", "risk_level"),
    *("approval", "matched_rule", "reason", "enforced", "policy_digest", "rules_digest"),
)
_BODY_RARE = ("human_decision", "approver", "request_id", "floors", "labels", "description")
_END = ("duration_us", "claimed_by", "result")
_END_RARE = ("error", "changes")

COLUMNS = (*_HEAD, *_BODY, *_BODY_RARE, *_END, *_END_RARE, "data")
"""What `render` returns, by position. Stores add their own in front: the row's number and who wrote it."""
OPENING = (*_HEAD, *_BODY, *_BODY_RARE)
"""The columns that an intent or a refusal may fill."""
OUTCOME = (*_HEAD, *_END, *_END_RARE)
"""The columns that an outcome may fill."""
EVENT = ("kind", "at", "data")
"""The columns that an event may fill."""
SHAPES = (OPENING, OPENING[: -len(_BODY_RARE)], OUTCOME, OUTCOME[: -len(_END_RARE)], EVENT)
"""What `filled` may say that a row fills: all that its kind can, or that without what is rarely given."""

_NAMES = Bounds(text=1_024, items=100, depth=4, total=16_384)
_TEXT_LIMIT = 4_096
_RISKS = {1: "LOW", 2: "MEDIUM", 3: "HIGH", 4: "CRITICAL"}
_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - only differences to it are used


def render(record: Record, redactor: Redactor | None, digest: Callable[[bytes], str]) -> Row:
    """The row for a record, redacted and of bounded size.

    Args:
        record: What to write down.
        redactor: Masks secrets; None for the default one.
        digest: The sink's keyed digest, taken of the params as they were before redaction.

    Returns:
        Values in the order of `COLUMNS`.
    """
    redactor = redactor or REDACTOR
    kind = type(record)
    if kind is Outcome:
        return _outcome(record, redactor)  # type: ignore[arg-type]
    if kind is Event:
        return _event(record, redactor)  # type: ignore[arg-type]
    return _opening(record, redactor, digest)  # type: ignore[arg-type]


def _opening(record: Intent | Refusal, redactor: Redactor, digest: Callable[[bytes], str]) -> Row:
    action, decision, answer = record.action, record.decision, record.answer
    name = redactor.name
    approver = human = why = request_id = None
    if answer is not None:
        approver, why, request_id = answer.approver, answer.reason, answer.grant or answer.request_id
        if answer.approved is not None:  # None: nobody has answered yet
            human = "approved" if answer.approved is True else "denied"
    if isinstance(record, Refusal):
        kind, status, enforced = "refusal", record.status.value, 1
        why, request_id = record.reason, record.request_id or request_id
    else:
        kind, status, enforced = "intent", None, 1 if record.enforced else 0
    return (
        kind,
        record.at,
        record.call_id,
        status,
        session_name(action.session_id, redactor, digest) if action.session_id is not None else None,
        name(action.agent) if action.agent is not None else None,
        name(action.user) if action.user is not None else None,
        name(action.type),
        name(action.target),
        redactor.json(action.params) if action.params else "{}",
        digest(action.canonical_params()),
        _RISKS[decision.risk_level],
        decision.approval.value,
        name(decision.matched_rule),
        redactor.text(why, limit=_TEXT_LIMIT) if why else name(decision.reason) if decision.reason else None,
        enforced,
        record.policy_digest,
        decision.rules_digest,
        human,
        name(approver) if approver is not None else None,
        request_id,
        _floors(record, redactor) if decision.floors else None,
        redactor.json(action.labels, bounds=_NAMES) if action.labels else None,
        redactor.text(action.description, limit=_TEXT_LIMIT) if action.description else None,
        *_NO_END,
    )


def session_name(session_id: str, redactor: Redactor, digest: Callable[[bytes], str]) -> str:
    """A session's id as it is stored. Programs do use bearer tokens for it: two that are masked must stay apart."""
    kept = redactor.name(session_id)
    if kept == session_id:
        return kept
    return f"{kept} {digest(session_id.encode('utf-8', 'surrogatepass'))[:16]}"


def _floors(record: Intent | Refusal, redactor: Redactor) -> str:
    floors = [
        {"rule": floor.rule, "approval": floor.approval.value, "risk_level": _RISKS[floor.risk_level]}
        for floor in record.decision.floors
    ]
    return redactor.json(floors, bounds=_NAMES)


_NO_BODY = (None,) * (len(OPENING) - len(_HEAD))
_NO_END = (None,) * (len(COLUMNS) - len(OPENING))
_NOTHING_RARE = (None,) * len(_BODY_RARE), (None,) * len(_END_RARE)
_RARE_AT = len(_HEAD) + len(_BODY)
_NOT_AN_EVENT = (None,) * (len(COLUMNS) - len(EVENT))


def filled(row: Row) -> tuple[tuple[str, ...], Row]:
    """The columns that a row fills, one of `SHAPES`, and its values for them."""
    if row[2] is None:
        return EVENT, (*row[:2], row[-1])
    if row[0] != "outcome":
        if row[_RARE_AT : len(OPENING)] == _NOTHING_RARE[0]:
            return SHAPES[1], row[:_RARE_AT]
        return OPENING, row[: len(OPENING)]
    if row[-len(_END_RARE) - 1 : -1] == _NOTHING_RARE[1]:
        return SHAPES[3], (*row[: len(_HEAD)], *row[len(OPENING) : -len(_END_RARE) - 1])
    return OUTCOME, (*row[: len(_HEAD)], *row[len(OPENING) : -1])


def _outcome(record: Outcome, redactor: Redactor) -> Row:
    return (
        "outcome",
        record.at,
        record.call_id,
        record.status.value,
        *_NO_BODY,
        record.duration_us,
        redactor.name(record.claimed_by),
        redactor.json(record.data) if record.data is not None else None,
        redactor.text(record.error, limit=_TEXT_LIMIT) if record.error else None,
        _names(record.changes, redactor) if record.changes else None,
        None,
    )


def _names(names: tuple[str, ...], redactor: Redactor) -> str:
    """Names as JSON, each for itself: two strings side by side are no name and its secret here."""
    return orjson.dumps([redactor.name(name) for name in names]).decode()


def _event(record: Event, redactor: Redactor) -> Row:
    return note(redactor.name(record.kind), record.at, redactor.json(dict(record.data), bounds=RECORD))


def note(kind: str, at: int, data: str) -> Row:
    """The row for an event whose data is JSON text that needs no redaction."""
    return (kind, at, *_NOT_AN_EVENT, data)


def timestamp(at: int) -> str:
    """Microseconds since the epoch as ``2026-03-22T10:30:00.123456Z``."""
    try:
        second = at // 1_000_000
        return f"{_to_the_second(second)}.{at - second * 1_000_000:06}Z"
    except (OverflowError, TypeError, ValueError):
        return str(at)  # only in a row that somebody edited


@functools.lru_cache(1_024)
def _to_the_second(second: int) -> str:
    return (_EPOCH + datetime.timedelta(seconds=second)).isoformat()


def entry(row: Sequence[Any], *, lives: bool) -> dict[str, Any]:
    """One call as ``get_log`` shows it.

    Args:
        row: The `OPENING` columns of the call's intent or refusal, then the `OUTCOME` columns of its outcome, or nulls.
        lives: Whether the process that wrote the intent may still finish the call.

    Returns:
        One mapping with always the same keys.
    """
    # fmt: off
    (
        _, at, call_id, status, session_id, agent, user, kind, target, params, params_digest, risk,
        approval, rule, reason, enforced, policy, rules, human, approver, request_id, floors, labels, text,
        ended, _, _, ended_status, duration, claimed_by, result, error, changes,
    ) = row
    # fmt: on
    if ended is not None:
        status = ended_status
    elif status is None:
        status = "running" if lives else "unknown"
    return {
        "call_id": call_id,
        "timestamp": timestamp(at),
        "session_id": session_id,
        "agent": agent,
        "user": user,
        "action_type": kind,
        "action_target": target,
        "action_params": loads(params, {}),
        "risk_level": risk,
        "approval": approval,
        "matched_rule": rule,
        "human_decision": human,
        "approver": approver,
        "reason": reason,
        "result_status": status,
        "enforced": bool(enforced),
        "policy_digest": policy,
        "params_digest": params_digest,
        "rules_digest": rules,
        "floors": [] if floors is None else loads(floors, []),
        "request_id": request_id,
        "duration_ms": None if duration is None else duration / 1000,
        "error": error,
        "result": loads(result, None),
        "claimed_by": claimed_by,
        "changes": [] if changes is None else loads(changes, []),
        "labels": {} if labels is None else loads(labels, {}),
        "description": text or "",
    }


def loads(text: str | None, empty: Any) -> Any:
    """What a column of JSON text says; ``empty`` for a null."""
    if text is None:
        return empty
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text  # only in a row that somebody edited; the trail must stay readable
