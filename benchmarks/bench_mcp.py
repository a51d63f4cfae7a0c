"""What governing an MCP session costs per call, over the bare session, as ratios within one run.

The server is in the same process and the trail in memory: what a durable one costs is measured by ``bench_audit``, and
a server in another process by ``bench_proxy``. Bare and governed calls take turns, so that a noisy machine is noisy for
both. Needs the ``mcp`` extra in version 2. Run it as ``python -m benchmarks.bench_mcp``.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from importlib.util import find_spec
from typing import Any

from aegis import Policy, Runtime
from aegis.testing import MemoryAuditLogger
from benchmarks.table import header, row

POLICY = Policy.from_dict({"version": "1", "rules": [{"name": "all", "match": {"type": "*"}, "approval": "auto"}]})
TURNS = 60
CALLS = 20


async def echo(text: str) -> str:
    """Say it again."""
    return text


async def _measure() -> None:
    from mcp import Client
    from mcp.server.mcpserver import MCPServer

    from aegis.adapters.mcp import govern_server, govern_session

    def server() -> Any:
        made = MCPServer("bench", log_level="CRITICAL")
        made.add_tool(echo)
        return made

    def runtime() -> Runtime:
        return Runtime(policy=POLICY, audit_logger=MemoryAuditLogger())

    async with (
        Client(server()) as bare,
        Client(server()) as governed,
        Client(govern_server(server(), runtime())) as inside,
    ):
        govern_session(governed, runtime(), server="bench")
        took: dict[str, list[float]] = {"bare": [], "session": [], "server": []}
        for _ in range(TURNS):
            for name, client in (("bare", bare), ("session", governed), ("server", inside)):
                begun = time.perf_counter()
                for _ in range(CALLS):
                    await client.session.call_tool("echo", {"text": "hello"})
                took[name].append((time.perf_counter() - begun) / CALLS)
    reference = statistics.median(took["bare"])
    row("a call of a governed session, beside a bare one", statistics.median(took["session"]), reference)
    row("a call to a governed server, beside a bare one", statistics.median(took["server"]), reference)


def main() -> None:
    """Print one table."""
    if find_spec("mcp") is None or find_spec("mcp.server.mcpserver") is None:
        print("version 2 of the MCP SDK is not installed: pip install 'aegis-agents[mcp]'")
        return
    header()
    asyncio.run(_measure())


if __name__ == "__main__":
    main()
