"""The trail in PostgreSQL: four writers, beside four programs that COPY the same rows with bare psycopg.

Both write to a private server that waits for its disk, in turns, a hundred rows a transaction: what a hundred tasks
have to write at a time. The bare programs get their rows ready made (no redaction, no rendering, no chain). Run it as
``python -m benchmarks postgres``; without a server or psycopg it says so.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_core.audit import AuditLogger
from benchmarks.bench_audit import records
from benchmarks.table import header, row
from tests.core.audit.postgres_server import SUPERUSER, PrivateServer, binaries

if TYPE_CHECKING:
    from aegis_core.record import Intent, Outcome

WRITERS, TASKS = 4, 100
CALLS = int(os.environ.get("AEGIS_BENCH_CALLS", "20"))
"""Calls of each task, two rows each."""
ROUNDS = 3


def ours(url: str, *, calls: int = CALLS) -> None:
    """A process with a hundred tasks that have calls to write down."""
    ready = [[records() for _ in range(calls)] for _ in range(TASKS)]

    async def one(logger: AuditLogger, made: list[tuple[Intent, Outcome]]) -> None:
        for begun, ended in made:
            await logger.awrite(begun)
            await logger.awrite(ended)

    async def all_of_them(logger: AuditLogger) -> None:
        await asyncio.gather(*(one(logger, made) for made in ready))

    with AuditLogger(url) as logger:
        logger.write(records()[0])
        wait_for_the_others()
        asyncio.run(all_of_them(logger))


def bare(url: str, *, calls: int = CALLS) -> None:
    """A process that copies rows of the same kinds and sizes into a table that is like the trail's."""
    import psycopg

    from aegis_core.audit.render import COLUMNS, render

    rows = [(*render(record, None, lambda _: "d" * 64),) for _ in range(TASKS * calls) for record in records()]
    with psycopg.connect(url, autocommit=True) as connection:
        names = ", ".join(f'"{name}"' for name in ("number", "writer", *COLUMNS, "hash"))
        copy_in = f"COPY bare.records ({names}) FROM STDIN"
        writer, number = os.getpid(), 0
        wait_for_the_others()
        for start in range(0, len(rows), TASKS):
            with connection.cursor() as cursor, cursor.copy(copy_in) as copy:
                for values in rows[start : start + TASKS]:
                    number += 1
                    copy.write_row((number, writer, *values, bytes(32)))


def wait_for_the_others() -> None:
    """Say that we are ready; go on when told."""
    print(flush=True)
    sys.stdin.readline()


def four(which: str, url: str) -> float:
    """Seconds that four processes take for a row, all together."""
    code = f"import sys; from benchmarks import bench_postgres as bench; bench.{which}(sys.argv[1])"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, url],
            cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(WRITERS)
    ]  # fmt: skip
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    started = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    codes = [child.wait() for child in children]
    took = time.perf_counter() - started
    assert codes == [0] * WRITERS
    return took / (WRITERS * TASKS * CALLS * 2)


def main() -> None:
    """Print one table."""
    programs = binaries()
    if programs is None or find_spec("psycopg") is None:
        print("there is no PostgreSQL server, or no psycopg, to measure; left out")
        return
    server = PrivateServer(programs, durable=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["AEGIS_KEY_FILE"] = str(Path(folder, "key"))
            url = f"{server.url}/{SUPERUSER}"
            import psycopg

            with AuditLogger(url) as logger:
                logger.upgrade()
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE SCHEMA bare")
                connection.execute("CREATE TABLE bare.records (LIKE aegis.records INCLUDING ALL)")
            took: dict[str, list[float]] = {"ours": [], "bare": []}
            for _ in range(ROUNDS):
                for which, times in took.items():
                    times.append(four(which, url))
    finally:
        server.remove()
    header()
    best = {which: min(times) for which, times in took.items()}
    row("a row, four writers of a hundred tasks, and bare COPY", best["ours"], best["bare"], 0.6, at_least=True)


if __name__ == "__main__":
    main()
