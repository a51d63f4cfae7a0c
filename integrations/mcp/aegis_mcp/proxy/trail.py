"""The trail as a proxy writes it: at once while there is one call, in groups while there are several.

Handing a record to the trail's own thread and being woken again takes longer than writing it. A loop that has one call
to look after has nothing else to do meanwhile; one with several would make the others wait for the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_core.record import Intent, Outcome

if TYPE_CHECKING:
    from aegis_core.audit.sqlite import AuditLogger
    from aegis_core.record import Record
    from aegis_core.redact import Redactor

__all__ = ["PromptTrail"]


class PromptTrail:
    """An audit logger for a runtime on one event loop.

    Args:
        trail: The trail; everything but `awrite` is its own.

    Attributes:
        running: Calls whose beginning is on record and whose end is not.
    """

    def __init__(self, trail: AuditLogger) -> None:
        self._trail = trail
        self.running = 0
        self.write = trail.write
        self.digest = trail.digest
        self.close = trail.close

    async def awrite(self, record: Record, redactor: Redactor | None = None) -> None:
        """Write one record: on the spot if no other call runs and nobody else writes."""
        outcome = isinstance(record, Outcome)
        if self.running > outcome or not self._trail.try_write(record, redactor):
            await self._trail.awrite(record, redactor)
        if outcome:
            self.running -= 1
        elif isinstance(record, Intent):
            self.running += 1

    def __getattr__(self, name: str) -> Any:
        """What else a trail can do (its history, its approvals)."""
        return getattr(self._trail, name)
