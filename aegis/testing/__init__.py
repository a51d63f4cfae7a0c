"""For tests of programs that use Aegis, and of new integrations (`aegis.testing.conformance`)."""

from aegis.testing.approvals import ScriptedApprovalHandler
from aegis_core.audit.memory import MemoryAuditLogger

__all__ = ["MemoryAuditLogger", "ScriptedApprovalHandler"]
