"""What governing a LlamaIndex tool costs per call, over the bare tool, as ratios within one run.

The trail is in memory: what a durable one costs is measured by ``bench_audit``. Needs the ``llamaindex`` extra. Run it
as ``python -m benchmarks.bench_llamaindex``.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from aegis import Policy, Runtime
from aegis.testing import MemoryAuditLogger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POLICY = Policy.from_dict({"version": "1", "rules": [{"name": "all", "match": {"type": "*"}, "approval": "auto"}]})
NUMBER = 500


def main() -> None:
    """Print one table."""
    try:
        from llama_index.core.tools import FunctionTool
        from llama_index.core.tools.calling import acall_tool
    except ModuleNotFoundError:
        print("LlamaIndex is not installed: pip install 'aegis-agents[llamaindex]'")
        return
    from aegis.adapters.llamaindex import govern_tool

    async def read(path: str, limit: int = 10) -> str:
        """Read a file."""
        return path

    tool = FunctionTool.from_defaults(lambda path, limit=10: path, async_fn=read, name="read")
    governed = govern_tool(tool, Runtime(policy=POLICY, audit_logger=MemoryAuditLogger()))
    arguments = {"path": "/data/report.csv"}
    print("| LlamaIndex | us | ratio |\n|---|---|---|")
    bare = _time(lambda: tool.call(**arguments))
    _row("call, bare tool", bare, bare)
    _row("call, govern_tool", _time(lambda: governed.call(**arguments)), bare)
    bare = _atime(lambda: acall_tool(tool, arguments))
    _row("acall_tool, bare tool", bare, bare)
    _row("acall_tool, govern_tool", _atime(lambda: acall_tool(governed, arguments)), bare)


def _time(call: Callable[[], Any]) -> float:
    """Seconds for one call, the best of several rounds."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(NUMBER):
            call()
        best = min(best, time.perf_counter() - start)
    return best / NUMBER


def _atime(call: Callable[[], Awaitable[Any]]) -> float:
    async def rounds() -> float:
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(NUMBER):
                await call()
            best = min(best, time.perf_counter() - start)
        return best / NUMBER

    return asyncio.run(rounds())


def _row(name: str, seconds: float, bare: float) -> None:
    print(f"| {name} | {seconds * 1e6:,.0f} | {seconds / bare:.2f} |")


if __name__ == "__main__":
    main()
