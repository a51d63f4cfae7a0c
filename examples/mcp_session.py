"""An MCP session under a policy, offline: one call is allowed, one is asked about, one is blocked; then the trail.

    pip install 'aegis-agents[mcp]'
    python examples/mcp_session.py

The server is Aegis's own example, over stdio; put any other command in its place.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from mcp import ClientSession, StdioServerParameters, stdio_client

from aegis import Policy, Runtime
from aegis.adapters.mcp import govern_session
from aegis.runtime.approval import ApprovalRequest, CallbackApprovalHandler
from aegis.runtime.audit import AuditLogger

POLICY = Policy.from_string("""
version: "1"
rules:
  - name: read_freely
    match: {type: ["read_*", "list_*"], target: filesystem}
    approval: auto
  - name: ask_before_writing
    match: {type: write_file, target: filesystem}
    approval: approve
  - name: never_delete
    match: {type: "delete_*", target: filesystem}
    risk_level: critical
    approval: block
""")


def ask(request: ApprovalRequest) -> bool:
    """Stands for a person. Without a handler of its own, a runtime asks on the terminal."""
    print(f"approval asked for: {request.action.type} {dict(request.action.params)}")
    return True


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder, AuditLogger(Path(folder) / "aegis_audit.db") as trail:
        report = Path(folder) / "files" / "report.csv"
        report.parent.mkdir()
        report.write_text("a,b\n1,2\n")
        runtime = Runtime(
            policy=POLICY, audit_logger=trail, approval_handler=CallbackApprovalHandler(ask, approver="alice")
        )
        command = StdioServerParameters(command=sys.executable, args=["-m", "aegis.demo.server", str(report.parent)])
        async with stdio_client(command) as (read, write), ClientSession(read, write) as session:
            govern_session(session, runtime, server="filesystem")
            await session.initialize()
            for tool, arguments in (
                ("read_text_file", {"path": str(report)}),
                ("write_file", {"path": str(report), "content": "a,b\n3,4\n"}),
                ("delete_file", {"path": str(report)}),
            ):
                result = await session.call_tool(tool, arguments)
                print(f"{tool}: {getattr(result.content[0], 'text', '')}")
        print(f"\non disk: {report.read_text()!r}")

        print("\nthe trail:")
        for entry in trail.get_log():
            who = f" by {entry['approver']}" if entry["approver"] else ""
            print(f"  {entry['action_type']:14} {entry['approval']:8} {entry['result_status']}{who}")


if __name__ == "__main__":
    asyncio.run(main())
