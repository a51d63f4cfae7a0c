"""Noticing that somebody wrote to the trail's file, promptly and without looking again and again."""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path
from typing import Protocol

__all__ = ["FileWatch", "Watch"]

_MODIFY, _CREATE, _MOVED_TO = 0x2, 0x100, 0x80
_SLICE = 0.05


class Watch(Protocol):
    """Something to wait on until anybody may have written. Not for several threads at once."""

    def wait(self, timeout: float | None) -> bool:
        """Wait at most ``timeout`` seconds; True if there may have been a change, or `wake` was called."""
        ...

    def wake(self) -> None:
        """End a wait, from any thread."""
        ...

    def close(self) -> None:
        """Release everything. Call it when nobody waits."""
        ...


class FileWatch:
    """Waits until a SQLite file may have changed.

    Linux says so at once (inotify on its folder); elsewhere the file is looked at 20 times a second. Not for several
    threads at once; `wake` may be called from any thread, and ends a wait.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._wake_read, self._wake_write = os.pipe()
        self._notify = _inotify(str(self._path.parent)) if sys.platform.startswith("linux") else -1
        self._stamp = self._look()

    def wait(self, timeout: float | None) -> bool:
        """Wait for a change at most ``timeout`` seconds; True if there may have been one, or `wake` was called.

        A change is noticed while it is being written, a moment before it can be read: look once more after that.
        """
        if self._notify < 0:
            return self._wait_looking(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._notify, self._wake_read], [], [], left)
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
                return True
            if not ready:
                return False
            if self._path.name.encode() in os.read(self._notify, 65536):  # names of the file, its -wal and its -journal
                return True

    def wake(self) -> None:
        """End a wait, from any thread."""
        os.write(self._wake_write, b".")

    def close(self) -> None:
        """Release the file descriptors. Call it when nobody waits."""
        for fd in (self._notify, self._wake_read, self._wake_write):
            if fd >= 0:
                os.close(fd)

    def _wait_looking(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while deadline is None or time.monotonic() < deadline:
            ready, _, _ = select.select([self._wake_read], [], [], _SLICE)
            if ready:
                os.read(self._wake_read, 4096)
                return True
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                return True
        return False

    def _look(self) -> tuple[tuple[int, int], ...]:
        found: list[tuple[int, int]] = []
        for name in (self._path.name, f"{self._path.name}-wal"):
            try:
                stat = (self._path.parent / name).stat()
                found.append((stat.st_mtime_ns, stat.st_size))
            except OSError:
                found.append((0, 0))
        return tuple(found)


def _inotify(folder: str) -> int:
    """A descriptor that becomes readable when a file of the folder changes; -1 where that cannot be had."""
    import ctypes  # noqa: PLC0415 - only waiting for people needs it

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        notify = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if notify >= 0 and libc.inotify_add_watch(notify, os.fsencode(folder), _MODIFY | _CREATE | _MOVED_TO) < 0:
            os.close(notify)
            return -1
    except (OSError, AttributeError):
        return -1
    return notify
