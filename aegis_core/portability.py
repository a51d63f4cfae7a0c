"""Everything that differs between operating systems, in one place.

Linux is what the tests run on. The branches for macOS and Windows follow their documentation and are untested.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl
    import pwd
    import termios

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

__all__ = [
    "Turns",
    "can_be_asked",
    "create_private",
    "discard_typed",
    "process_identity",
    "process_lives",
    "read_line",
    "user_name",
]

_OFD = sys.platform != "win32" and hasattr(fcntl, "F_OFD_SETLKW")
if _OFD:
    # struct flock: type, whence, start, length, pid (which must be 0).
    # Byte 0 of the lock file is the gate, byte 1 the turn.
    _LOCK_GATE, _LOCK_TURN, _LOCK_BOTH, _UNLOCK_GATE, _UNLOCK_BOTH = (
        struct.pack("@hhqqi", kind, os.SEEK_SET, start, length, 0)
        for kind, start, length in (
            *((fcntl.F_WRLCK, 0, 1), (fcntl.F_WRLCK, 1, 1), (fcntl.F_WRLCK, 0, 2)),
            *((fcntl.F_UNLCK, 0, 1), (fcntl.F_UNLCK, 0, 2)),
        )
    )


def create_private(path: str) -> bool:
    """Create an empty file that only its owner can read and write; False if something is there already."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return False
    return True


def sync_data(fd: int) -> None:
    """Return when everything written to a file so far is on the disk."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync() leaves the data in the drive's cache
    elif sys.platform == "win32":
        os.fsync(fd)
    else:
        os.fdatasync(fd)


def sync_folder(path: str) -> None:
    """Return when the names of the files in a folder are on the disk."""
    if sys.platform == "win32":
        return  # a folder cannot be opened; NTFS journals its names
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Turns:
    """A lock between processes that gives everybody a turn, on a file that holds nothing.

    A process that lets go and comes straight back would overtake those that are still waking up, and one of four
    processes was seen to get a single turn in three seconds. So there is a gate before the lock: who waits for the lock
    holds the gate, and who comes back queues behind it.

    Linux's open-file-description locks are used where there are any: unlike POSIX locks they exclude threads too and
    do not vanish when somebody else in the process closes the file. Elsewhere it is ``flock`` (no gate), on Windows
    ``msvcrt.locking``.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def take(self) -> None:
        """Wait for a turn."""
        fd = self._open()
        if _OFD:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _LOCK_GATE)
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _LOCK_TURN)
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _UNLOCK_GATE)
        else:
            _lock(fd, wait=True)

    def try_take(self) -> bool:
        """Take a turn if nobody else has it or waits for it."""
        fd = self._open()
        try:
            if _OFD:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _LOCK_BOTH)
            else:
                _lock(fd, wait=False)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def give(self) -> None:
        """End the turn."""
        if self._fd < 0:
            return
        if _OFD:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _UNLOCK_BOTH)
        else:
            _unlock(self._fd)

    def close(self) -> None:
        """Close the file, and end the turn if it was ours. It is opened again when needed."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _open(self) -> int:
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)
        return self._fd


if sys.platform == "win32":

    def _lock(fd: int, *, wait: bool) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        while True:
            try:
                msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError:  # LK_LOCK gives up after ten seconds
                if not wait:
                    raise
            else:
                return

    def _unlock(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:

    def _lock(fd: int, *, wait: bool) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


def process_identity() -> str:
    """Names this process among all processes of this machine, past and present."""
    return f"{_machine()} {os.getpid()} {_started(os.getpid())}"


def process_lives(identity: str) -> bool:
    """Whether a process named by `process_identity` is still there. False if that cannot be seen from here.

    A process in another container or on another host cannot be seen.
    """
    machine, pid, started = identity.rsplit(" ", 2)
    if not pid.isdigit() or machine != _machine():
        return False
    if int(pid) == os.getpid():
        return started == _started(os.getpid())
    if started != "?":
        return _started(int(pid)) == started
    if sys.platform == "win32":
        return False  # os.kill() would end it
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _machine() -> str:
    """The boot and the process namespace that process ids are counted in."""
    parts: list[str] = []
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts) or "localhost"


def _started(pid: int) -> str:
    """When a process started, in ticks since boot; ``?`` where that is not known, ``-`` if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return "-" if Path("/proc/self/stat").exists() else "?"
    except OSError:
        return "?"
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may hold anything
    return "-" if fields[0] in b"ZX" else fields[19].decode()


_SLICE = 0.1
"""Seconds after which somebody who waits for a line looks up."""


def can_be_asked(terminal: TextIO) -> bool:
    """Whether reading from this terminal is ours to do: a job in the background would be stopped by it."""
    if sys.platform == "win32":
        return True
    try:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # not our controlling terminal, so there is no job control
        return True


