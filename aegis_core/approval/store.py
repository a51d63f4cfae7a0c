"""Approvals as durable records, in the database of the trail.

The record is the authority; every screen is a view of it. A request is answered once and used once. Answering and using
are single statements whose conditions decide races: of two people who answer, one is told that the other was first; of
two processes that hold the same yes, one runs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from aegis_core.approval.filed import as_filed, hidden_edit
from aegis_core.errors import ApprovalError
from aegis_core.record import Event, now_us
from aegis_core.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aegis_core.request import ApprovalRequest

__all__ = ["ApprovalStore", "Database", "Ticket"]

T = TypeVar("T")
_FIELDS = (
    "id", "digest", "state", "call_id", "request", "created_at", "expires_at", "answered_at", "approver", "reason",
    "via", "edits", "withdrawn", "consumed_by", "consumed_at",
)  # fmt: skip
_COLUMNS = ", ".join(_FIELDS)


class Transaction(Protocol):
    """What the store needs of a write transaction on the trail's database."""

    now: int

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Execute one statement; rows come as sequences."""
        ...

    def append(self, event: Event, redactor: Redactor | None = None) -> int:
        """Put an event on the trail."""
        ...


class Database(Protocol):
    """A trail whose database can hold approvals too."""

    def transact(self, work: Callable[[Any], T]) -> T:
        """Run ``work`` in one write transaction."""
        ...

    def read(self, work: Callable[[Any], T]) -> T:
        """Run ``work`` with something that executes queries."""
        ...


class Ticket(NamedTuple):
    """One approval as it stands.

    Attributes:
        id: The request's id.
        digest: What it binds to.
        state: ``pending``, ``approved``, ``denied``, ``withdrawn``, ``expired`` (never answered in time, or approved
            and not used in time) or ``used``.
        call_id: The call that asked first.
        request: What is asked, for people: names, params, rule, risk, reason. A secret is masked; the mask says how
            long it is and carries a keyed digest of it. ``exact`` says that nothing is masked or left out, so that the
            call can be made from it (`Runtime.resume`).
        created_at: Microseconds since the epoch, like all times here.
        expires_at: When answers, and an unused yes, lapse.
        answered_at: When it was answered.
        approver: Who answered.
        reason: Why, in their words.
        via: From where: ``cli``, ``console``, ``webhook``, ...
        edits: Changed arguments, by JSON Pointer.
        withdrawn: Why nobody waits any more.
        consumed_by: The call that ran on it.
        consumed_at: When.
    """

    id: str
    digest: str
    state: str
    call_id: str
    request: Mapping[str, Any]
    created_at: int
    expires_at: int
    answered_at: int | None = None
    approver: str | None = None
    reason: str | None = None
    via: str | None = None
    edits: Mapping[str, Any] | None = None
    withdrawn: str | None = None
    consumed_by: str | None = None
    consumed_at: int | None = None


class ApprovalStore:
    """Requests, answers, expiry and use, on a trail's database.

    Args:
        database: The trail, e.g. an `AuditLogger`.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def put(self, request: ApprovalRequest, *, redactor: Redactor | None = None) -> Ticket:
        """Ask: join the identical request that waits or was answered and not used yet, or file a new one.

        Raises:
            ApprovalError: The call has run: it was resumed elsewhere.
        """
        shown = as_filed(request, redactor or request.redactor or Redactor())

        def work(transaction: Transaction) -> Ticket:
            ran = "SELECT 1 FROM records WHERE call_id = ? AND kind = 'intent'"
            if transaction.execute(ran, (request.call_id,)).fetchone() is not None:
                raise ApprovalError(f"call {request.call_id} was resumed elsewhere and has run")
            found = _one(
                transaction,
                "WHERE digest = ? AND consumed_by IS NULL AND expires_at > ?"
                " AND state IN ('pending', 'approved', 'denied') ORDER BY created_at LIMIT 1",
                (request.digest, transaction.now),
            )
            if found is None:
                transaction.execute(
                    "INSERT INTO approvals (id, digest, state, call_id, request, created_at, expires_at)"
                    " VALUES (?, ?, 'pending', ?, ?, ?, ?)",
                    (request.id, request.digest, request.call_id, shown, request.created_at, request.expires_at),
                )
                transaction.append(Event("approval_requested", data={"id": request.id, **json.loads(shown)}))
                found = _get(transaction, request.id)
            joined = "INSERT INTO approval_waiters VALUES (?, ?) ON CONFLICT DO NOTHING"
            transaction.execute(joined, (found.id, request.call_id))
            return found

        return self.database.transact(work)

    def answer(
        self,
        id: str,  # noqa: A002 - the field's name
        *,
        approved: bool,
        approver: str,
        via: str,
        reason: str | None = None,
        edits: Mapping[str, Any] | None = None,
    ) -> Ticket:
        """Answer a request.

        Args:
            id: The request.
            approved: Whether the call may run, once.
            approver: Who answers.
            via: From where: ``cli``, ``console``, ``webhook``, ...
            reason: Why. A secret in it is masked.
            edits: Changed arguments, by name or JSON Pointer: the call that waits becomes another call, judged anew.

        Raises:
            ApprovalError: It was answered before, was withdrawn, has expired, does not exist, or the approver is who
                asked; or an edit is a secret or would replace one, which the record must not hold.
        """
        default = Redactor()
        reason = None if reason is None else default.text(reason)

        def work(transaction: Transaction) -> Ticket:
            before = _get(transaction, id)
            if not approver or before.request.get("agent") in (approver, default.name(approver)):
                raise ApprovalError(f"{approver!r} asked for this call and cannot answer for it")
            if edits and (secret := hidden_edit(edits, before.request, default)) is not None:
                raise ApprovalError(f"the edit of {secret!r} would put a secret on the record; deny the call instead")
            changed = transaction.execute(
                "UPDATE approvals SET state = ?, answered_at = ?, approver = ?, reason = ?, via = ?, edits = ?"
                " WHERE id = ? AND state = 'pending' AND expires_at > ?",
                (
                    "approved" if approved else "denied",
                    transaction.now,
                    approver,
                    reason,
                    via,
                    json.dumps(edits) if edits else None,
                    id,
                    transaction.now,
                ),
            )
            if changed.rowcount != 1:
                raise ApprovalError(_too_late(before))
            data = {"id": id, "approved": approved, "approver": approver, "via": via, "reason": reason}
            transaction.append(Event("approval_answered", data={**data, "edited": sorted(edits or ())}))
            return _get(transaction, id)

        return self.database.transact(work)

    def leave(self, id: str, call_id: str, reason: str) -> None:  # noqa: A002 - the field's name
        """A call no longer waits; the last one to leave a pending request withdraws it."""

        def work(transaction: Transaction) -> None:
            transaction.execute("DELETE FROM approval_waiters WHERE request_id = ? AND call_id = ?", (id, call_id))
            changed = transaction.execute(
                "UPDATE approvals SET state = 'withdrawn', withdrawn = ? WHERE id = ? AND state = 'pending'"
                " AND NOT EXISTS (SELECT 1 FROM approval_waiters WHERE request_id = ?)",
                (reason, id, id),
            )
            if changed.rowcount == 1:
                transaction.append(Event("approval_withdrawn", data={"id": id, "reason": reason}))
                _withdraw_edited(transaction, call_id, f"what it was edited into was not approved: {reason}")

        self.database.transact(work)

    def deliver(self, id: str, call_id: str) -> bool:  # noqa: A002 - the field's name
        """Use up a no, so that the call that hears it is the last one it answers. False if another call was first."""

        def work(transaction: Transaction) -> bool:
            changed = transaction.execute(
                "UPDATE approvals SET consumed_by = ?, consumed_at = ?"
                " WHERE id = ? AND state = 'denied' AND consumed_by IS NULL",
                (call_id, transaction.now, id),
            )
            _withdraw_edited(transaction, call_id, "what it was edited into was denied")
            return bool(changed.rowcount == 1)

        return self.database.transact(work)

    def get(self, id: str) -> Ticket:  # noqa: A002 - the field's name
        """One approval.

        Raises:
            ApprovalError: There is none of that id.
        """
        found = self.many([id])
        if not found:
            raise ApprovalError(f"there is no approval request {id!r}")
        return found[0]

    def many(self, ids: Sequence[str]) -> list[Ticket]:
        """Those of some approvals that exist."""
        if not ids:
            return []
        marks = ", ".join("?" * len(ids))
        return self._select(f"WHERE id IN ({marks})", ids)

    def waiting(self) -> list[str]:
        """The ids of the requests that can be answered now, oldest first. Cheap enough to be asked at every change."""
        sql = "SELECT id FROM approvals WHERE state = 'pending' AND expires_at > ? ORDER BY created_at, id"
        return [row[0] for row in self.database.read(lambda db: db.execute(sql, (now_us(),)).fetchall())]

    def settled(self, ids: Sequence[str]) -> list[Ticket]:
        """Those of some approvals that nobody waits for: answered, withdrawn or expired."""
        if not ids:
            return []
        marks = ", ".join("?" * len(ids))
        return self._select(f"WHERE id IN ({marks}) AND (state <> 'pending' OR expires_at <= ?)", [*ids, now_us()])

    def of_call(self, call_id: str) -> Ticket | None:
        """What a call was asked about last; None if it was not asked about."""
        found = self._select(
            "WHERE call_id = ? OR id IN (SELECT request_id FROM approval_waiters WHERE call_id = ?)"
            " ORDER BY created_at DESC LIMIT 1",
            (call_id, call_id),
        )
        return found[0] if found else None

    def requests(self, *, pending: bool = False, since: int = 0, limit: int = 1000) -> list[Ticket]:
        """Approvals, oldest first: all of them, or those that wait for an answer.

        Args:
            pending: Only those that can be answered now.
            since: Only those created at or after this time (microseconds since the epoch).
            limit: The newest so many.
        """
        where, values = "WHERE created_at >= ?", [since]
        if pending:
            where += " AND state = 'pending' AND expires_at > ?"
            values.append(now_us())
        found = self._select(f"{where} ORDER BY created_at DESC LIMIT ?", [*values, limit])
        return found[::-1]

    def _select(self, where: str, values: Sequence[Any]) -> list[Ticket]:
        rows = self.database.read(lambda db: db.execute(f"SELECT {_COLUMNS} FROM approvals {where}", values).fetchall())  # noqa: S608 - our own clauses
        return [_ticket(row, now_us()) for row in rows]


