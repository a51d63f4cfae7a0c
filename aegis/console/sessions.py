"""Who is logged in: sessions that live in this process's memory, each with a CSRF token of its own."""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Session", "Sessions"]


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that is logged in.

    Attributes:
        name: Who answers from it.
        csrf: What its pages must send with everything that changes something.
        ends_at: When it ends, on the clock of the sessions.
    """

    name: str
    csrf: str
    ends_at: float

    def accepts(self, token: str) -> bool:
        """Whether a request carries the session's CSRF token; compared in constant time."""
        return hmac.compare_digest(self.csrf.encode(), token.encode())


class Sessions:
    """The sessions of one console. They end after a while, by logging out, and with the process.

    Args:
        name: Who answers from all of them.
        lifetime: Seconds until a session ends.
        most: Sessions at once; the oldest ends when another would be too many.
    """

    def __init__(
        self, name: str, *, lifetime: float = 12 * 3600.0, most: int = 100, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._lifetime = lifetime
        self._most = most
        self._clock = clock
        self._open: dict[bytes, Session] = {}

    def open(self) -> tuple[str, Session]:
        """A new session and the value of its cookie, which is kept nowhere."""
        while len(self._open) >= self._most:
            del self._open[next(iter(self._open))]
        cookie = secrets.token_urlsafe(32)
        session = Session(self.name, secrets.token_urlsafe(32), self._clock() + self._lifetime)
        self._open[_key(cookie)] = session
        return cookie, session

    def find(self, cookie: str | None) -> Session | None:
        """The session of a cookie, if it is one and has not ended."""
        if not cookie:
            return None
        # Looked up by digest: how long that takes says nothing about the cookies there are.
        session = self._open.get(_key(cookie))
        if session is not None and session.ends_at <= self._clock():
            del self._open[_key(cookie)]
            return None
        return session

    def close(self, cookie: str | None) -> None:
        """End the session of a cookie."""
        self._open.pop(_key(cookie or ""), None)


def _key(cookie: str) -> bytes:
    return sha256(cookie.encode("utf-8", "surrogateescape")).digest()
