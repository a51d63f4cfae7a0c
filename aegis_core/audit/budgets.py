"""Budgets counted in memory, for sinks without a store: right within one process, forgotten with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from aegis_core.record import BudgetExhausted, now_us

if TYPE_CHECKING:
    from aegis_core.record import Intent

__all__ = ["Budgets"]


class Budgets:
    """Sliding windows of the calls that took a unit of a budget."""

    def __init__(self) -> None:
        self._taken: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def take(self, intent: Intent) -> None:
        """Take what an intent reserves: all of it or nothing.

        Raises:
            BudgetExhausted: A budget has no unit left.
        """
        reserves = intent.decision.reserves
        if not reserves:
            return
        now = now_us()
        with self._lock:
            for reserve in reserves:
                window = int(reserve.window * 1e6)
                taken = [at for at in self._taken.get(reserve.key, ()) if at > now - window]
                self._taken[reserve.key] = taken
                if len(taken) >= reserve.limit:
                    first = taken[len(taken) - reserve.limit] if reserve.limit else now
                    raise BudgetExhausted(reserve.key, first + window)
            for reserve in reserves:
                self._taken[reserve.key].append(now)
