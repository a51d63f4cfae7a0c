"""OpenAI Agents: what a governed call costs over the bare tool, as ratios within one run.

Bare and governed calls take turns, so that a noisy machine is noisy for both. Run it as
``python -m benchmarks.bench_openai_agents``.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents import Agent, RunConfig, Runner, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call
from agents.tool_context import ToolContext

from aegis import Policy, Runtime
from aegis.adapters.openai_agents import aegis_guardrails, govern_agent, govern_tool
from aegis.runtime.audit import AuditLogger
from aegis.testing import MemoryAuditLogger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POLICY = Policy.from_dict({"version": "1", "rules": [{"name": "all", "match": {"type": "*"}, "approval": "auto"}]})
ARGUMENTS = '{"path":"/data/report.csv","lines":10}'
OFFLINE = RunConfig(tracing_disabled=True)


async def read_file(path: str, lines: int = 20) -> str:
    """Read a file."""
    return path


def main() -> None:
    """Print one table."""
    asyncio.run(_measure())


async def _measure() -> None:
    with tempfile.TemporaryDirectory() as folder, AuditLogger(Path(folder) / "audit.db") as trail:
        memory, file = (
            Runtime(policy=POLICY, audit_logger=MemoryAuditLogger()),
            Runtime(policy=POLICY, audit_logger=trail),
        )
        tool = function_tool(read_file)
        guards = aegis_guardrails(Runtime(policy=POLICY, audit_logger=MemoryAuditLogger()))
        guarded = function_tool(read_file, tool_input_guardrails=[guards.input], tool_output_guardrails=[guards.output])
        in_memory, on_disk = govern_tool(tool, memory), govern_tool(tool, file)
        print("| what | us | ratio |\n|---|---|---|")
        print("| *one call of a tool* | | |")
        await _table(
            500,
            {
                "bare": lambda: _call(tool),
                "govern_tool, trail in memory": lambda: _call(in_memory),
                "govern_tool, trail on disk": lambda: _call(on_disk),
            },
        )
        print("| *a run: one tool call, two turns of a model that takes no time* | | |")
        agent = Agent[Any]("clerk", tools=[tool])
        governed, guarded_agent = govern_agent(agent, memory), Agent[Any]("clerk", tools=[guarded])
        await _table(
            30,
            {
                "bare": lambda: _run(agent),
                "govern_agent, trail in memory": lambda: _run(governed),
                "aegis_guardrails, trail in memory": lambda: _run(guarded_agent),
            },
        )


async def _table(rounds: int, kinds: dict[str, Callable[[], Awaitable[object]]]) -> None:
    """Measure in turns; one line for each."""
    took: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, call in kinds.items():
            started = time.perf_counter()
            await call()
            took[name].append(time.perf_counter() - started)
    base = statistics.median(took["bare"])
    for name, times in took.items():
        median = statistics.median(times)
        print(f"| {name} | {median * 1e6:,.0f} | {median / base:.2f} |", flush=True)


async def _call(tool: Any) -> object:
    context: Any = ToolContext(None, tool_name="read_file", tool_call_id="1", tool_arguments=ARGUMENTS)
    return await tool.on_invoke_tool(context, ARGUMENTS)


async def _run(agent: Agent[Any]) -> object:
    call = function_call("read_file", {"path": "/data/report.csv", "lines": 10}, call_id="1")
    agent.model = ScriptedModel([[call], [assistant_message("done")]])
    return await Runner.run(agent, "go", run_config=OFFLINE)


if __name__ == "__main__":
    main()
