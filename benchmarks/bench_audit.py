"""The audit trail: what writing, reading and checking cost, as ratios within one run.

The references are measured beside what they are compared with, in turns, so that a noisy machine is noisy for both:
a loop of raw ``write`` and ``fdatasync``, an empty method call, a bare loop over the rows, and the SQLite logger of
agent-aegis 1.0.0, if ``--peer`` names a Python that has it. Run it as ``python -m benchmarks.bench_audit``.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from aegis_core.action import Action
from aegis_core.audit import AuditLogger
from aegis_core.audit.schema import ALL
from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.portability import sync_data
from aegis_core.record import Intent, Outcome, new_id, now_us
from aegis_core.result import ResultStatus

if TYPE_CHECKING:
    from collections.abc import Callable


class Rule:
    digest = "a" * 64


DECISION = Decision(Approval.AUTO, RiskLevel.LOW, "allow_reads", "allowed by rule 'allow_reads'", deciders=(Rule(),))
POLICY = "b" * 64

PEER = """
import sys, time
from aegis import Action, Policy
from aegis.runtime.audit import AuditLogger
policy = Policy.from_dict({"version": "1", "defaults": {"risk_level": "low", "approval": "auto"}, "rules": []})
decision = policy.evaluate(Action("read_file", "filesystem", params={"path": "/data/report.csv"}))
logger = AuditLogger(sys.argv[1])
logger.log("s1", decision)
started = time.perf_counter()
for _ in range(int(sys.argv[2])):
    logger.log("s1", decision)
print((time.perf_counter() - started) / int(sys.argv[2]))
"""


def records() -> tuple[Intent, Outcome]:
    """One call's records, made as a governed call makes them."""
    action = Action("read_file", "filesystem", {"path": "/data/report.csv"}, session_id="s1", agent="bot")
    begun = Intent(new_id(), now_us(), action, DECISION, POLICY)
    return begun, Outcome(begun.call_id, now_us(), ResultStatus.SUCCESS, 1234, action, DECISION, data="12 lines")


def row(what: str, took: float, reference: float, per: str, goal: str = "") -> None:
    """One line of the table; times in seconds."""
    print(f"| {what} | {took * 1e6:,.2f} us | {took / reference:.2f} | {per} | {goal} |", flush=True)


