"""One call of one tool."""

from aegis_core.action import Action

__all__ = ["Action"]
