"""A session as a program holds it: who acts in which conversation, and a way to tell what was said in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Session"]


class Session:
    """Who acts, in which conversation; made by `Runtime.session`.

    Attributes:
        id: Names the session on the trail.
        agent: The agent that calls, if known.
        user: On whose behalf, if known.
    """

    __slots__ = ("_tell_result", "_tell_text", "agent", "id", "user")

    def __init__(
        self,
        id: str,  # noqa: A002 - the documented name
        agent: str | None,
        user: str | None,
        *,
        tell_text: Callable[[str, str], None],
        tell_result: Callable[[str, str, str, object], None],
    ) -> None:
        self.id = id
        self.agent = agent
        self.user = user
        self._tell_text = tell_text
        self._tell_result = tell_result

    def add_user_text(self, text: str) -> None:
        """The user said this: what ``param_from: {...: [user]}`` goes by.

        Only what the user wrote belongs here, never what a tool or a model did. Telling a text again costs next to
        nothing, so the whole conversation may be told on every turn.
        """
        self._tell_text(self.id, text)

    def add_result(self, type: str, target: str, value: object) -> None:  # noqa: A002 - as in Action
        """A tool that was not called through Aegis returned this; governed calls tell theirs by themselves.

        Args:
            type: The tool.
            target: Where it lives.
            value: What it returned. It counts for ``param_from`` if the policy's ``trust`` names the tool.
        """
        self._tell_result(self.id, type, target, value)

    def __repr__(self) -> str:
        return f"Session({self.id!r}, agent={self.agent!r}, user={self.user!r})"
