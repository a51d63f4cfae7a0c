"""A server as a child process, started before the event loop that will talk to it.

Loading the loop takes twice as long as starting the interpreter, and whatever is loaded while the server starts costs
its client nothing. So nothing here knows ``asyncio`` until somebody waits for the server's end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from aegis_core import portability
from aegis_core.errors import AegisError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator, Sequence

__all__ = ["Started", "explained", "found"]

GRACE = 5.0
"""Seconds a server has to end after it was asked to terminate."""


class Started:
    """A server that was started, and our ends of the pipes to it. Its standard error is ours.

    Args:
        command: Its command and arguments; the program is looked for in ``PATH``.

    Attributes:
        pid: The process, which leads a group of its own.
        stdin: What we write to, without a buffer.
        stdout: What we read from, without a buffer.

    Raises:
        AegisError: It could not be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        program = found(command[0], os.environ.get("PATH", ""))
        # Made here because asyncio's own take every line round the event loop once more.
        theirs, (self.stdin, self.stdout) = portability.pipes_of_child()
        try:
            with explained(command[0]):
                self._process = subprocess.Popen[bytes](
                    [program, *command[1:]], stdin=theirs[0], stdout=theirs[1], **portability.own_process_group()
                )
        except BaseException:
            self.stdin.close()
            self.stdout.close()
            raise
        finally:
            for end in theirs:
                os.close(end)
        self.pid = self._process.pid
        self._ended: asyncio.Future[int] | None = None

    @property
    def returncode(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it; None until somebody has waited for it."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end."""
        import asyncio  # noqa: PLC0415 - see above

        from aegis_core.threads import in_thread  # noqa: PLC0415 - likewise

        if self._ended is None:
            self._ended = asyncio.ensure_future(in_thread(self._process.wait, name="aegis-server"))
        return await asyncio.shield(self._ended)

    def abandon(self) -> None:
        """End it, and whatever it has started, if it runs still."""
        for number in (signal.SIGTERM, portability.SIGKILL):
            if self._process.poll() is None:
                portability.signal_group(self.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(GRACE)


@contextlib.contextmanager
def explained(program: str) -> Generator[None]:
    """Say in a sentence what keeps a server from starting.

    Raises:
        AegisError: It could not be started.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # the latter where an argument holds a NUL
        why: Any = getattr(error, "strerror", None) or error
        raise AegisError(f"the server {program!r} could not be started: {why}") from error


def found(program: str, path: str) -> str:
    """The program's file.

    Args:
        program: Its name, or its place.
        path: Folders, as in ``PATH``.

    Raises:
        AegisError: There is none that can be run.
    """
    place = shutil.which(program, path=path or None)
    if place is not None:
        return place
    if os.path.dirname(program) and os.path.exists(program):  # noqa: PTH110, PTH120 - as `which` looks at it
        raise AegisError(f"the server's command {program!r} is no program, or may not be run (chmod +x)")
    raise AegisError(
        f"the server's command {program!r} was not found; desktop programs often start with a short PATH "
        f"(here {path!r}): give the command's absolute path"
    )
