"""A governed MCP server on stdio, which asks its client's user: `python elicit_server.py TRAIL`."""

from __future__ import annotations

import sys

from aegis import Runtime
from aegis.adapters.mcp import govern_server
from aegis.runtime.approval import ElicitationApprovalHandler
from aegis_core.audit.sqlite import AuditLogger
from tests.core.policies import ASK
from tests.mcp.connections import make_server


def write_file(path: str) -> str:
    """Write a file."""
    return f"wrote {path}"


if __name__ == "__main__":
    with AuditLogger(sys.argv[1]) as trail:
        runtime = Runtime(policy=ASK, audit_logger=trail, approval_handler=ElicitationApprovalHandler(trail))
        govern_server(make_server(write_file, name="files"), runtime).run("stdio")
