"""Executors."""

from aegis_core.executor import BaseExecutor

__all__ = ["BaseExecutor"]
