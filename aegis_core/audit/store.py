"""What a store of audit records can do beyond being a sink: be asked, be checked, and hold approvals and budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Unpack

from aegis_core.record import Sink

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from aegis_core.audit.filters import FilterOptions, Time
    from aegis_core.audit.verify import Verification
    from aegis_core.decision import RiskLevel

__all__ = ["AuditStore"]

T = TypeVar("T")


class AuditStore(Sink, Protocol):
    """A sink that is also an authority: the trail can be read back from it.

    Filters are those of `AuditLogger.get_log`.
    """

    def get_log(
        self,
        *,
        session_id: str | None = None,
        type: str | None = None,  # noqa: A002 - the field's name
        target: str | None = None,
        risk: RiskLevel | str | None = None,
        status: str | None = None,
        rule: str | None = None,
        agent: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """One mapping per call, oldest first."""
        ...

    def count(self, **filters: Unpack[FilterOptions]) -> int:
        """How many calls there are."""
        ...

    def export_jsonl(self, path: str | os.PathLike[str], **filters: Unpack[FilterOptions]) -> int:
        """Write one JSON object per call to a file; return how many."""
        ...

    def verify(
        self, *, public_key: str | os.PathLike[str] | None = None, checkpoints: str | os.PathLike[str] | None = None
    ) -> Verification:
        """Check that nothing that was written was changed since."""
        ...

    def history(self, session_id: str, *, after: int = 0) -> list[tuple[int, str, str]]:
        """``(position, type, target)`` of every call begun in a session, oldest first.

        Positions grow. Only calls after the position ``after`` are wanted; others may come along.
        """
        ...

    def transact(self, work: Callable[[Any], T]) -> T:
        """Run ``work`` inside a write transaction; what it did is kept as a whole or not at all."""
        ...

    async def atransact(self, work: Callable[[Any], T]) -> T:
        """The same from a coroutine; ``work`` runs on another thread."""
        ...

    def read(self, work: Callable[[Any], T]) -> T:
        """Run ``work``, which reads the store's own tables."""
        ...

    def changes(self) -> int:
        """A number that changes whenever anybody writes to the store."""
        ...
