"""Every error Aegis raises on purpose."""

from aegis_core.errors import ActionRefused, AegisError, ApprovalError, AuditError, PolicyError

__all__ = ["ActionRefused", "AegisError", "ApprovalError", "AuditError", "PolicyError"]
