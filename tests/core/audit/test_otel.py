"""Calls as OpenTelemetry spans and metrics, seen through the SDK's exporters in memory."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from aegis import Action, Policy, Runtime
from aegis.errors import AuditError
from aegis.runtime.approval import CallbackApprovalHandler
from aegis.runtime.audit_otel import OpenTelemetryAuditLogger
from aegis.testing import MemoryAuditLogger
from aegis_core.call import Reply

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

POLICY = Policy.from_string("""
version: "1"
rules:
  - {name: reads, match: {type: "read_*"}, risk_level: low, approval: auto}
  - {name: writes, match: {type: "write_*"}, risk_level: high, approval: approve}
  - {name: never, match: {type: "delete_*"}, risk_level: critical, approval: block}
""")
READ = Action("read_file", "fs", {"path": "/a", "password": "hunter2"}, agent="bot", user="ann", session_id="s1")


class Telemetry:
    """A program's telemetry: what it exports is here to be looked at."""

    def __init__(self, *processors: SpanProcessor, policy: Policy = POLICY, answer: bool = True, **options: Any):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        for processor in (*processors, SimpleSpanProcessor(self.exporter)):
            self.provider.add_span_processor(processor)
        self.reader = InMemoryMetricReader()
        meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.tracer = self.provider.get_tracer("test")
        self.logger = OpenTelemetryAuditLogger(tracer_provider=self.provider, meter_provider=meters, **options)
        self.trail = MemoryAuditLogger()

        async def ask(request: Any) -> Any:
            return (
                request.approve(approver="carol")
                if answer
                else request.deny(approver="carol", reason="no, Bearer abcdef0123456789abcdef")
            )

        self.runtime = Runtime(
            policy=policy, audit_logger=[self.trail, self.logger], approval_handler=CallbackApprovalHandler(ask)
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def span(self) -> Any:
        (span,) = self.spans
        return span

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


def read(_arguments: dict[str, Any]) -> str:
    return "12 lines"


def breaks(_arguments: dict[str, Any]) -> str:
    raise KeyError("x")


def test_a_call_is_a_span_with_the_attributes_of_the_conventions_and_our_own():
    telemetry = Telemetry()
    with telemetry.tracer.start_as_current_span("agent") as parent:
        result = telemetry.runtime.run(READ.replace(labels={"tool_call_id": "call_1"}), read)
    span, _ = telemetry.spans
    assert span.name == "execute_tool read_file"
    assert span.parent == parent.get_span_context()
    assert span.kind.name == "INTERNAL"
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "read_file",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.agent.name": "bot",
        "gen_ai.conversation.id": "s1",
        "user.id": "ann",
        "aegis.call.id": result.call_id,
        "aegis.target": "fs",
        "aegis.decision": "auto",
        "aegis.risk": "low",
        "aegis.rule": "reads",
        "aegis.policy.digest": POLICY.digest,
        "aegis.enforced": True,
        "aegis.status": "success",
    }
    intent, outcome = telemetry.trail.records
    assert span.end_time == outcome.at * 1_000
    (decided,) = span.events
    assert (decided.name, decided.timestamp) == ("aegis.decided", intent.at * 1_000)
    assert span.start_time is not None
    assert parent.start_time <= span.start_time + 1_000  # type: ignore[attr-defined]
    assert span.start_time <= decided.timestamp <= span.end_time


async def _arun(runtime: Runtime, action: Action, tool: Any) -> Any:
    async def work(arguments: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return tool(arguments)

    return await runtime.arun(action, work)


@pytest.mark.parametrize("door", ["sync", "async"])
def test_what_the_tool_traces_belongs_to_its_call_and_afterwards_the_caller_is_current_again(door):
    telemetry = Telemetry()

    def tool(_arguments: dict[str, Any]) -> str:
        with telemetry.tracer.start_as_current_span("query"):
            return "rows"

    async def both() -> None:
        with telemetry.tracer.start_as_current_span("agent"):
            if door == "async":
                await asyncio.gather(*(_arun(telemetry.runtime, READ, tool) for _ in range(3)))
            else:
                for _ in range(3):
                    telemetry.runtime.run(READ, tool)
            with telemetry.tracer.start_as_current_span("after"):
                pass

    asyncio.run(both())
    spans = {span.context.span_id: span for span in telemetry.spans if span.context}
    named = {name: [s for s in spans.values() if s.name == name] for name in ("query", "after", "agent")}
    assert len(spans) == 8
    (agent,) = named["agent"]
    parents = [spans[span.parent.span_id] for span in named["query"] if span.parent]
    assert [parent.name for parent in parents] == ["execute_tool read_file"] * 3
    assert len(set(map(id, parents))) == 3
    assert all(parent.parent == agent.context for parent in parents)
    assert [span.parent for span in named["after"]] == [agent.context]


def test_arguments_and_results_are_shown_on_request_only_and_without_secrets():
    hidden, shown = Telemetry(), Telemetry(arguments=True, results=True)
    for telemetry in (hidden, shown):
        telemetry.runtime.run(READ, lambda _: {"rows": 3, "token": "xoxb-1"})
    assert not [key for key in hidden.span().attributes if key.startswith("gen_ai.tool.call.") and "id" not in key]
    assert shown.span().attributes["gen_ai.tool.call.arguments"] == '{"path":"/a","password":"[redacted]"}'
    assert shown.span().attributes["gen_ai.tool.call.result"] == '{"rows":3,"token":"[redacted]"}'


@pytest.mark.parametrize(
    ("tool", "kind", "text"),
    [
        (breaks, "KeyError", "KeyError: 'x'"),
        (lambda _: Reply(None, "no such file"), "tool_error", "no such file"),
    ],
)
def test_a_failed_call_is_an_error_of_its_kind(tool, kind, text):
    telemetry = Telemetry()
    assert not telemetry.runtime.run(READ, tool).ok
    span = telemetry.span()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, text)
    assert (span.attributes["error.type"], span.attributes["aegis.status"]) == (kind, "failed")
    (point,) = telemetry.points("gen_ai.execute_tool.duration")
    assert point.attributes["error.type"] == kind


