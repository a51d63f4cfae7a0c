"""The proxy in a trace: a real process between a client's request and what its server hears."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("opentelemetry.sdk")

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the proxy's process groups are tested on POSIX only")

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
# What opentelemetry-instrument does: set the program's provider, then start it.
INSTRUMENTED = textwrap.dedent("""
    import sys
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
    provider = TracerProvider()
    spans = open(sys.argv.pop(1), "w")
    line = lambda span: span.to_json(indent=None) + "\\n"
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=spans, formatter=line)))
    trace.set_tracer_provider(provider)
    from aegis.cli import main
    main()
""")
ECHO = textwrap.dedent("""
    import json, sys
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            content = [{"type": "text", "text": json.dumps(message.get("params"))}]
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"content": content}}), flush=True)
""")


def converse(folder: Path, *options: str) -> Any:
    """Make one call through the proxy, as part of a trace; return what the server heard."""
    (folder / "home").mkdir()
    (folder / "home" / "policy.yaml").write_text(
        'version: "1"\nrules: [{name: all, match: {type: "*"}, approval: auto}]'
    )
    (folder / "echo.py").write_text(ECHO)
    home = folder / "home"
    command = [
        sys.executable,
        "-c",
        INSTRUMENTED,
        str(folder / "spans"),
        "proxy",
        "--policy",
        str(home / "policy.yaml"),
    ]
    command += ["--db", str(home / "audit.db"), "--no-lock", *options, "--", sys.executable, str(folder / "echo.py")]
    params = {"name": "read", "arguments": {}, "_meta": {"traceparent": f"00-{TRACE}-{PARENT}-01", "progressToken": 1}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    done = subprocess.run(
        command, input=json.dumps(request) + "\n", capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(json.loads(done.stdout)["result"]["content"][0]["text"])


def test_the_proxy_stands_in_the_trace_between_client_and_server(tmp_path):
    heard = converse(tmp_path, "--otel")
    (span,) = map(json.loads, (tmp_path / "spans").read_text().splitlines())
    assert span["name"] == "execute_tool read"
    assert span["context"]["trace_id"] == f"0x{TRACE}"
    assert span["parent_id"] == f"0x{PARENT}"
    own = span["context"]["span_id"].removeprefix("0x")
    assert heard["_meta"] == {"traceparent": f"00-{TRACE}-{own}-01", "progressToken": 1}


def test_without_being_asked_to_it_passes_the_trace_as_it_is(tmp_path):
    heard = converse(tmp_path)
    assert heard["_meta"] == {"traceparent": f"00-{TRACE}-{PARENT}-01", "progressToken": 1}
    assert (tmp_path / "spans").read_text() == ""