def _one(transaction: Transaction, where: str, values: Sequence[Any]) -> Ticket | None:
    row = transaction.execute(f"SELECT {_COLUMNS} FROM approvals {where}", values).fetchone()  # noqa: S608 - our own clauses
    return None if row is None else _ticket(row, transaction.now)


def _get(transaction: Transaction, id: str) -> Ticket:  # noqa: A002 - the field's name
    found = _one(transaction, "WHERE id = ?", (id,))
    if found is None:
        raise ApprovalError(f"there is no approval request {id!r}")
    return found


def _withdraw_edited(transaction: Transaction, call_id: str, why: str) -> None:
    """A yes with edits, to a call whose edited form came to nothing, must not lie around."""
    rows = transaction.execute(
        "SELECT id FROM approvals WHERE state = 'approved' AND consumed_by IS NULL AND edits IS NOT NULL"
        " AND id IN (SELECT request_id FROM approval_waiters WHERE call_id = ?)",
        (call_id,),
    ).fetchall()
    for (id,) in rows:  # noqa: A001 - the field's name
        transaction.execute("UPDATE approvals SET state = 'withdrawn', withdrawn = ? WHERE id = ?", (why, id))
        transaction.append(Event("approval_withdrawn", data={"id": id, "reason": why}))


def _ticket(row: Sequence[Any], now: int) -> Ticket:
    values = dict(zip(_FIELDS, row, strict=True))
    values["request"] = json.loads(values["request"])
    values["edits"] = json.loads(values["edits"]) if values["edits"] else None
    if values["state"] in ("approved", "denied") and values["consumed_by"] is not None:
        values["state"] = "used" if values["state"] == "approved" else "denied"
    elif values["state"] in ("pending", "approved") and values["expires_at"] <= now:
        values["state"] = "expired"
    return Ticket(**values)


def _too_late(ticket: Ticket) -> str:
    """Why an answer was not accepted."""
    if ticket.state in ("approved", "denied", "used"):
        return f"request {ticket.id} was already answered by {ticket.approver} (via {ticket.via})"
    if ticket.state == "withdrawn":
        return f"request {ticket.id} was withdrawn: {ticket.withdrawn}"
    return f"request {ticket.id} has expired; the call has to be made again"
