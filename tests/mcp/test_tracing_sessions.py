"""The trace context through real sessions of the MCP SDK: from the client's call to what the tool sees."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("mcp")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from aegis import Policy, Runtime
from aegis.adapters.mcp import govern_session
from aegis.runtime.audit_otel import OpenTelemetryAuditLogger
from aegis.testing import MemoryAuditLogger
from tests.mcp.connections import MAJOR, connected, make_server, text_of

POLICY = Policy.from_string('version: "1"\nrules: [{name: all, match: {type: "*"}, approval: auto}]')


def _context_type() -> Any:
    if MAJOR == 2:
        from mcp.server.mcpserver import Context

        return Context
    from importlib import import_module

    return import_module("mcp.server.fastmcp").Context


async def test_the_tool_of_a_real_server_is_told_of_the_trace():
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = OpenTelemetryAuditLogger(tracer_provider=provider)
    runtime = Runtime(policy=POLICY, audit_logger=[MemoryAuditLogger(), telemetry])

    async def look(ctx: Any) -> str:
        meta = ctx.request_context.meta
        found = meta.get("traceparent") if isinstance(meta, dict) else getattr(meta, "traceparent", None)
        return str(found)

    look.__annotations__["ctx"] = _context_type()
    async with connected(make_server(look)) as session:
        govern_session(session, runtime, server="notes")
        with provider.get_tracer("test").start_as_current_span("agent") as agent:
            told = text_of(await session.call_tool("look", {}))
    span, _ = exporter.get_finished_spans()
    assert span.parent == agent.get_span_context()
    _, trace_id, parent, _ = told.split("-")
    assert int(trace_id, 16) == agent.get_span_context().trace_id
    assert int(parent, 16) == span.context.span_id