def read_line(terminal: TextIO, deadline: float | None, *, give_up: Callable[[], bool] = bool) -> str | None:
    """A line typed on a terminal.

    It reads the file descriptor, past Python's buffer: a thread that waits here holds no lock that the interpreter
    needs in order to exit.

    Args:
        terminal: The terminal, e.g. ``sys.stdin``.
        deadline: A time of `time.monotonic`; None waits for ever.
        give_up: Asked several times a second; True ends the waiting.

    Returns:
        The line without its end; ``""`` at the end of input; None if the deadline passed or it gave up.
    """
    typed = ""
    while not give_up():
        wait = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
        if wait <= 0:
            break
        some = _typed(terminal, wait)
        if some == "":
            return ""
        typed += some or ""
        line, end, _ = typed.replace("\r", "\n").partition("\n")
        if end:
            return line
    return None


if sys.platform == "win32":

    def user_name() -> str:
        """The user this process runs as."""
        return os.getlogin()

    def discard_typed(terminal: TextIO) -> None:  # noqa: ARG001 - a console has one keyboard
        """Throw away what was typed so far. Called before a question is shown: nobody can have answered it yet."""
        while msvcrt.kbhit():
            msvcrt.getwch()

    def _typed(terminal: TextIO, wait: float) -> str | None:  # noqa: ARG001
        end = time.monotonic() + wait
        while not msvcrt.kbhit():
            if time.monotonic() >= end:
                return None
            time.sleep(0.02)
        character = msvcrt.getwche()
        return "" if character in ("\x03", "\x1a") else character

else:

    def user_name() -> str:
        """The user this process runs as. The environment's word (``USER``) is not asked: it proves nothing."""
        try:
            return pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # a container may run as a user nobody has named
            return f"uid {os.getuid()}"

    def discard_typed(terminal: TextIO) -> None:
        """Throw away what was typed so far. Called before a question is shown: nobody can have answered it yet."""
        with contextlib.suppress(termios.error, OSError, ValueError):
            termios.tcflush(terminal.fileno(), termios.TCIFLUSH)

    def _typed(terminal: TextIO, wait: float) -> str | None:
        """What is typed within ``wait`` seconds; ``""`` at the end of input, None if nothing is."""
        fd = terminal.fileno()
        if not select.select([fd], [], [], wait)[0]:
            return None
        try:
            return os.read(fd, 4096).decode(terminal.encoding or "utf-8", "replace")
        except OSError:  # the other end of the terminal is gone
            return ""


SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""The signal no process can refuse; on Windows every signal is such a one."""


def own_process_group() -> dict[str, Any]:
    """Arguments for ``subprocess`` that give a child a process group of its own, which ends when this process does.

    The end with this process is Linux's (``PR_SET_PDEATHSIG``); elsewhere a child learns of it from its closed input.
    """
    if sys.platform == "win32":
        return {"creationflags": 0x00000200}  # CREATE_NEW_PROCESS_GROUP
    if not sys.platform.startswith("linux"):
        return {"start_new_session": True}
    return {"start_new_session": True, "preexec_fn": _end_with_parent()}


def _end_with_parent() -> Callable[[], None]:
    import ctypes  # noqa: PLC0415 - only who starts a child needs it

    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: after the fork, nothing may be loaded
    parent = os.getpid()

    def arrange() -> None:
        prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return arrange


def pipes_of_child() -> tuple[tuple[int, int], tuple[Any, Any]]:
    """Two pipes between a child and an event loop of ours.

    Returns:
        The child's standard input and output, as descriptors; and what we write to and read from, as file objects.
    """
    if sys.platform == "win32":
        from asyncio.windows_utils import PipeHandle, pipe  # noqa: PLC0415 - Windows only

        reading, writing = pipe(overlapped=(False, True)), pipe(overlapped=(True, False))
        theirs = msvcrt.open_osfhandle(reading[0], os.O_RDONLY), msvcrt.open_osfhandle(writing[1], 0)
        return theirs, (PipeHandle(reading[1]), PipeHandle(writing[0]))
    stdin, ours_out = os.pipe()
    ours_in, stdout = os.pipe()
    return (stdin, stdout), (os.fdopen(ours_out, "wb", buffering=0), os.fdopen(ours_in, "rb", buffering=0))


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a child's whole process group; nothing happens if it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            os.kill(pid, signal.SIGTERM)
        else:
            os.killpg(pid, number)


def read_key(terminal: TextIO) -> str:
    """One key pressed on a terminal, without waiting for the end of the line; Ctrl-D at the end of input."""
    if sys.platform == "win32":
        return msvcrt.getwch()
    import termios  # noqa: PLC0415 - not on Windows
    import tty  # noqa: PLC0415 - not on Windows

    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal, termios.TCSANOW)  # what was typed just before counts; Ctrl-C stays a signal
        return os.read(terminal.fileno(), 1).decode("ascii", "replace") or "\x04"
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
