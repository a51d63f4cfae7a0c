"""A server as a child process: started with its pipes and a process group of its own, and ended with all it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

from aegis_core import portability
from aegis_mcp.proxy.frames import MAX_BYTES
from aegis_mcp.proxy.starting import explained, found

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aegis_mcp.proxy.starting import Started

__all__ = ["end_child", "start_child"]


async def start_child(
    command: Sequence[str],
    *,
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """Start a server with its standard input and output on pipes.

    Args:
        command: Its command and arguments; the program is looked for in ``PATH``.
        stderr: As for ``subprocess``; default ours.
        env: Its environment; default ours.

    Raises:
        AegisError: It could not be started.
    """
    program = found(command[0], (os.environ if env is None else env).get("PATH", ""))
    with explained(command[0]):
        return await asyncio.create_subprocess_exec(
            program,
            *command[1:],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=None if env is None else dict(env),
            limit=MAX_BYTES,
            **portability.own_process_group(),
        )


async def end_child(child: asyncio.subprocess.Process | Started, *, grace: float) -> None:
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
