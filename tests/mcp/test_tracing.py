"""The trace context in ``_meta``: a server's spans belong to the call, whose span belongs to the client's trace."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from aegis import Policy, Runtime
from aegis.runtime.audit_otel import OpenTelemetryAuditLogger
from aegis.testing import MemoryAuditLogger
from aegis_mcp.tool_calls import ToolCalls

POLICY = Policy.from_string('version: "1"\nrules: [{name: all, match: {type: "*"}, approval: auto}]')
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
INCOMING: dict[str, Any] = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "rojo=1", "progressToken": 7}


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def runtime(provider):
    return Runtime(
        policy=POLICY, audit_logger=[MemoryAuditLogger(), OpenTelemetryAuditLogger(tracer_provider=provider)]
    )


async def send_through(runtime: Runtime, params: dict[str, Any]) -> dict[str, Any]:
    """What a server is sent when a call goes through a door."""
    heard: list[dict[str, Any]] = []

    async def send(judged: dict[str, Any]) -> dict[str, Any]:
        heard.append(judged)
        return {"content": []}

    await ToolCalls(runtime, "files").call(params, send)
    return heard[0]


def parts(traceparent: str) -> list[str]:
    return traceparent.split("-")


async def test_a_call_hands_its_span_on_to_the_server(runtime, provider, exporter):
    with provider.get_tracer("test").start_as_current_span("agent") as agent:
        heard = await send_through(runtime, {"name": "read", "arguments": {"path": "/a"}})
    span, _ = exporter.get_finished_spans()
    _, trace_id, parent, flags = parts(heard["_meta"]["traceparent"])
    assert int(trace_id, 16) == agent.get_span_context().trace_id == span.context.trace_id
    assert int(parent, 16) == span.context.span_id
    assert int(flags, 16) & 1, "the server must know that the trace is recorded"
    assert span.attributes["mcp.method.name"] == "tools/call"


async def test_a_trace_that_comes_in_goes_on_and_the_rest_of_meta_stays(runtime, exporter):
    params = {"name": "read", "arguments": {}, "_meta": INCOMING}
    heard = await send_through(runtime, params)
    (span,) = exporter.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == TRACE
    assert (f"{span.parent.span_id:016x}", span.parent.is_remote) == (PARENT, True)
    assert heard["_meta"] == {
        "traceparent": f"00-{TRACE}-{span.context.span_id:016x}-01",
        "tracestate": "rojo=1",
        "progressToken": 7,
    }
    assert params["_meta"] is INCOMING
    assert INCOMING["traceparent"].endswith(f"{PARENT}-01")  # the caller's message is left as it was


async def test_where_the_trace_is_current_already_the_nearer_span_is_the_parent(runtime, provider, exporter):
    with provider.get_tracer("test").start_as_current_span("server") as server:
        context = server.get_span_context()
        meta = {"traceparent": f"00-{context.trace_id:032x}-{PARENT}-01"}
        await send_through(runtime, {"name": "read", "_meta": meta})
    span, _ = exporter.get_finished_spans()
    assert span.parent.span_id == context.span_id


@pytest.mark.parametrize("meta", [{"traceparent": "nonsense"}, {"traceparent": 7}, "text", {}, None])
async def test_what_is_no_trace_context_begins_a_trace_of_its_own(runtime, exporter, meta):
    heard = await send_through(runtime, {"name": "read", "_meta": meta})
    (span,) = exporter.get_finished_spans()
    assert span.parent is None
    assert heard["_meta"] == meta or f"{span.context.span_id:016x}" in heard["_meta"]["traceparent"]


async def test_without_telemetry_the_message_passes_as_it_is():
    runtime = Runtime(policy=POLICY, audit_logger=MemoryAuditLogger())
    assert await send_through(runtime, {"name": "read", "_meta": INCOMING}) == {"name": "read", "_meta": INCOMING}
    assert await send_through(runtime, {"name": "read"}) == {"name": "read"}
