"""The audit trail: what was called, why it was allowed, who said so, and how it ended.

The names below are loaded when they are first used: most programs write to one kind of trail.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aegis_core.audit.logs import LoggingAuditLogger as LoggingAuditLogger
    from aegis_core.audit.memory import MemoryAuditLogger as MemoryAuditLogger
    from aegis_core.audit.sqlite import AuditLogger as AuditLogger
    from aegis_core.audit.store import AuditStore as AuditStore

__all__ = ["AuditLogger", "AuditStore", "LoggingAuditLogger", "MemoryAuditLogger"]

_HOME = {
    "AuditLogger": "aegis_core.audit.sqlite",
    "AuditStore": "aegis_core.audit.store",
    "LoggingAuditLogger": "aegis_core.audit.logs",
    "MemoryAuditLogger": "aegis_core.audit.memory",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
