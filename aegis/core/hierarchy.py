"""Layers of policy."""

from aegis_core.policy.hierarchy import PolicyHierarchy

__all__ = ["PolicyHierarchy"]
