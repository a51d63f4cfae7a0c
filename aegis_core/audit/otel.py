"""Calls as OpenTelemetry spans and metrics (the extra ``otel``), by the conventions for generative AI.

A call is a span ``execute_tool {tool}``: it begins when the call was made, is a child of what was current there, and
ends with the call's outcome or refusal. While the tool runs it is the current span, so what the tool traces belongs to
it. The names are those of the GenAI semantic conventions (in development, as of 1.41) and of our own under ``aegis.``.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from aegis_core.errors import AuditError
from aegis_core.record import Event, Intent, Outcome, began_us
from aegis_core.redact import REDACTOR
from aegis_core.result import ResultStatus

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.trace import Status, StatusCode
except ImportError as error:
    raise ImportError(
        f"OpenTelemetry needs its packages: pip install 'aegis-agents[otel]' ({error})", name=error.name
    ) from error

if TYPE_CHECKING:
    from collections.abc import Generator

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from aegis_core.record import Record, Refusal
    from aegis_core.redact import Redactor

__all__ = ["OpenTelemetryAuditLogger"]

_SCOPE = "aegis"
_TEXT = 1_024
_MAX_OPEN = 10_000
"""Calls in flight whose spans are held; of calls that nobody ever finishes, the oldest are ended first."""
_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)


class OpenTelemetryAuditLogger:
    """Shows calls as spans and metrics. A mirror: put it behind an `AuditLogger`, which is what keeps the trail.

    ``Runtime(audit_logger=[AuditLogger(), OpenTelemetryAuditLogger()])``. What fails here never disturbs a call.
    Without a configured SDK nothing is recorded.

    Metrics: ``gen_ai.execute_tool.duration`` (seconds, of calls that ran) and ``aegis.calls`` (a count, by decision and
    how they ended).

    Args:
        tracer_provider: Makes the spans. Default: the program's.
        meter_provider: Makes the metrics. Default: the program's.
        arguments: Whether spans carry the call's arguments (``gen_ai.tool.call.arguments``), without secrets.
        results: Likewise what the tool returned (``gen_ai.tool.call.result``).
    """

    mirror_only = True

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        arguments: bool = False,
        results: bool = False,
    ) -> None:
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_SCOPE, meter_provider=meter_provider)
        self._durations = meter.create_histogram(
            "gen_ai.execute_tool.duration",
            unit="s",
            description="The duration of a single tool execution.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._calls = meter.create_counter("aegis.calls", unit="{call}", description="Governed calls that ended.")
        self._arguments = arguments
        self._results = results
        self._open: dict[str, Span] = {}
        self._lock = threading.Lock()

    def write(self, record: Record, redactor: Redactor | None = None) -> None:
        """Begin or end a span."""
        redactor = redactor or REDACTOR
        if isinstance(record, Intent):
            self._hold(record.call_id, self._begin(record, redactor))
        elif isinstance(record, Outcome):
            self._end(record, redactor)
        elif not isinstance(record, Event):
            self._refused(record, redactor)

    async def awrite(self, record: Record, redactor: Redactor | None = None) -> None:
        """The same; nothing here waits."""
        self.write(record, redactor)

    @contextlib.contextmanager
    def around(self, intent: Intent) -> Generator[None]:
        """Make the call's span the current one while its tool runs."""
        span = self._open.get(intent.call_id)
        if span is None:
            yield
            return
        before = context.get_current()
        inside = trace.set_span_in_context(span, before)
        context.attach(inside)
        try:
            yield
        finally:
            if context.get_current() is inside:  # a coroutine may be closed in another context than it ran in
                context.attach(before)

    def digest(self, data: bytes) -> str:  # noqa: ARG002 - a sink's signature
        """A mirror has no key.

        Raises:
            AuditError: Always.
        """
        raise AuditError("OpenTelemetry cannot hold a trail; put an AuditLogger before it")

    def close(self) -> None:
        """Do nothing: providers belong to the application, which shuts them down."""

    # --- spans -----------------------------------------------------------------------------------------------------

    def _begin(self, record: Intent | Refusal, redactor: Redactor) -> Span:
        span = self._tracer.start_span(
            f"execute_tool {redactor.name(record.action.type)}",
            attributes=_opening(record, redactor),
            start_time=began_us(record.call_id, record.at) * 1_000,
        )
        if self._arguments and span.is_recording():
            span.set_attribute("gen_ai.tool.call.arguments", redactor.json(record.action.params))
        span.add_event("aegis.decided", timestamp=record.at * 1_000)
        return span

    def _hold(self, call_id: str, span: Span) -> None:
        with self._lock:
            self._open[call_id] = span
            lost = self._open.pop(next(iter(self._open))) if len(self._open) > _MAX_OPEN else None
        if lost is not None:
            lost.set_attribute("aegis.status", ResultStatus.UNKNOWN.value)
            lost.end()

    def _end(self, record: Outcome, redactor: Redactor) -> None:
        with self._lock:
            span = self._open.pop(record.call_id, None)
        failure = None if record.status is ResultStatus.SUCCESS else record.error_type or _KINDS[record.status]
        self._count(record, redactor, failure)
        seconds = max(0, record.at - began_us(record.call_id, record.at - record.duration_us)) / 1e6
        self._durations.record(
            seconds,
            {
                **_operation(record.action.type, redactor),
                **({"gen_ai.agent.name": redactor.name(agent)} if (agent := record.action.agent) is not None else {}),
                **({"error.type": failure} if failure is not None else {}),
            },
            context=None if span is None else trace.set_span_in_context(span),
        )
        if span is None:  # it was begun before us, or by another process
            return
        if self._results and record.data is not None and span.is_recording():
            span.set_attribute("gen_ai.tool.call.result", redactor.json(record.data))
        if record.changes:
            span.set_attribute("aegis.result.changed_by", [redactor.name(name) for name in record.changes])
        text = redactor.text(record.error, limit=_TEXT) if record.error else None
        self._finish(span, record.status, failure, text, record.at)

    def _refused(self, record: Refusal, redactor: Redactor) -> None:
        span = self._begin(record, redactor)
        self._count(record, redactor, record.status.value)
        self._finish(span, record.status, record.status.value, redactor.text(record.reason, limit=_TEXT), record.at)

    def _finish(self, span: Span, status: ResultStatus, failure: str | None, text: str | None, at: int) -> None:
        span.set_attribute("aegis.status", status.value)
        if failure is not None:
            span.set_attribute("error.type", failure)
            span.set_status(Status(StatusCode.ERROR, text))
        span.end(end_time=at * 1_000)

    def _count(self, record: Outcome | Refusal, redactor: Redactor, failure: str | None) -> None:
        self._calls.add(
            1,
            {
                **_operation(record.action.type, redactor),
                "aegis.decision": record.decision.approval.value,
                "aegis.status": record.status.value,
                **({"error.type": failure} if failure is not None else {}),
            },
        )


