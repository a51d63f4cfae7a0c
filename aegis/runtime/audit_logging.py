"""The audit trail as structured log records."""

from aegis_core.audit.logs import LoggingAuditLogger

__all__ = ["LoggingAuditLogger"]
