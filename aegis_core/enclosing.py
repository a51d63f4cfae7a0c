"""Doors within doors: a governed tool whose function is governed too is one call, not two.

The call in progress is known to the code it runs, by context variable. A door inside it with the same type and params
*joins* it, once, and only if the inner door's own decision is no stricter than what was already decided; anything else
is a call of its own.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aegis_core.action import Action
    from aegis_core.decision import Decision

__all__ = ["ENCLOSING", "Enclosing", "no_stricter"]


class Enclosing:
    """The governed call that the present code runs inside of. ``open`` until it ends or has been joined."""

    __slots__ = ("action", "open", "runtime")

    def __init__(self, runtime: object, action: Action) -> None:
        self.runtime = runtime
        self.action = action
        self.open = True

    def repeats(self, runtime: object, action: Action) -> bool:
        """Whether ``action`` is this very call being made again by the code it runs."""
        outer = self.action
        return (
            self.open
            and self.runtime is runtime
            and outer.type == action.type
            and outer.canonical_params() == action.canonical_params()
        )


ENCLOSING: ContextVar[Enclosing | None] = ContextVar("aegis_enclosing_call", default=None)


def no_stricter(inner: Decision, outer: Decision) -> bool:
    """Whether an inner door asks for nothing that the outer decision did not already cover."""
    return inner.permitted or (inner.approval is outer.approval and inner.rules_digest == outer.rules_digest)
