"""A server as a child process: started with its pipes and a process group of its own, and ended with all it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from typing import TYPE_CHECKING

from aegis_core import portability
from aegis_core.errors import AegisError
from aegis_mcp.proxy.frames import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["end_child", "start_child"]


async def start_child(
    command: Sequence[str],
    *,
    stdin: int = asyncio.subprocess.PIPE,
    stdout: int = asyncio.subprocess.PIPE,
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """Start a server with its standard input and output on pipes.

    Args:
        command: Its command and arguments; the program is looked for in ``PATH``.
        stdin: Its end of a pipe, if not one that is made here; ``stdout`` likewise.
        stdout: As above.
        stderr: As for ``subprocess``; default ours.
        env: Its environment; default ours.

    Raises:
        AegisError: It could not be started.
    """
    program = _found(command[0], (os.environ if env is None else env).get("PATH", ""))
    try:
        return await asyncio.create_subprocess_exec(
            program,
            *command[1:],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=None if env is None else dict(env),
            limit=MAX_BYTES,
            **portability.own_process_group(),
        )
    except (OSError, ValueError) as error:  # the latter where an argument holds a NUL
        why = getattr(error, "strerror", None) or error
        raise AegisError(f"the server {command[0]!r} could not be started: {why}") from error


def _found(program: str, path: str) -> str:
    """The program's file.

    Raises:
        AegisError: There is none that can be run.
    """
    found = shutil.which(program, path=path or None)
    if found is not None:
        return found
    if os.path.dirname(program) and os.path.exists(program):  # noqa: PTH110, PTH120 - as `which` looks at it
        raise AegisError(f"the server's command {program!r} is no program, or may not be run (chmod +x)")
    raise AegisError(
        f"the server's command {program!r} was not found; desktop programs often start with a short PATH "
        f"(here {path!r}): give the command's absolute path"
    )


async def end_child(child: asyncio.subprocess.Process, *, grace: float) -> None:
    """End a server and whatever it has started.

    Args:
        child: The server.
        grace: Seconds it has to end after it was asked to terminate.
    """
    for number in (signal.SIGTERM, portability.SIGKILL):
        portability.signal_group(child.pid, number)
        if child.returncode is not None:
            continue
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(child.wait()), grace)
