"""The trail as structured log lines, for log aggregators: JSON to the logger ``aegis.audit``."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Any

import orjson

from aegis_core.audit.budgets import Budgets
from aegis_core.audit.digest import keyed_digest
from aegis_core.audit.render import COLUMNS, render, timestamp
from aegis_core.record import Event, Intent
from aegis_core.text import visible

if TYPE_CHECKING:
    from aegis_core.record import Record
    from aegis_core.redact import Redactor

__all__ = ["LoggingAuditLogger", "escaped"]

_LEVELS = {"LOW": logging.DEBUG, "MEDIUM": logging.INFO, "HIGH": logging.WARNING, "CRITICAL": logging.ERROR}
_JSON = {"action_params", "floors", "labels", "result", "changes", "data"}
_PLAIN = re.compile(r"[ -~]*")


class LoggingAuditLogger:
    """Writes every record as one line of JSON to a logger; the level says the risk of the call.

    LOW is DEBUG, MEDIUM is INFO, HIGH is WARNING, CRITICAL is ERROR; events are INFO. The fields are those of
    ``AuditLogger.get_log``, without those that are empty, plus ``event``: ``intent`` before a call runs, ``outcome``
    when it has ended, ``refusal`` if it does not run. Handlers find them as ``record.aegis``, too.

    Log lines can be lost: alone, this keeps no promise about what is on record. It is best used beside an AuditLogger:
    ``Runtime(audit_logger=[AuditLogger(), LoggingAuditLogger()])``.

    Args:
        logger: The logger, or its name.
    """

    def __init__(self, logger: logging.Logger | str = "aegis.audit") -> None:
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._budgets = Budgets()
        self._key = os.urandom(32)

    def write(self, record: Record, redactor: Redactor | None = None) -> None:
        """Log one record."""
        if isinstance(record, Intent):
            self._budgets.take(record)
        level = logging.INFO if isinstance(record, Event) else _LEVELS[record.decision.risk_level.name]
        if self._logger.isEnabledFor(level):
            fields = _fields(record, redactor)
            self._logger.log(level, "%s", escaped(orjson.dumps(fields).decode()), extra={"aegis": fields})

    async def awrite(self, record: Record, redactor: Redactor | None = None) -> None:
        """Log one record."""
        self.write(record, redactor)

    def digest(self, data: bytes) -> str:
        """A keyed digest of ``data``; the key lasts as long as this object."""
        return keyed_digest(self._key, data)

    def close(self) -> None:
        """Do nothing: handlers belong to the application."""


def _fields(record: Record, redactor: Redactor | None) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(COLUMNS, render(record, redactor, lambda _: ""), strict=True))
    if not isinstance(record, Event) and row["action_type"] is None:
        # An outcome alone on its line must say whose it is.
        of = Intent(record.call_id, record.at, record.action, record.decision, "")
        opening = dict(zip(COLUMNS, render(of, redactor, lambda _: ""), strict=True))
        row = {name: opening[name] if value is None else value for name, value in row.items()}
    fields: dict[str, Any] = {"event": row.pop("kind"), "timestamp": timestamp(record.at)}
    del row["at"]
    if (duration := row.pop("duration_us")) is not None:
        row["duration_ms"] = duration / 1000
    if (enforced := row.pop("enforced")) is not None:
        row["enforced"] = bool(enforced)
    for name, value in row.items():
        if value is not None and value != "":
            fields[name] = orjson.loads(value) if name in _JSON else value
    return fields


def escaped(text: str) -> str:
    """JSON text on one line, in which whatever could steer a terminal or hide in it is escaped. Still the same JSON."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(char if char == " " or visible(char) == char else _escape(char) for char in text)


def _escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))
