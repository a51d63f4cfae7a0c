"""The list of behaviours every door passes. It ships with the package, for authors of further integrations."""

from aegis.testing.conformance import Answer, Behaviour, Door, ToolError, conformance

__all__ = ["Answer", "Behaviour", "Door", "ToolError", "conformance"]
