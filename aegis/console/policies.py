"""The policy the console was given: read again when its file changes, asked why a call was stopped."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aegis.core.action import Action
from aegis.core.policy import Policy
from aegis.errors import AegisError
from aegis_core.policy.conditions.truth import Context
from aegis_core.policy.explain import explain
from aegis_core.redact import Redactor

if TYPE_CHECKING:
    from aegis_core.approval.store import Ticket
    from aegis_core.policy.explain import Explanation

__all__ = ["PolicyFile", "action_of", "judged_at"]

_REDACTOR = Redactor()  # made once: it costs more than the explanation. What is explained here is masked already


class PolicyFile:
    """A policy file and the policy it holds now.

    Args:
        path: The file.

    Raises:
        PolicyError: It is not a valid policy.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path).absolute()
        self._lock = threading.Lock()
        self._policy = Policy.from_yaml(self.path)

    def policy(self) -> Policy:
        """The policy as its files are now.

        Raises:
            PolicyError: They are not a valid policy any more.
        """
        with self._lock:
            if any(_text(file) != text for file, text in self._policy.origin.texts().items()):
                self._policy = Policy.from_yaml(self.path)
            return self._policy

    def explain(self, ticket: Ticket) -> Explanation | str:
        """Why a call was stopped, as this policy sees it; or why that cannot be said."""
        try:
            return explain(self.policy(), action_of(ticket), Context(now=judged_at(ticket)), _REDACTOR)
        except (AegisError, TypeError, ValueError) as error:
            return str(error)


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return None


def action_of(ticket: Ticket) -> Action:
    """The call of a request, as far as it was filed: secrets are masked in it."""
    asked = ticket.request
    return Action(
        asked["type"],
        asked["target"],
        asked["params"],
        agent=asked["agent"],
        user=asked["user"],
        session_id=asked["session_id"],
    )


def judged_at(ticket: Ticket) -> datetime:
    """When the call was stopped."""
    return datetime.fromtimestamp(ticket.created_at / 1e6, UTC)
