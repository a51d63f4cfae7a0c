"""Layers of policy: org, team, agent. Each is judged on its own; the strictest answer wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aegis_core.errors import PolicyError, Problem
from aegis_core.policy.conditions.truth import Context
from aegis_core.policy.policy import Policy

if TYPE_CHECKING:
    from datetime import datetime

    from aegis_core.action import Action
    from aegis_core.decision import Decision

__all__ = ["LayerConflict", "PolicyHierarchy"]


class LayerConflict(NamedTuple):
    """A layer whose own answer differs from the one that won.

    Attributes:
        layer: ``org``, ``team`` or ``agent``.
        decision: What the layer alone would have said.
        winner: What was decided.
    """

    layer: str
    decision: Decision
    winner: Decision


class PolicyHierarchy:
    """Policies of an organisation, a team and an agent. A lower layer can tighten, never loosen.

    A layer without ``defaults`` has no opinion on calls its rules do not decide; if all layers are silent, the call is
    blocked.

    Args:
        org: The organisation's policy.
        team: The team's.
        agent: The agent's.

    Raises:
        PolicyError: If no layer is given.
        TypeError: If a layer is no policy.
    """

    def __init__(self, org: Policy | None = None, team: Policy | None = None, agent: Policy | None = None) -> None:
        given = {"org": org, "team": team, "agent": agent}
        layers = {name: policy for name, policy in given.items() if policy is not None}
        for name, policy in layers.items():
            _check_policy(name, policy)
        if not layers:
            raise PolicyError(Problem("a hierarchy needs at least one of org, team and agent", "<hierarchy>"))
        self._policy = Policy.of_layers(layers)

    def evaluate(
        self, action: Action, *, session: Any = None, now: datetime | None = None
    ) -> tuple[Decision, tuple[LayerConflict, ...]]:
        """The decision, and the layers that would have decided otherwise."""
        context = Context(session, now)
        decision = self._policy.evaluate(action, session=session, now=context.now)
        conflicts = [
            LayerConflict(layer.name or "", alone, decision)
            for layer, alone in self._policy.alone(action, context)
            if alone.approval is not decision.approval
        ]
        return decision, tuple(conflicts)

    def flatten(self) -> Policy:
        """One policy that decides every call exactly as `evaluate` does."""
        return self._policy


def _check_policy(name: str, policy: object) -> None:
    if not isinstance(policy, Policy):
        raise TypeError(f"{name} must be a Policy, got {policy!r}; Policy.from_yaml reads a file")
