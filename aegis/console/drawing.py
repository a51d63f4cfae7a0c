"""Templates, and how values become text in them. Everything is escaped; what is invisible is made visible."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jinja2

from aegis.console.plot import NAMES, plot
from aegis.console.values import brief, leaves, marked
from aegis_core.audit.render import timestamp
from aegis_core.policy.conditions.truth import word
from aegis_core.record import now_us
from aegis_core.text import visible

if TYPE_CHECKING:
    from aegis_core.approval.store import Ticket

__all__ = ["Drawing"]

STATES = {
    "pending": "waiting",
    "approved": "approved, not run yet",
    "used": "approved and run",
    "denied": "denied",
    "withdrawn": "withdrawn",
    "expired": "expired",
}


class Drawing:
    """Makes HTML of things."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("aegis.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        known: dict[str, Any] = self._templates.globals  # jinja2's type names only what stands there from the start
        known.update({"STATES": STATES, "KINDS": NAMES, "plot": plot, "leaves": leaves})
        self._templates.filters.update(
            {"v": marked, "visible": visible, "brief": brief, "when": when, "day": day, "age": age, "word": word}
        )

    def page(self, name: str, **values: Any) -> str:
        """A template with its values."""
        return self._templates.get_template(name).render(values)

    def row(self, ticket: Ticket) -> str:
        """A request that waits, as a row of the inbox."""
        return self.page("row.html", ticket=ticket)

    def entry(self, entry: dict[str, Any]) -> str:
        """A call of the trail, as a row of its table."""
        return self.page("entry.html", entry=entry)


def when(at: int | str | None) -> str:
    """A point in time (microseconds since the epoch, or as the trail has it), to the second, in UTC."""
    text = timestamp(at) if isinstance(at, int) else at or ""
    return text[:19].replace("T", " ")


def day(seconds: float) -> str:
    """Seconds since the epoch as ``14:03:22``, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}"


def age(at: int) -> str:
    """How long ago something was, roughly."""
    seconds = max(0, (now_us() - at) // 1_000_000)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
