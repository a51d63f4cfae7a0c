"""The audit trail: what was called, why it was allowed, who said so, and how it ended."""

from aegis_core.audit.memory import MemoryAuditLogger

__all__ = ["MemoryAuditLogger"]
