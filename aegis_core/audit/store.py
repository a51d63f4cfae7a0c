"""What a store of audit records can do beyond being a sink: be asked, be checked, and hold approvals and budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from aegis_core.record import Sink

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

__all__ = ["AuditStore"]

T = TypeVar("T")


class AuditStore(Sink, Protocol):
    """A sink that is also an authority: the trail can be read back from it.

    Filters are those of `filters.Filters`, by keyword.
    """

    def get_log(self, **filters: Any) -> list[dict[str, Any]]:
        """One mapping per call, oldest first."""
        ...

    def count(self, **filters: Any) -> int:
        """How many calls there are."""
        ...

    def export_jsonl(self, path: str | os.PathLike[str], **filters: Any) -> int:
        """Write one JSON object per call to a file; return how many."""
        ...

    def history(self, session_id: str, *, after: int = 0) -> list[tuple[int, str, str]]:
        """``(position, type, target)`` of every call begun in a session, oldest first.

        Positions grow. Only calls after the position ``after`` are wanted; others may come along.
        """
        ...

    def transact(self, function: Callable[[Any], T]) -> T:
        """Run a function inside a write transaction; what it did is kept as a whole or not at all."""
        ...

    async def atransact(self, function: Callable[[Any], T]) -> T:
        """The same from a coroutine; the function runs on another thread."""
        ...

    def read(self, function: Callable[[Any], T]) -> T:
        """Run a function that reads the store's own tables."""
        ...

    def changes(self) -> int:
        """A number that changes whenever anybody writes to the store."""
        ...
