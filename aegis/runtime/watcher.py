"""Reloading a policy when its files change."""

from aegis_core.watcher import PolicyWatcher

__all__ = ["PolicyWatcher"]
