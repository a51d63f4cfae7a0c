"""The audit trail."""

from aegis_core.audit.sqlite import AuditLogger
from aegis_core.audit.store import AuditStore

__all__ = ["AuditLogger", "AuditStore"]
