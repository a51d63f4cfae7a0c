"""What a policy needs of its surroundings besides the call: the session's state, the trail's memory, the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_core.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_core.policy.layer import Layer
    from aegis_core.policy.results import ResultRule

__all__ = ["Needs"]


class Needs:
    """What keeps a policy's promises; computed once.

    Attributes:
        session: Whether any rule asks about the session.
        history: Whether any rule asks what was begun in the session before (``after``).
        budgets: Whether any rule has a budget (``calls``).
        results: The result rules of all layers, in order.
        redactor: What masks secrets on the trail; None where the policy adds nothing to the default.
        listening: What must be heard to answer: a policy with another value has not heard the same.
    """

    __slots__ = ("_layers", "budgets", "history", "listening", "redactor", "results", "session")

    def __init__(self, layers: Sequence[Layer]) -> None:
        asked = [
            (layer, rule.document.conditions)
            for layer in layers
            for rule in layer.rules
            if rule.document.conditions is not None
        ]
        traced = [(layer, conditions.param_from) for layer, conditions in asked if conditions.param_from]
        self.history = any(conditions.after is not None for _, conditions in asked)
        self.budgets = any(conditions.calls is not None for _, conditions in asked)
        self.session = self.history or self.budgets or bool(traced)
        self.results: tuple[ResultRule, ...] = tuple(rule for layer in layers for rule in layer.results)
        redacts = [document.redact for layer in layers for document in layer.documents if document.redact is not None]
        keys = tuple(key for redact in redacts for key in redact.keys)
        patterns = tuple(pattern for redact in redacts for pattern in redact.patterns)
        self.redactor = Redactor(keys, patterns) if keys or patterns else None
        trusting = [layer for layer, paths in traced if any("trusted" in sources for sources in paths.values())]
        self._layers = tuple(layer for layer in layers if layer in trusting)
        self.listening = tuple(layer.trust.documents for layer in self._layers)

    def may_trust(self, type: str, target: str) -> bool:  # noqa: A002 - as in Action
        """Whether any rule could ask for what a tool returned."""
        return any(layer.trust.of(type, target) is not False for layer in self._layers)
