"""What a server is called where nobody says."""

from __future__ import annotations

import pytest

from aegis_mcp.naming import server_name


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("npx -y @modelcontextprotocol/server-filesystem /data", "filesystem"),
        ("npx -y @modelcontextprotocol/server-memory@2025.9.1", "memory"),
        ("uvx mcp-server-git --repository /work", "git"),
        ("/venv/bin/mcp-server-git --repository /work", "git"),
        ("node_modules/.bin/mcp-server-filesystem /data", "filesystem"),
        ("python -m mcp_server_time", "time"),
        ("bunx weather-mcp", "weather"),
        ("/usr/bin/python3 server.py", "python3"),
    ],
)
def test_a_server_is_called_by_what_its_command_says(command: str, name: str) -> None:
    assert server_name(command.split()) == name