def timed(function: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


class Raw:
    """A file that is appended to and synced: the least that durable writing can cost."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / "raw", os.O_CREAT | os.O_WRONLY)

    def write(self) -> None:
        """Append what one row takes."""
        os.write(self._fd, b"x" * 400)
        sync_data(self._fd)


class Empty:
    """An object with a method that does nothing."""

    def method(self) -> None:
        """Do nothing."""


def empty_call() -> float:
    """Seconds an empty method call takes."""
    method, loop = Empty().method, range(1_000_000)
    return timed(lambda: [method() for _ in loop]) / len(loop)


def lone(folder: Path, calls: int, scale: float) -> None:
    """One caller, durable: batches of calls and of raw writes take turns, and each batch has its own ratio."""
    raw, logger = Raw(folder), AuditLogger(folder / "lone.db")
    begins: list[float] = []
    ends: list[float] = []
    raws: list[float] = []
    ratios: list[float] = []
    for _ in range(int(calls * scale) // 50 + 1):
        begin, end, bare = ([0.0] * 50 for _ in range(3))
        for number in range(50):
            begun, ended = records()
            begin[number] = timed(lambda begun=begun: logger.write(begun))  # type: ignore[misc]
            end[number] = timed(lambda ended=ended: logger.write(ended))  # type: ignore[misc]
        for number in range(50):
            bare[number] = timed(raw.write)
        ratios.append(statistics.median(map(sum, zip(begin, end, strict=True))) / statistics.median(bare))
        begins += begin
        ends += end
        raws += bare
    logger.close()
    reference = statistics.median(raws)
    row("raw write + fdatasync", reference, reference, "raw")
    row("intent, on disk before the tool starts", statistics.median(begins), reference, "raw")
    row("outcome, in the file when the call returns", statistics.median(ends), reference, "raw")
    both = [begin + end for begin, end in zip(begins, ends, strict=True)]
    row("a call, durable, one caller, p50", statistics.median(both), reference, "raw", "<= 2")
    row("... median of the batches' ratios", statistics.median(ratios) * reference, reference, "raw", "<= 2")
    both.sort()
    raws.sort()
    row("... p99", both[len(both) * 99 // 100], raws[len(raws) * 99 // 100], "raw p99")


async def tasks(logger: AuditLogger, count: int, calls: int) -> None:
    """Many coroutines, each making calls one after another."""

    async def one() -> None:
        for _ in range(calls):
            begun, ended = records()
            await logger.awrite(begun)
            await logger.awrite(ended)

    await asyncio.gather(*(one() for _ in range(count)))


def crowd(folder: Path, peer: str | None, scale: float) -> None:
    """100 concurrent tasks, against raw and the peer."""
    raw, logger = Raw(folder), AuditLogger(folder / "crowd.db")
    calls = max(5, int(60 * scale))
    took: list[float] = []
    raws: list[float] = []
    peers: list[float] = []
    asyncio.run(tasks(logger, 100, 5))
    for number in range(3):
        took.append(timed(lambda: asyncio.run(tasks(logger, 100, calls))) / (100 * calls))
        raws.append(timed(lambda: [raw.write() for _ in range(200)]) / 200)
        if peer is not None:
            said = subprocess.run(
                [peer, "-I", "-c", PEER, str(folder / f"peer{number}.db"), str(int(1000 * scale) + 100)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            peers.append(float(said.stdout))
    logger.close()
    each = min(took)
    row("a row, durable, 100 tasks", each / 2, min(raws), "raw", "<= 0.1")
    row("a call, durable, 100 tasks", each, min(raws), "raw")
    if peers:
        row("a call of agent-aegis 1.0.0 (one row, after the tool)", min(peers), min(peers), "peer")
        row("a call, durable, 100 tasks", each, min(peers), "peer", "<= 0.125")


def processes(folder: Path, scale: float) -> None:
    """One process and eight on one file."""
    calls = max(50, int(400 * scale))
    program = (
        "import sys; from benchmarks.bench_audit import AuditLogger, records\n"
        "logger = AuditLogger(sys.argv[1])\n"
        "def call():\n    for record in records(): logger.write(record)\n"
        "call(); print(flush=True); sys.stdin.readline()\n"
        "for _ in range(int(sys.argv[2])): call()\n"
    )

    def run(count: int, name: str) -> float:
        children = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(folder / name), str(calls)],
                cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for _ in range(count)
        ]  # fmt: skip
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        started = time.perf_counter()
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        for child in children:
            child.wait()
        return (time.perf_counter() - started) / (calls * count)

    one, eight = run(1, "one.db"), run(8, "eight.db")
    row("a call, one process", one, one, "one process")
    row("a call, eight processes on one file", eight, one, "one process", "<= 1")


def fast(folder: Path, scale: float) -> None:
    """``durable=False``: what the caller pays, and what the thread drains."""
    empty = empty_call()
    count = int(9_000 * min(1.0, scale)) + 500
    begun, _ = records()
    posts: list[float] = []
    for number in range(5):
        logger = AuditLogger(folder / f"fast{number}.db", durable=False)
        logger.write(begun)
        posts.append(timed(lambda logger=logger: [logger.write(begun) for _ in range(count)]) / count)  # type: ignore[misc]
        logger.close()
    row("an empty method call", empty, empty, "empty call")
    row("a write, fast", min(posts), empty, "empty call")
    row("a call, fast (two writes)", 2 * min(posts), empty, "empty call", "<= 125")
    logger = AuditLogger(folder / "sustained.db", durable=False)
    total = int(60_000 * scale) + 12_000
    took = timed(lambda: ([logger.write(begun) for _ in range(total)], logger.close())) / total
    print(f"| sustained, fast, with back pressure: {1 / took:,.0f} rows a second | | | | |")


def reading(folder: Path, scale: float) -> None:
    """Size, verify and export against bare loops over the same rows."""
    path = folder / "read.db"
    calls = int(50_000 * scale) + 2_000
    with AuditLogger(path, durable=False) as logger:
        for _ in range(calls):
            for record in records():
                logger.write(record)
    with AuditLogger(path) as logger:
        logger.read(lambda db: db.execute("PRAGMA wal_checkpoint"))
        rows = 2 * calls
        size = path.stat().st_size / rows
        print(f"| size of a row | {size:.0f} bytes | {size * 1e6 / 2**20:.0f} MB a million | | <= 350 MB |")

        def hashing() -> None:
            last = bytes(32)
            sql = f"SELECT {', '.join(ALL)} FROM records ORDER BY seq"
            for found in logger.read(lambda db: db.execute(sql)):
                last = hashlib.sha256(last + orjson.dumps(found)).digest()

        def serialising() -> None:
            sql = f"SELECT {', '.join(ALL)} FROM records ORDER BY seq"
            with (folder / "bare.jsonl").open("wb") as file:
                for found in logger.read(lambda db: db.execute(sql)):
                    file.write(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE))

        def memory() -> int:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        bare, checked = min(timed(hashing) for _ in range(2)), min(timed(logger.verify) for _ in range(2))
        row("verify, a row", checked / rows, bare / rows, "bare loop that hashes", "<= 1.43")
        wrote = min(timed(serialising) for _ in range(2)) / calls
        exported = min(timed(lambda: logger.export_jsonl(folder / "out.jsonl")) for _ in range(2)) / calls
        row("export, a call", exported, wrote, "bare loop that serialises", "<= 1.43")
        started = memory()
        logger.verify()
        logger.export_jsonl(folder / "out.jsonl")
        print(f"| memory that verify and export add: {(memory() - started) / 1024:.1f} MB | | | | <= 50 MB |")


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="a Python with agent-aegis 1.0.0")
    parser.add_argument("--scale", type=float, default=1.0, help="how long to measure")
    parser.add_argument("--only", nargs="*", help="lone, crowd, processes, fast, reading")
    options = parser.parse_args()
    print("| what | time | ratio | to | goal |\n|---|---|---|---|---|")
    parts: dict[str, Callable[[Path], None]] = {
        "lone": lambda folder: lone(folder, 1500, options.scale),
        "crowd": lambda folder: crowd(folder, options.peer, options.scale),
        "processes": lambda folder: processes(folder, options.scale),
        "fast": lambda folder: fast(folder, options.scale),
        "reading": lambda folder: reading(folder, options.scale),
    }
    for name in options.only or parts:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            parts[name](Path(folder))


if __name__ == "__main__":
    main()