def test_a_blocked_call_is_a_span_that_says_why_and_no_execution():
    telemetry = Telemetry()
    telemetry.runtime.run(READ.replace(type="delete_file"), read)
    span = telemetry.span()
    assert span.status.status_code is StatusCode.ERROR
    assert "never" in span.status.description
    assert (span.attributes["error.type"], span.attributes["aegis.decision"]) == ("blocked", "block")
    assert telemetry.points("gen_ai.execute_tool.duration") == []
    (point,) = telemetry.points("aegis.calls")
    assert (point.value, point.attributes["aegis.status"]) == (1, "blocked")


def test_the_span_of_a_call_that_a_person_answered_covers_the_waiting_and_names_them():
    telemetry = Telemetry()
    telemetry.runtime.run(READ.replace(type="write_file"), read)
    span = telemetry.span()
    assert span.attributes["aegis.approval.answer"] == "approved"
    assert span.attributes["aegis.approval.approver"] == "carol"
    assert span.attributes["aegis.approval.request.id"]
    refused = Telemetry(answer=False)
    refused.runtime.run(READ.replace(type="write_file"), read)
    assert refused.span().attributes["aegis.approval.answer"] == "denied"
    assert refused.span().status.description == "denied by carol: no, Bearer [redacted]"


def test_durations_and_counts_are_metrics():
    telemetry = Telemetry()
    for _ in range(3):
        telemetry.runtime.run(READ, read)
    (point,) = telemetry.points("gen_ai.execute_tool.duration")
    assert point.count == 3
    assert point.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "read_file",
        "gen_ai.agent.name": "bot",
    }
    spans = sum(span.end_time - span.start_time for span in telemetry.spans if span.end_time and span.start_time)
    assert point.sum == pytest.approx(spans / 1e9)
    (calls,) = telemetry.points("aegis.calls")
    assert (calls.value, calls.attributes["aegis.decision"]) == (3, "auto")


def test_a_call_that_is_begun_and_finished_elsewhere_is_a_span_and_leaves_no_context_behind():
    telemetry = Telemetry()
    with telemetry.tracer.start_as_current_span("agent") as agent:
        call = telemetry.runtime.begin(READ)
        with telemetry.tracer.start_as_current_span("framework") as framework:
            assert framework.parent == agent.get_span_context()  # type: ignore[attr-defined]
        thread = threading.Thread(target=call.finish, args=("data",))
        thread.start()
        thread.join()
    assert [span.name for span in telemetry.spans] == ["framework", "execute_tool read_file", "agent"]


async def test_a_cancelled_call_is_a_cancelled_span():
    telemetry = Telemetry()

    async def hang(_arguments: dict[str, Any]) -> None:
        await asyncio.sleep(60)

    running = asyncio.create_task(telemetry.runtime.arun(READ, hang))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert telemetry.span().attributes["aegis.status"] == "cancelled"
    assert telemetry.span().attributes["error.type"] == "CancelledError"


class Broken(SpanProcessor):
    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("broken processor")

    def on_end(self, span: Any) -> None:
        raise RuntimeError("broken processor")


class Unreachable(SpanExporter):
    def export(self, spans: Any) -> Any:
        raise ConnectionError("no collector")


@pytest.mark.parametrize("processor", [Broken(), SimpleSpanProcessor(Unreachable())], ids=["processor", "exporter"])
async def test_telemetry_that_fails_disturbs_no_call(processor, caplog):
    telemetry = Telemetry(processor)
    with caplog.at_level(logging.CRITICAL):
        assert telemetry.runtime.run(READ, read).data == "12 lines"
        assert (await telemetry.runtime.arun(READ, read)).data == "12 lines"
        assert telemetry.runtime.run(READ.replace(type="delete_file"), read).refused
    assert len(telemetry.trail.records) == 5


def test_spans_of_calls_that_nobody_finishes_do_not_pile_up(monkeypatch):
    monkeypatch.setattr("aegis_core.audit.otel._MAX_OPEN", 5)
    telemetry = Telemetry()
    calls = [telemetry.runtime.begin(READ) for _ in range(8)]
    assert [span.attributes["aegis.status"] for span in telemetry.spans if span.attributes] == ["unknown"] * 3
    for call in calls:
        call.finish("data")
    assert len(telemetry.spans) == 8


def test_it_cannot_hold_the_trail():
    logger = Telemetry().logger
    with pytest.raises(ValueError, match=r"put an AuditLogger first: \[AuditLogger"):
        Runtime(policy=POLICY, audit_logger=logger)
    with pytest.raises(AuditError, match="put an AuditLogger before it"):
        logger.digest(b"x")


def test_without_a_configured_sdk_it_does_nothing():
    trail = MemoryAuditLogger()
    runtime = Runtime(policy=POLICY, audit_logger=[trail, OpenTelemetryAuditLogger()])
    assert runtime.run(READ, read).ok
    assert len(trail.records) == 2


def test_without_opentelemetry_one_sentence_names_the_extra():
    code = "import sys; sys.modules['opentelemetry'] = None; import aegis.runtime.audit_otel"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: OpenTelemetry needs its packages: pip install 'aegis-agents[otel]'" in done.stderr
