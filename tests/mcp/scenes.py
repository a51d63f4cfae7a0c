"""Runtimes, servers and clients of the MCP tests; for both major versions of the SDK."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from aegis import Policy, Runtime
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from tests.mcp.connections import ERAS, MAJOR, make_server, tool_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

RULES = [
    {"name": "allow_reads", "match": {"type": ["read_*", "echo", "nothing"]}, "approval": "auto"},
    {"name": "ask_writes", "match": {"type": "write_*"}, "approval": "approve"},
    {"name": "block_deletes", "match": {"type": "delete_*"}, "approval": "block"},
]
ALLOW_ALL = Policy.from_dict({"version": "1", "defaults": {"approval": "auto"}})
eras = pytest.mark.parametrize("era", ERAS)


def make_runtime(*answers: Any, **options: Any) -> Runtime:
    options.setdefault("policy", Policy.from_dict({"version": "1", "rules": RULES}))
    options.setdefault("approval_handler", ScriptedApprovalHandler(answers))
    return Runtime(audit_logger=MemoryAuditLogger(), **options)


def log_of(runtime: Runtime) -> list[dict[str, Any]]:
    trail = runtime.audit_logger
    assert isinstance(trail, MemoryAuditLogger)
    return trail.get_log()


def types() -> Any:
    return import_module("mcp.types" if MAJOR == 1 else "mcp_types")


class Files:
    """A server whose tools remember what ran."""

    def __init__(self) -> None:
        self.ran: list[tuple[Any, ...]] = []
        self.server = make_server(self.read_file, self.write_file, self.delete_file, self.nothing, name="files")

    async def read_file(self, path: str) -> str:
        """Read a file."""
        self.ran.append(("read_file", path))
        return f"content of {path}"

    async def write_file(self, path: str, content: str) -> str:
        """Write a file."""
        self.ran.append(("write_file", path, content))
        return f"wrote {path}"

    async def delete_file(self, path: str) -> str:
        """Delete a file."""
        self.ran.append(("delete_file", path))
        return f"deleted {path}"

    async def nothing(self) -> str:
        """Take no arguments."""
        self.ran.append(("nothing",))
        return "nothing"


async def transcript(session: Any, server: Any) -> list[Any]:
    """What a client sees of a server: results, structured content, metadata, errors, notifications."""
    progress: list[Any] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        progress.append((done, total, message))

    seen: list[Any] = [
        await session.list_tools(),
        await session.list_prompts(),
        await session.list_resources(),
        await session.read_resource("notes://today"),
        await session.get_prompt("greet", {"name": "Zoë"}),
        await session.call_tool("add", {"a": 1, "b": 2}),
        await session.call_tool("echo", {"text": "žluťoučký 🐎 \u0000 \u202e"}, meta={"trace": "t-1"}),
        await session.call_tool("big", {}),
        await session.call_tool("count", {"to": 3}, progress_callback=on_progress),
        await session.call_tool("fails", {}),
        await session.call_tool("add", {"a": "no number"}),
        await session.call_tool("rich", {}),
        await error_of(session.read_resource("notes://none")),
    ]
    return [*(item.model_dump() if hasattr(item, "model_dump") else item for item in seen), progress]


async def error_of(request: Any) -> Any:
    try:
        return await request
    except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
        return (type(error), str(error))


def make_showcase() -> Any:
    t = types()
    context = (import_module("mcp.server.mcpserver") if MAJOR == 2 else import_module("mcp.server.fastmcp")).Context

    def add(a: int, b: int) -> int:
        return a + b

    def echo(text: str) -> str:
        return text

    def big() -> str:
        return "0123456789abcdef" * 65536

    async def count(to: int, ctx: Any) -> str:
        for number in range(to):
            await ctx.report_progress(number, to)
        return "counted"

    count.__annotations__["ctx"] = context

    def fails() -> str:
        raise tool_error("it does not work")

    def rich() -> Any:
        kind = {"mime_type" if MAJOR == 2 else "mimeType": "image/png"}
        return t.CallToolResult(
            content=[t.TextContent(type="text", text="a picture"), t.ImageContent(type="image", data="aGk=", **kind)],
            _meta={"vendor/key": {"nested": [1, 2.5, None]}},
        )

    rich.__annotations__["return"] = t.CallToolResult
    server = make_server(add, echo, big, count, fails, rich)

    def today() -> str:
        return "sunny"

    def greet(name: str) -> str:
        return f"hello {name}"

    server.resource("notes://today")(today)
    server.prompt()(greet)
    return server


def protocol_error(message: str) -> Exception:
    import mcp

    if MAJOR == 2:
        return mcp.MCPError(code=-32000, message=message)
    error: Exception = mcp.McpError(types().ErrorData(code=-32000, message=message))  # type: ignore[attr-defined]
    return error


def memory_streams(server: Any) -> Any:
    if MAJOR == 2:
        from mcp.client._memory import InMemoryTransport

        return InMemoryTransport(server)

    @asynccontextmanager
    async def served() -> AsyncGenerator[Any]:
        memory = import_module("mcp.shared.memory")
        async with memory.create_client_server_memory_streams() as ((read, write), server_streams):
            lowlevel = server._mcp_server
            task = asyncio.create_task(lowlevel.run(*server_streams, lowlevel.create_initialization_options()))
            yield read, write
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return served()
