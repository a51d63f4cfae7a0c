"""What a policy may answer to calls of a tool, whatever their arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_core.decision import Approval, strictest
from aegis_core.policy.names import refusal

if TYPE_CHECKING:
    from aegis_core.policy.layer import Layer
    from aegis_core.policy.policy import Policy
    from aegis_core.policy.rule import Names

__all__ = ["possible"]

_NEVER: frozenset[Approval] = frozenset((Approval.BLOCK,))


def possible(policy: Policy, names: Names) -> frozenset[Approval]:
    """The approvals a policy can give to calls with these names.

    Conditions are taken to hold, not to hold and to be undecided as it pleases them, so an answer may be among them
    that no call gets (a condition that can never hold); an answer that some call gets is never missing.

    Args:
        policy: The policy.
        names: Type, target, agent and user.
    """
    if any(name is not None and refusal(name) is not None for name in names):
        return _NEVER
    said: set[_Answer] = {(None, Approval.AUTO)}
    for layer in policy.layers:
        said = {_stricter(before, answer) for before in said for answer in _layer(layer, names)}
    # Where every layer is silent the call is blocked, whatever floors were set.
    return frozenset(Approval.BLOCK if decided is None else strictest(decided, floor) for decided, floor in said)


_Answer = tuple[Approval | None, Approval]
"""What a rule or a default decided, None where a layer has no opinion; and the floor that doubts have set."""


def _layer(layer: Layer, names: Names) -> set[_Answer]:
    """What one layer can answer."""
    answers: set[_Answer] = set()
    floors = {Approval.AUTO}
    for rule, matched in layer.concerned(names):
        if matched:
            answers |= {(rule.approval, floor) for floor in floors}
            if not rule.conditions:
                return answers
        raised = {strictest(floor, rule.approval) for floor in floors}
        floors = floors | raised if rule.conditions else raised
    decided = None if layer.default is None else layer.default.approval
    return answers | {(decided, floor) for floor in floors}


def _stricter(first: _Answer, second: _Answer) -> _Answer:
    decided = [answer[0] for answer in (first, second) if answer[0] is not None]
    return strictest(*decided) if decided else None, strictest(first[1], second[1])
