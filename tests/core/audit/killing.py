"""Writers that are killed at random moments: a program that forks one after the other, and what they had been told.

Forks, because starting an interpreter takes ten times as long as the round. ``python -m tests.core.audit.killing TRAIL
ROUNDS TASKS`` prints every acknowledgement the moment it comes: what was printed must be on the trail.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from aegis_core.audit import AuditLogger
from tests.core.audit.samples import intent, outcome

ROUNDS = int(os.environ.get("AEGIS_TEST_KILLS", "50"))
ROOT = Path(__file__).parents[3]


def killed(trail: str, tasks: int, rounds: int = ROUNDS) -> tuple[set[str], set[str]]:
    """Kill so many writers; return the ids of the calls whose intents, and whose outcomes, were acknowledged.

    Args:
        trail: A path or a URL.
        tasks: Coroutines that write at the same time in every writer; 0 for plain code.
        rounds: Writers, one after the other.
    """
    command = [sys.executable, "-m", "tests.core.audit.killing", trail, str(rounds), str(tasks)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    said = [line.split() for line in done.stdout.splitlines()]
    intents, outcomes = ({call_id for kind, call_id in said if kind == wanted} for wanted in ("intent", "outcome"))
    assert intents
    assert outcomes
    return intents, outcomes


def _say(kind: str, call_id: str) -> None:
    os.write(1, f"{kind} {call_id}\n".encode())  # one write: a line is whole or not there


async def _many(logger: AuditLogger, tasks: int) -> None:
    async def one() -> None:
        while True:
            begun = intent()
            await logger.awrite(begun)
            _say("intent", begun.call_id)
            await logger.awrite(outcome(begun))
            _say("outcome", begun.call_id)

    await asyncio.gather(*(one() for _ in range(tasks)))


def _write(trail: str, tasks: int, ready: int) -> None:
    logger = AuditLogger(trail)
    first = intent()
    logger.write(first)
    _say("intent", first.call_id)
    os.write(ready, b".")
    if tasks:
        asyncio.run(_many(logger, tasks))
    while True:
        begun = intent()
        logger.write(begun)
        _say("intent", begun.call_id)
        logger.write(outcome(begun))
        _say("outcome", begun.call_id)


def main(trail: str, rounds: int, tasks: int) -> None:
    """Fork, wait until it writes, and kill it a random while later."""
    for _ in range(rounds):
        is_ready, ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                _write(trail, tasks, ready)
            finally:
                os._exit(1)
        os.close(ready)
        if os.read(is_ready, 1) != b".":
            sys.exit("a writer ended by itself")
        os.close(is_ready)
        time.sleep(random.uniform(0, 0.1))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
