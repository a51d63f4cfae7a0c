"""What the soak puts under load: a prefork web app, and a worker pool beside coroutines. `soak` starts them.

Both make their runtime before their processes fork, as gunicorn's ``preload_app`` and Celery's prefork pool do. A call
is named by a word in its arguments; a tool that ran has written that word to a file of its own, so that what ran can be
compared with what is on the trail.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from aegis import Action, Policy, Runtime
from aegis.errors import AuditError
from aegis.runtime.approval import DenyAllApprovalHandler
from aegis.runtime.audit import AuditLogger
from aegis.runtime.watcher import PolicyWatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

POLICY, TRAIL, EFFECTS = (os.environ[f"SOAK_{name}"] for name in ("POLICY", "TRAIL", "EFFECTS"))
RATE = float(os.environ["SOAK_RATE"])
"""Calls a second that the pool makes, and as many again the coroutines beside it."""
RECYCLE = 2_000
"""Tasks after which a worker of the pool is replaced by a new fork."""

runtime = Runtime(
    policy=Policy.from_yaml(POLICY),
    audit_logger=AuditLogger(TRAIL),
    approval_handler=DenyAllApprovalHandler(),
    session_id="soak",
)
_effects = os.open(EFFECTS, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)


def action(word: str) -> Action:
    """The call of that name: one of ten is blocked, one fails, the others succeed."""
    kind = int(word[1:]) % 10
    tool = "delete_file" if kind == 0 else "read_file"
    return Action(tool, "files", {"word": word, "path": f"/data/{word}.csv", "fails": kind == 1})


def tool(arguments: dict[str, Any]) -> str:
    """Leave a trace of having run."""
    os.write(_effects, f"{arguments['word']}\n".encode())
    if arguments["fails"]:
        raise ValueError("as it should")
    return "twelve lines"


def call(word: str) -> str:
    """Make one call; ``refused`` if the trail could not be written."""
    try:
        return runtime.run(action(word), tool).status.value
    except AuditError:
        return "refused"


async def acall(word: str) -> str:
    """`call` from a coroutine."""
    try:
        return (await runtime.arun(action(word), tool)).status.value
    except AuditError:
        return "refused"


def watch() -> None:
    """Follow the policy file from now on. After the fork: a thread does not survive one."""
    watcher = PolicyWatcher(runtime, POLICY)

    def look() -> None:
        while True:
            watcher.poll()
            time.sleep(1)

    threading.Thread(target=look, name="watcher", daemon=True).start()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The web app (WSGI): calls the call that the query names, and says how it ended."""
    said = call(environ["QUERY_STRING"]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(said)))])
    return [said]


def pooled(word: str) -> tuple[str, str]:
    """A task of the pool."""
    return word, call(word)


def main() -> None:
    """The worker pool and the coroutines, until standard input ends. Says every word and how its call ended."""
    stop = threading.Event()
    # Not sys.stdin.read(): who waits in it holds its lock, and forked children would wait for that for ever.
    threading.Thread(target=lambda: (os.read(0, 1), stop.set()), daemon=True).start()
    said: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    pool = multiprocessing.get_context("fork").Pool(2, initializer=watch, maxtasksperchild=RECYCLE)
    watch()

    def feed() -> None:
        number = 0
        while not stop.is_set():
            batch = [f"p{number + index}" for index in range(max(1, round(RATE / 2)))]
            number += len(batch)
            for done in pool.imap_unordered(pooled, batch, chunksize=4):
                said.put(done)
            stop.wait(0.5)

    async def crowd() -> None:
        number = 0
        while not stop.is_set():
            words = [f"a{number + index}" for index in range(max(1, round(RATE / 2)))]
            number += len(words)
            for word, status in zip(words, await asyncio.gather(*map(acall, words)), strict=True):
                said.put((word, status))
            await asyncio.sleep(0.5)

    feeder = threading.Thread(target=feed)
    feeder.start()
    printer = threading.Thread(target=lambda: [print(*done, flush=True) for done in iter(said.get, ("", ""))])
    printer.start()
    asyncio.run(crowd())
    feeder.join()
    pool.close()
    pool.join()
    said.put(("", ""))
    printer.join()
    runtime.close()


if __name__ == "__main__":
    main()
