"""A session: the conversation, thread or run that calls belong to, and who acts in it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Session"]


@dataclass(frozen=True, slots=True)
class Session:
    """Who acts, in which conversation.

    Attributes:
        id: Names the session on the trail.
        agent: The agent that calls, if known.
        user: On whose behalf, if known.
    """

    id: str
    agent: str | None = None
    user: str | None = None
