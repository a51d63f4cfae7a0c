"""A trail in memory: for tests and for trying things out. Nothing survives the process."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import orjson

from aegis_core.audit.budgets import Budgets
from aegis_core.audit.digest import keyed_digest
from aegis_core.audit.filters import FilterOptions, Filters
from aegis_core.audit.render import COLUMNS, OPENING, OUTCOME, Row, entry, render
from aegis_core.errors import AuditError
from aegis_core.record import GrantUnavailable, Intent

if TYPE_CHECKING:
    from aegis_core.record import Record
    from aegis_core.redact import Redactor

__all__ = ["MemoryAuditLogger"]

_BEGUN = tuple(map(COLUMNS.index, ("session_id", "action_type", "action_target")))


class MemoryAuditLogger:
    """An audit logger that keeps everything in memory.

    Attributes:
        records: Every record written, in order, as it was given.
        fail: Set it to an exception to make every write raise it.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.fail: BaseException | None = None
        self._rows: list[Row] = []
        self._begun: dict[Any, list[Any]] = {}
        self._budgets = Budgets()
        self._key = os.urandom(32)
        self._lock = threading.Lock()

    def write(self, record: Record, redactor: Redactor | None = None) -> None:
        """Write one record."""
        if self.fail is not None:
            raise self.fail
        row = render(record, redactor, self.digest)
        with self._lock:
            if isinstance(record, Intent):
                if record.answer is not None and record.answer.grant is not None:
                    raise GrantUnavailable("a trail in memory stores no approvals")
                self._budgets.take(record)
            self.records.append(record)
            self._rows.append(row)
            if row[0] == "intent":
                session, tool, target = (row[index] for index in _BEGUN)
                self._begun.setdefault(session, []).append((len(self._rows), tool, target))

    async def awrite(self, record: Record, redactor: Redactor | None = None) -> None:
        """Write one record."""
        self.write(record, redactor)

    def digest(self, data: bytes) -> str:
        """A keyed digest of ``data``, hex."""
        return keyed_digest(self._key, data)

    def close(self) -> None:
        """Do nothing: what was written can still be read."""

    def get_log(self, **filters: Unpack[FilterOptions]) -> list[dict[str, Any]]:
        """One mapping per call, oldest first. Filters as for `AuditLogger.get_log`."""
        wanted = Filters(**filters)
        outcomes: dict[Any, Row] = {}
        openings: dict[Any, Row] = {}
        with self._lock:
            rows = list(self._rows)
        for row in rows:
            if row[0] == "outcome":
                outcomes[row[2]] = row
            elif row[2] is not None:
                openings.pop(row[2], None)  # a call that was pending and then ran is one entry, the later one
                openings[row[2]] = row
        log: list[dict[str, Any]] = []
        for call_id, row in openings.items():
            outcome = outcomes.get(call_id)
            ended = (*outcome[:4], *outcome[len(OPENING) : -1]) if outcome is not None else (None,) * len(OUTCOME)
            found = entry((*row[: len(OPENING)], *ended), lives=True)
            if wanted.accepts(found, row[1]):  # type: ignore[arg-type]
                log.append(found)
        return log if wanted.limit is None else log[len(log) - min(wanted.limit, len(log)) :]

    def count(self, **filters: Unpack[FilterOptions]) -> int:
        """How many calls `get_log` would return."""
        return len(self.get_log(**filters))

    def export_jsonl(self, path: str | os.PathLike[str], **filters: Unpack[FilterOptions]) -> int:
        """Write one JSON object per call to a file; return how many."""
        log = self.get_log(**filters)
        try:
            Path(path).write_bytes(b"".join(orjson.dumps(found) + b"\n" for found in log))
        except OSError as error:
            raise AuditError(f"cannot export to {os.fspath(path)!r}: {error}") from error
        return len(log)

    def history(self, session_id: str, *, after: int = 0) -> list[tuple[int, str, str]]:
        """``(position, type, target)`` of every call begun in a session after a position, oldest first."""
        with self._lock:
            return [call for call in self._begun.get(session_id, ()) if call[0] > after]

    def changes(self) -> int:
        """A number that changes whenever something is written."""
        return len(self._rows)