_KINDS = {status: status.value for status in ResultStatus} | {ResultStatus.FAILED: "tool_error"}
"""What an error is called that is no exception: how the call ended; for what a tool reports, the conventions' word."""


def _operation(tool: str, redactor: Redactor) -> dict[str, str]:
    return {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": redactor.name(tool)}


def _opening(record: Intent | Refusal, redactor: Redactor) -> dict[str, Any]:
    """What is known of a call before its tool runs."""
    action, decision, answer = record.action, record.decision, record.answer
    name = redactor.name
    found: dict[str, Any] = {
        **_operation(action.type, redactor),
        "gen_ai.tool.call.id": name(action.labels.get("tool_call_id", record.call_id)),
        "aegis.call.id": record.call_id,
        "aegis.target": name(action.target),
        "aegis.decision": decision.approval.value,
        "aegis.risk": decision.risk_level.name.lower(),
        "aegis.rule": name(decision.matched_rule),
        "aegis.policy.digest": record.policy_digest,
        "aegis.enforced": not isinstance(record, Intent) or record.enforced,
    }
    for key, value in (
        ("gen_ai.agent.name", action.agent),
        ("gen_ai.conversation.id", action.session_id),
        ("user.id", action.user),
        ("aegis.approval.approver", answer.approver if answer is not None else None),
    ):
        if value is not None:
            found[key] = name(value)
    request_id = getattr(record, "request_id", None) or (answer.request_id if answer is not None else None)
    if request_id is not None:
        found["aegis.approval.request.id"] = request_id
    if answer is not None and answer.approved is not None:
        found["aegis.approval.answer"] = "approved" if answer.approved is True else "denied"
    return found
