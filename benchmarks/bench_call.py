"""A governed call: what it adds to the bare one, as ratios to an empty method call timed in the same run.

The machines this runs on are shared: every figure is the fastest of many short rounds, taken in turns, so that all of
them see the same machine. Run it as ``python -m benchmarks call``.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis import Action, Policy, Runtime, governed
from aegis.runtime.approval import DenyAllApprovalHandler
from aegis.runtime.audit import AuditLogger
from aegis.testing import MemoryAuditLogger

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = Policy.from_string("""
version: "1"
rules:
  - {name: reads, match: {type: "read_*"}, approval: auto}
  - {name: never, match: {type: "delete_*"}, approval: block}
""")
ROUNDS, CALLS = 400, 20


class Empty:
    """Has a method that does nothing: the unit of this benchmark."""

    def method(self) -> None:
        """Do nothing."""


class Nowhere:
    """A sink that forgets: what the call costs without its trail."""

    def write(self, record: Any, redactor: Any = None) -> None:
        """Forget."""

    async def awrite(self, record: Any, redactor: Any = None) -> None:
        """Forget."""

    def digest(self, data: bytes) -> str:
        """Nothing is bound here."""
        return ""

    def close(self) -> None:
        """Nothing to do."""


def read_file(path: str, limit: int = 100) -> str:
    """The tool."""
    return "data"


def main() -> None:
    """Print one table."""
    empty = Empty()
    action = Action("read_file", "fs", {"path": "/data/report.csv", "limit": 100})
    refused = Action("delete_file", "fs", {"path": "/data/report.csv"})
    cases: dict[str, Callable[[], object]] = {
        "an empty method call": lambda: empty.method(),  # noqa: PLW0108 - the lambda is in every figure
        "the bare function": lambda: read_file("/data/report.csv"),
    }
    with tempfile.TemporaryDirectory() as folder:
        memory = MemoryAuditLogger()
        file = AuditLogger(Path(folder, "fast.db"), durable=False)
        sinks: dict[str, Any] = {"no trail": Nowhere(), "in memory": memory, "a file, durable=False": file}
        for name, sink in sinks.items():
            runtime = Runtime(policy=POLICY, audit_logger=sink, approval_handler=DenyAllApprovalHandler())
            door = governed(runtime)(read_file)
            cases[f"@governed, {name}"] = lambda door=door: door("/data/report.csv")  # type: ignore[misc]
            cases[f"run(), {name}"] = lambda runtime=runtime: runtime.run(action, _tool)  # type: ignore[misc]
            if sink is not file:
                cases[f"refused, {name}"] = lambda runtime=runtime: runtime.run(refused, _tool)  # type: ignore[misc]
        took = _fastest(cases, between=memory.records.clear)
        nowhere = Runtime(policy=POLICY, audit_logger=Nowhere(), approval_handler=DenyAllApprovalHandler())
        took["arun(), no trail"] = asyncio.run(_coroutine(nowhere, action))
        file.close()
    unit = took["an empty method call"]
    print("| what | us | empty calls |\n|---|---|---|")
    for name, seconds in took.items():
        print(f"| {name} | {seconds * 1e6:.2f} | {seconds / unit:.0f} |")


def _tool(arguments: dict[str, Any]) -> str:
    return "data"


async def _coroutine(runtime: Runtime, action: Action) -> float:
    best = 1e9
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(CALLS):
            await runtime.arun(action, _tool)
        best = min(best, (time.perf_counter() - started) / CALLS)
    return best


def _fastest(cases: dict[str, Callable[[], object]], *, between: Callable[[], object]) -> dict[str, float]:
    """Seconds per call of each case, less what the loop and the lambda cost."""
    best = dict.fromkeys(["nothing", *cases], 1e9)
    for _ in range(ROUNDS):
        between()
        for name, case in {"nothing": lambda: None, **cases}.items():
            started = time.perf_counter()
            for _ in range(CALLS):
                case()
            best[name] = min(best[name], (time.perf_counter() - started) / CALLS)
    nothing = best.pop("nothing")
    return {name: seconds - nothing for name, seconds in best.items()}


if __name__ == "__main__":
    main()
