"""The sinks of one runtime: the authority, which has a record before anything happens, and mirrors."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from aegis_core.errors import AuditError
from aegis_core.record import BudgetExhausted, Event, GrantUnavailable, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_core.record import Record, Sink
    from aegis_core.redact import Redactor

__all__ = ["Trail"]

_log = logging.getLogger("aegis")
_SIGNALS = (GrantUnavailable, BudgetExhausted)


class Trail:
    """Writes records to the authority and then to the mirrors.

    What has already happened (an outcome, a policy reload) and could not be written is kept; nothing new is written,
    and so nothing new runs, until it has been.

    Args:
        sinks: One sink, or several: the first is the authority. None for an `AuditLogger` of its own, opened when first
            needed.
    """

    def __init__(self, sinks: Sink | Sequence[Sink] | None) -> None:
        self._owned = sinks is None
        self._lock = threading.Lock()
        self._authority: Sink | None = None
        self._mirrors: tuple[Sink, ...] = ()
        self._unwritten: deque[tuple[Record, Redactor | None]] = deque()
        self._closed = False
        self.redactor: Redactor | None = None
        if sinks is not None:
            given: tuple[Any, ...] = tuple(sinks) if isinstance(sinks, (list, tuple)) else (sinks,)
            for sink in given:
                if not callable(getattr(sink, "write", None)):
                    raise TypeError(
                        f"audit_logger must be an audit sink (see AuditStore) or a list of them, got {sink!r}"
                    )
            if not given:
                raise ValueError("audit_logger is an empty list; give at least one sink, or None for the default file")
            self._authority, self._mirrors = given[0], given[1:]

    @property
    def authority(self) -> Sink:
        """The sink whose word counts; opens the default file if there is none yet.

        Raises:
            AuditError: If it cannot be opened, or the runtime has been closed.
        """
        if self._authority is None:
            with self._lock:
                if self._closed:
                    raise AuditError("this runtime has been closed; make a new one")
                if self._authority is None:
                    from aegis_core.audit.sqlite import AuditLogger  # noqa: PLC0415 - loads sqlite3

                    self._authority = AuditLogger()
        return self._authority

    def write(self, record: Record) -> None:
        """Write one record.

        Raises:
            AuditError: It is not on record. (Never for an outcome or an event: those are kept and written later.)
            GrantUnavailable, BudgetExhausted: See `Sink.write`.
        """
        try:
            if self._unwritten:
                self._catch_up()
            self.authority.write(record, self.redactor)
        except Exception as error:  # noqa: BLE001 - a sink may fail in any way; unwritten is unwritten
            self._failed(record, error)
        else:
            if self._mirrors:
                self._mirror(record)

    async def awrite(self, record: Record) -> None:
        """`write` from a coroutine."""
        try:
            if self._unwritten:
                self._catch_up()
            await self.authority.awrite(record, self.redactor)
        except Exception as error:  # noqa: BLE001 - a sink may fail in any way; unwritten is unwritten
            self._failed(record, error)
        else:
            if self._mirrors:
                self._mirror(record)

    def digest(self, data: bytes) -> str:
        """The authority's keyed digest of ``data``."""
        return self.authority.digest(data)

    def close(self) -> None:
        """Write what is still unwritten and close the sink opened here; others belong to whoever made them."""
        try:
            if self._unwritten:
                self._catch_up()
        finally:
            self._closed = self._owned
            if self._owned and self._authority is not None:
                authority, self._authority = self._authority, None
                authority.close()

    def _catch_up(self) -> None:
        """Write what has happened and is not on record yet; raises while that is impossible."""
        with self._lock:
            while self._unwritten:
                record, redactor = self._unwritten[0]
                self.authority.write(record, redactor)
                self._unwritten.popleft()
        _log.warning("the audit trail is writable again; every outcome that was held back is on record")

    def _failed(self, record: Record, error: Exception) -> None:
        if isinstance(error, _SIGNALS):
            raise error
        if isinstance(record, (Outcome, Event)):
            self._unwritten.append((record, self.redactor))
            what = (
                f"the outcome of call {record.call_id}" if isinstance(record, Outcome) else f"the event {record.kind!r}"
            )
            _log.critical(
                "%s could not be written to the audit trail and is held back; new calls are refused: %s", what, error
            )
            return
        _log.critical("a call could not be written to the audit trail and does not run: %s", error)
        if isinstance(error, AuditError):
            raise error
        raise AuditError(f"the audit trail could not be written: {type(error).__name__}: {error}") from error

    def _mirror(self, record: Record) -> None:
        for mirror in self._mirrors:
            try:
                mirror.write(record, self.redactor)
            except Exception:  # noqa: BLE001 - mirrors carry no promise and must not disturb the call
                _log.warning("an audit mirror (%s) failed", type(mirror).__name__, exc_info=True)
