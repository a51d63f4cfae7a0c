"""Getting in: links that work once, the standing token, and a limit on how often one may guess."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import deque
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Attempts", "Login"]


class Login:
    """What opens the console: a code that works once, and a token if one is set.

    Args:
        token: The standing token, or None.
    """

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else _digest(token)
        self._code: bytes | None = None
        self._lock = threading.Lock()

    @property
    def has_token(self) -> bool:
        """Whether there is a standing token."""
        return self._token is not None

    def new_code(self) -> str:
        """A new code; the one before stops working."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._code = _digest(code)
        return code

    def use_code(self, code: str) -> bool:
        """Whether this is the code; if so, it is used up."""
        with self._lock:
            if self._code is None or not hmac.compare_digest(self._code, _digest(code)):
                return False
            self._code = None
            return True

    def is_token(self, token: str) -> bool:
        """Whether this is the standing token; compared in constant time."""
        return self._token is not None and hmac.compare_digest(self._token, _digest(token))


def _digest(text: str) -> bytes:
    """Digests are compared: they are of one length whatever was sent."""
    return sha256(text.encode("utf-8", "surrogateescape")).digest()


class Attempts:
    """Counts failed logins: too many from one address, or from everywhere, and nobody is let in for a while.

    Args:
        most: Failures from one address.
        most_of_all: Failures from all addresses together.
        per: Seconds in which they are counted.
    """

    def __init__(
        self, *, most: int = 5, most_of_all: int = 50, per: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._most_of_all = most_of_all
        self._per = per
        self._clock = clock
        self._failed: deque[tuple[float, str]] = deque()
        self._lock = threading.Lock()

    def wait(self, address: str) -> int:
        """Seconds until this address may try again; 0 if it may now."""
        with self._lock:
            now = self._clock()
            while self._failed and self._failed[0][0] <= now - self._per:
                self._failed.popleft()
            own = [at for at, who in self._failed if who == address]
            limits = [own[-self._most]] if len(own) >= self._most else []
            if len(self._failed) >= self._most_of_all:
                limits.append(self._failed[-self._most_of_all][0])
            return max((int(at + self._per - now) + 1 for at in limits), default=0)

    def failed(self, address: str) -> None:
        """Somebody guessed wrong."""
        with self._lock:
            self._failed.append((self._clock(), address))
            while len(self._failed) > self._most_of_all:
                self._failed.popleft()
