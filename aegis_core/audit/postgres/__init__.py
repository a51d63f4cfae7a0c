"""A trail in PostgreSQL (the extra ``postgres``): many hosts write to it at once."""

from aegis_core.audit.postgres.logger import PostgresAuditLogger

__all__ = ["PostgresAuditLogger"]
