"""The audit trail: what was called, why it was allowed, who said so, and how it ended."""

from aegis_core.audit.logs import LoggingAuditLogger
from aegis_core.audit.memory import MemoryAuditLogger
from aegis_core.audit.sqlite import AuditLogger
from aegis_core.audit.store import AuditStore

__all__ = ["AuditLogger", "AuditStore", "LoggingAuditLogger", "MemoryAuditLogger"]
