"""The sinks of one runtime: the authority, which has a record before anything happens, and mirrors."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from aegis_core.errors import AuditError
from aegis_core.log import logger
from aegis_core.record import BudgetExhausted, Event, GrantUnavailable, Outcome
from aegis_core.redact import MASK, REDACTOR

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager

    from aegis_core.record import Intent, Record, Sink
    from aegis_core.redact import Redactor

__all__ = ["Trail"]

_log = logger("aegis")
DEFAULT_FILE = "aegis_audit.db"
_SIGNALS = (GrantUnavailable, BudgetExhausted)
_SINK = ("write", "awrite", "digest", "close")


class Trail:
    """Writes records to the authority and then to the mirrors.

    What has already happened (an outcome, a policy reload) and could not be written is kept; nothing new is written,
    and so nothing new runs, until it has been.

    Args:
        sinks: One sink, or several: the first is the authority. None for an `AuditLogger` of its own, opened when first
            needed.

    Attributes:
        redactor: Given to every sink; None for its default.
        scopes: What the mirrors want to be around a tool while it runs.
    """

    def __init__(self, sinks: Sink | Sequence[Sink] | None) -> None:
        self._owned = sinks is None
        self._lock = threading.RLock()  # held while catching up, which may have to open the default file
        self._authority: Sink | None = None
        self._mirrors: tuple[Sink, ...] = ()
        self.scopes: tuple[Callable[[Intent], AbstractContextManager[object]], ...] = ()
        self._unwritten: deque[tuple[Record, Redactor | None]] = deque()
        self._closed = False
        self.redactor: Redactor | None = None
        if sinks is not None:
            given: tuple[Any, ...] = tuple(sinks) if isinstance(sinks, (list, tuple)) else (sinks,)
            for sink in given:
                missing = [name for name in _SINK if not callable(getattr(sink, name, None))]
                if missing or isinstance(sink, type):
                    raise TypeError(
                        f"audit_logger must be a sink such as AuditLogger('trail.db'), or a list of sinks, got {sink!r}"
                    )
            if not given:
                raise ValueError("audit_logger is an empty list; give at least one sink, or None for the default file")
            if getattr(given[0], "mirror_only", False):
                name = type(given[0]).__name__
                raise ValueError(f"{name} cannot hold a trail; put an AuditLogger first: [AuditLogger(...), {name}()]")
            self._authority, self._mirrors = given[0], given[1:]
            found = (getattr(mirror, "around", None) for mirror in self._mirrors)
            self.scopes = tuple(scope for scope in found if scope is not None)
        _trails.add(self)

    @property
    def authority(self) -> Sink:
        """The sink whose word counts; opens the default file if there is none yet.

        Raises:
            AuditError: If it cannot be opened, or the runtime was closed before it ever was.
        """
        if self._authority is None:
            with self._lock:
                if self._authority is None:
                    if self._closed:
                        raise AuditError(_CLOSED)
                    from aegis_core.audit.sqlite import AuditLogger  # noqa: PLC0415 - loads sqlite3

                    self._authority = AuditLogger(DEFAULT_FILE)
        return self._authority

    def is_authority(self, store: object) -> bool:
        """Whether a store is the authority, or another logger of the same file or database."""
        if store is self._authority:
            return True
        path = getattr(store, "path", None)
        ours = os.path.realpath(DEFAULT_FILE) if self._authority is None else getattr(self._authority, "path", None)
        return path is not None and path == ours

    def write(self, record: Record) -> None:
        """Write one record.

        Raises:
            AuditError: It is not on record. (Never for an outcome or an event: those are kept and written later.)
            GrantUnavailable, BudgetExhausted: See `Sink.write`.
        """
        try:
            if self._unwritten or self._closed:
                self._prepare(record)
            (self._authority or self.authority).write(record, self.redactor)
        except Exception as error:  # noqa: BLE001 - a sink may fail in any way; unwritten is unwritten
            self._failed(record, error)
        else:
            if self._mirrors:
                self._mirror(record, self.redactor)

    def _mirror(self, record: Record, redactor: Redactor | None) -> None:
        for mirror in self._mirrors:
            try:
                mirror.write(record, redactor)
            except Exception:  # noqa: BLE001 - mirrors carry no promise and must not disturb the call
                _mirror_failed(mirror)

    async def awrite(self, record: Record) -> None:
        """`write` from a coroutine."""
        try:
            if self._unwritten or self._closed:
                self._prepare(record)
            await (self._authority or self.authority).awrite(record, self.redactor)
        except Exception as error:  # noqa: BLE001 - a sink may fail in any way; unwritten is unwritten
            self._failed(record, error)
        else:
            for mirror in self._mirrors:
                try:
                    await mirror.awrite(record, self.redactor)
                except Exception:  # noqa: BLE001 - mirrors carry no promise and must not disturb the call
                    _mirror_failed(mirror)

    @contextlib.contextmanager
    def around(self, intent: Intent) -> Generator[None]:
        """What the mirrors want to be around the tool while it runs. One that fails is left out."""
        with contextlib.ExitStack() as stack:
            for scope in self.scopes:
                try:
                    stack.enter_context(scope(intent))
                except Exception:  # noqa: BLE001 - as above
                    _log.warning("an audit mirror failed to surround a call", exc_info=True)
            yield

    def digest(self, data: bytes) -> str:
        """The authority's keyed digest of ``data``.

        Raises:
            AuditError: It has no key to take one with.
        """
        try:
            return self.authority.digest(data)
        except AuditError:
            raise
        except Exception as error:
            raise AuditError(f"the audit trail's key cannot be used: {type(error).__name__}: {error}") from error

    def changes(self) -> int | None:
        """A number that changes whenever anybody writes to the authority; None if it cannot tell."""
        look = getattr(self.authority, "changes", None)
        try:
            return None if look is None else look()
        except AuditError:  # nothing was written yet
            return None

    def history(self, session_id: str, *, after: int = 0) -> list[tuple[int, str, str]]:
        """The calls begun in a session, as the authority has them on record.

        Args:
            session_id: The session.
            after: A position; only calls after it are wanted (others may come along).

        Returns:
            ``(position, type, target)`` per call, oldest first.

        Raises:
            AuditError: They cannot be told: the authority cannot be read, or names were masked when they were written.
        """
        read = getattr(self.authority, "history", None)
        if read is None:
            raise AuditError(f"{type(self.authority).__name__} cannot be read back")
        redactor = self.redactor or REDACTOR
        calls: list[tuple[int, str, str]] = read(session_id, after=after)
        if redactor.name(session_id) != session_id or any(MASK in name for _, *names in calls for name in names):
            raise AuditError("the names on the trail are masked, so what was begun in the session cannot be told")
        return calls

    def close(self) -> None:
        """Write what is still unwritten and close the sink opened here; others belong to whoever made them.

        Nothing new is written from now on; how calls in flight end still is, if the sink can. Idempotent.

        Raises:
            AuditError: Something that was held back cannot be written now either, and is lost.
        """
        self._closed = True
        try:
            if self._unwritten:
                self._catch_up()
        except Exception as error:
            lost = [_what(record) for record, _ in self._unwritten]
            self._unwritten.clear()
            raise AuditError(f"lost to the audit trail: {', '.join(lost)}: {error}") from error
        finally:
            if self._owned and self._authority is not None:
                self._authority.close()

    def _prepare(self, record: Record) -> None:
        """Before a record is written: nothing new after the end, and nothing before what happened earlier."""
        if self._closed and not isinstance(record, (Outcome, Event)):
            raise AuditError(_CLOSED)
        if self._unwritten:
            self._catch_up()

    def _catch_up(self) -> None:
        """Write what has happened and is not on record yet; raises while that is impossible."""
        with self._lock:
            while self._unwritten:
                record, redactor = self._unwritten[0]
                self.authority.write(record, redactor)
                self._unwritten.popleft()
                self._mirror(record, redactor)
        _log.warning("the audit trail is writable again; every outcome that was held back is on record")

    def _failed(self, record: Record, error: Exception) -> None:
        if isinstance(error, _SIGNALS):
            raise error
        if isinstance(record, (Outcome, Event)):
            self._unwritten.append((record, self.redactor))
            _log.critical(
                "%s could not be written to the audit trail and is held back; new calls are refused: %s",
                _what(record),
                error,
            )
            return
        _log.critical("a call could not be written to the audit trail and does not run: %s", error)
        if isinstance(error, AuditError):
            raise error
        raise AuditError(f"the audit trail could not be written: {type(error).__name__}: {error}") from error

    def after_fork_in_child(self) -> None:
        """Begin as another process: what is held back is the parent's to write, and its locks were left behind."""
        self._lock = threading.RLock()
        self._unwritten.clear()


_trails: weakref.WeakSet[Trail] = weakref.WeakSet()


def _begin_anew() -> None:
    for trail in list(_trails):
        trail.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)

_CLOSED = "this runtime has been closed; make a new one"


def _what(record: Record) -> str:
    return f"the event {record.kind!r}" if isinstance(record, Event) else f"the outcome of call {record.call_id}"


def _mirror_failed(mirror: Sink) -> None:
    _log.warning("an audit mirror (%s) failed", type(mirror).__name__, exc_info=True)
