"""OpenTelemetry's trace context in the ``_meta`` of a request (SEP-414): taken from it, and handed on in it.

Only used where the runtime makes spans, so OpenTelemetry is installed then. Knows no SDK of MCP.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from opentelemetry import context, propagate, trace

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

__all__ = ["continued", "handed_on"]

_log = logging.getLogger("aegis.mcp")


@contextlib.contextmanager
def continued(params: Mapping[str, Any]) -> Generator[None]:
    """Within the block, the trace that the sender of a request is in goes on; ours, where it is the same already."""
    before = context.get_current()
    incoming = _context_of(params.get("_meta"))
    if incoming is None or _trace_id(incoming) == _trace_id(before):  # ours is nearer
        yield
        return
    context.attach(incoming)
    try:
        yield
    finally:
        if context.get_current() is incoming:  # a coroutine may be closed in another context than it ran in
            context.attach(before)


def handed_on(params: dict[str, Any]) -> dict[str, Any]:
    """The params of a request that is about to be sent, as part of the span that is current here."""
    span = trace.get_current_span()
    meta = params.get("_meta")
    if not span.get_span_context().is_valid or not isinstance(meta, dict | None):
        return params
    span.set_attribute("mcp.method.name", "tools/call")
    carrier: dict[str, str] = {}
    try:
        propagate.inject(carrier)
    except Exception:  # noqa: BLE001 - a propagator is the application's; telemetry must not disturb the call
        _log.warning("the trace context could not be handed on", exc_info=True)
    return {**params, "_meta": {**(meta or {}), **carrier}} if carrier else params


def _context_of(meta: Any) -> context.Context | None:
    if not isinstance(meta, dict):
        return None
    carrier = {key: value for key, value in meta.items() if isinstance(key, str) and isinstance(value, str)}
    try:
        return propagate.extract(carrier, context.get_current())
    except Exception:  # noqa: BLE001 - likewise
        _log.warning("the trace context of a request could not be read", exc_info=True)
        return None


def _trace_id(where: context.Context) -> int:
    return trace.get_current_span(where).get_span_context().trace_id
