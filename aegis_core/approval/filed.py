"""A request as its record holds it: for people to see, without secrets, and for the call to be made again from.

What people see and what is stored is one text. A call can be made again from it only where nothing had to be left out:
`action_of` rebuilds it, and the digest that the request binds to says whether that is the very call.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aegis_core.action import Action
from aegis_core.redact import MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_core.redact import Redactor
    from aegis_core.request import ApprovalRequest

__all__ = ["action_of", "as_filed", "hidden_edit", "labelled"]


def as_filed(request: ApprovalRequest, redactor: Redactor) -> str:
    """The request as JSON text, with masks in the place of secrets; ``exact`` says that it holds the whole call."""
    action, decision = request.action, request.decision
    told = {
        "type": redactor.name(action.type),
        "target": redactor.name(action.target),
        "params": redactor.params(action.params),
        "agent": _name(action.agent, redactor),
        "user": _name(action.user, redactor),
        "session_id": _name(action.session_id, redactor),
        "description": redactor.text(action.description),
        "labels": redactor.value(dict(action.labels)),
        "rule": redactor.name(decision.matched_rule),
        "risk": decision.risk_level.name,
        "reason": redactor.text(decision.reason),
        "floors": [redactor.name(floor.rule) for floor in decision.floors],
        "policy_digest": request.policy_digest,
        "rules_digest": decision.rules_digest,
        "not_bound": list(request.opaque),
    }
    text = json.dumps(told)
    exact = not request.opaque and action_of(json.loads(text)) == action
    return json.dumps({**told, "exact": exact})


def action_of(filed: Mapping[str, Any]) -> Action:
    """The call of a filed request, masks and all."""
    return Action(
        filed["type"],
        filed["target"],
        filed["params"],
        agent=filed["agent"],
        user=filed["user"],
        session_id=filed["session_id"],
        labels=filed["labels"],
        description=filed["description"],
    )


def hidden_edit(edits: Mapping[str, Any], filed: Mapping[str, Any], redactor: Redactor) -> str | None:
    """The edit whose value may not be stored because it is a secret, or stands where one stood; None if there is none.

    Args:
        edits: Values by the name of an argument, or by JSON Pointer.
        filed: The request.
        redactor: Finds secrets.
    """
    for pointer, value in edits.items():
        path = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[pointer[:1] == "/" :]]
        if labelled(json.dumps(redactor.params({path[-1]: value}))):
            return pointer
        there: Any = filed["params"]
        for part in path:
            if isinstance(there, str) and labelled(there):
                return pointer
            try:
                step: Any = int(part) if isinstance(there, list) else part
                there = there[step]
            except (LookupError, TypeError, ValueError):
                break
        if isinstance(there, str) and labelled(there):
            return pointer
    return None


def labelled(text: str) -> bool:
    """Whether a filed text holds a mask."""
    return MASK[:-1] in text


def _name(text: str | None, redactor: Redactor) -> str | None:
    return None if text is None else redactor.name(text)
