"""What governing a LlamaIndex tool costs per call, over the bare tool, as ratios within one run.

The trail is in memory: what a durable one costs is measured by ``bench_audit``. Needs the ``llamaindex`` extra. Run it
as ``python -m benchmarks.bench_llamaindex``.
"""

from __future__ import annotations

from aegis import Policy, Runtime
from aegis.testing import MemoryAuditLogger
from benchmarks.timing import atime_of, ratio_row, time_of

POLICY = Policy.from_dict({"version": "1", "rules": [{"name": "all", "match": {"type": "*"}, "approval": "auto"}]})


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
    bare = time_of(lambda: tool.call(**arguments))
    ratio_row("call, bare tool", bare, bare)
    ratio_row("call, govern_tool", time_of(lambda: governed.call(**arguments)), bare)
    bare = atime_of(lambda: acall_tool(tool, arguments))
    ratio_row("acall_tool, bare tool", bare, bare)
    ratio_row("acall_tool, govern_tool", atime_of(lambda: acall_tool(governed, arguments)), bare)


if __name__ == "__main__":
    main()
