"""Whether the trail's chain holds: `aegis audit verify` in a process of its own, at low priority, in bounded time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

__all__ = ["Chain", "ChainStatus"]

_TIMEOUT = 300.0
_FIRST, _EVERY = 3.0, 600.0


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """What is known about the chain.

    Attributes:
        state: ``checking``, ``verified``, ``broken`` or ``unchecked``.
        at: When the check ended, seconds since the epoch.
        rows: Rows checked.
        messages: What is wrong, or what could not be checked.
    """

    state: str = "unchecked"
    at: float | None = None
    rows: int = 0
    messages: tuple[str, ...] = ()


class Chain:
    """Checks the chain when the console starts, from time to time, and when asked to.

    Args:
        db: The trail, as given on the command line.
        public_key: The file of the public key that checks signatures, or None.
        timeout: Seconds after which a check is given up.
        every: Seconds between checks.
    """

    def __init__(
        self, db: str, *, public_key: str | None = None, timeout: float = _TIMEOUT, every: float = _EVERY
    ) -> None:
        self._db = db
        self._key = public_key
        self._timeout = timeout
        self._every = every
        self._wake = threading.Event()
        self._stop = False
        self._running: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self.last = ChainStatus()
        self.is_checking = False

    def start(self) -> None:
        """Begin to check."""
        self._thread = threading.Thread(target=self._follow, name="aegis-console-chain", daemon=True)
        self._thread.start()

    def check_soon(self) -> None:
        """Check now, unless a check is running."""
        if not self.is_checking:
            self.is_checking = True
            self._wake.set()

    def close(self) -> None:
        """Stop, in the middle of a check if need be."""
        self._stop = True
        self._wake.set()
        running = self._running
        if running is not None:
            with contextlib.suppress(OSError):
                running.kill()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _follow(self) -> None:
        self._wake.wait(_FIRST)  # who opens the console wants to see it first
        while not self._stop:
            self._wake.clear()
            self.is_checking = True
            self.last = self._check()
            self.is_checking = False
            self._wake.wait(self._every)

    def _check(self) -> ChainStatus:
        command = [sys.executable, "-m", "aegis", "audit", "verify", "--json"]
        command += ["--public-key", self._key] if self._key else []
        # The database goes by the environment: its URL may hold a password, and arguments are seen by everybody.
        environment = {**os.environ, "AEGIS_DB": self._db}
        with subprocess.Popen(  # noqa: S603 - our own command line
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        ) as process:
            self._running = process
            if self._stop:  # closed while it was started
                process.kill()
            if sys.platform != "win32":
                with contextlib.suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, process.pid, 15)
            try:
                out, err = process.communicate(timeout=self._timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                minutes = f"{self._timeout / 60:.0f} minutes"
                return ChainStatus("unchecked", time.time(), 0, (f"not finished in {minutes}: run aegis audit verify",))
            finally:
                self._running = None
        return _status(out, err)


def _status(out: str, err: str) -> ChainStatus:
    try:
        report = json.loads(out)
    except ValueError:
        return ChainStatus("unchecked", time.time(), 0, tuple(err.splitlines()[-3:]) or ("the check did not finish",))
    broken = [wrong["message"] for wrong in report["breaks"][:20]]
    state = "verified" if report["ok"] else "broken"
    return ChainStatus(state, time.time(), report["rows"], tuple(broken or report["notes"][:20]))
