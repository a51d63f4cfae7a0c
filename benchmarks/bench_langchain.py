"""What governing a LangChain tool costs per call, over the bare tool, as ratios within one run.

The trail is in memory: what a durable one costs is measured by ``bench_audit``. Needs the ``langchain`` extra. Run it
as ``python -m benchmarks.bench_langchain``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis import Policy, Runtime
from aegis.testing import MemoryAuditLogger
from benchmarks.timing import atime_of, ratio_row, time_of

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = Policy.from_dict({"version": "1", "rules": [{"name": "all", "match": {"type": "*"}, "approval": "auto"}]})
CALL = {"type": "tool_call", "name": "read", "args": {"path": "/data/report.csv"}, "id": "1"}


def main() -> None:
    """Print one table."""
    try:
        from langchain_core.tools import tool
    except ModuleNotFoundError:
        print("LangChain is not installed: pip install 'aegis-agents[langchain]'")
        return
    from aegis.adapters.langchain import AegisCallbackHandler, govern_tool

    @tool
    def read(path: str, limit: int = 10) -> str:
        """Read a file."""
        return path

    @tool
    async def aread(path: str, limit: int = 10) -> str:
        """Read a file."""
        return path

    def runtime() -> Runtime:
        return Runtime(policy=POLICY, audit_logger=MemoryAuditLogger())

    governed, agoverned = govern_tool(read, runtime()), govern_tool(aread, runtime())
    config: Any = {"callbacks": [AegisCallbackHandler(runtime())]}
    call: Any = CALL
    print("| LangChain | us | ratio |\n|---|---|---|")
    bare = time_of(lambda: read.invoke(call))
    ratio_row("invoke, bare tool", bare, bare)
    ratio_row("invoke, govern_tool", time_of(lambda: governed.invoke(call)), bare)
    ratio_row("invoke, AegisCallbackHandler", time_of(lambda: read.invoke(call, config)), bare)
    bare = atime_of(lambda: aread.ainvoke(call))
    ratio_row("ainvoke, bare tool", bare, bare)
    ratio_row("ainvoke, govern_tool", atime_of(lambda: agoverned.ainvoke(call)), bare)
    ratio_row("ainvoke, AegisCallbackHandler", atime_of(lambda: aread.ainvoke(call, config)), bare)
    _agents(read, runtime)


def _agents(read: Any, runtime: Callable[[], Runtime]) -> None:
    """A whole agent of ``create_agent`` around one call: two turns of an offline model."""
    try:
        from langchain.agents import create_agent
        from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
        from langchain_core.messages import AIMessage
    except ModuleNotFoundError:
        return
    from aegis.adapters.langchain import AegisMiddleware

    class Model(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self

    def messages() -> Any:
        while True:
            call: Any = {"name": CALL["name"], "args": CALL["args"], "id": "1"}
            yield AIMessage("", tool_calls=[call])
            yield AIMessage("done")

    def run(*middleware: Any) -> float:
        agent: Any = create_agent(Model(messages=messages()), [read], middleware=middleware)
        return time_of(lambda: agent.invoke({"messages": [("user", "go")]}), number=20)

    bare = run()
    ratio_row("agent with one call, bare", bare, bare)
    ratio_row("agent with one call, AegisMiddleware", run(AegisMiddleware(runtime())), bare)


if __name__ == "__main__":
    main()
