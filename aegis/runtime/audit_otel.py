"""The audit trail as OpenTelemetry spans and metrics (the extra ``otel``)."""

from aegis_core.audit.otel import OpenTelemetryAuditLogger

__all__ = ["OpenTelemetryAuditLogger"]
