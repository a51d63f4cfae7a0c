"""The demo's MCP server, over stdio: files, with the tool names of the well-known filesystem server.

It does what it is told with whatever path it is given: the policy keeps the agent in bounds, not the server. It works
with both major versions of the MCP SDK.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["make_server"]


def read_text_file(path: str) -> str:
    """Read a text file."""
    return Path(path).read_text(encoding="utf-8")


def write_file(path: str, content: str) -> str:
    """Write a text file; what was in it is lost."""
    Path(path).write_text(content, encoding="utf-8")
    return f"wrote {len(content)} characters to {path}"


def move_file(source: str, destination: str) -> str:
    """Move or rename a file."""
    Path(source).rename(destination)
    return f"moved {source} to {destination}"


def list_directory(path: str) -> str:
    """List the names in a directory."""
    return "\n".join(sorted(entry.name for entry in Path(path).iterdir()))


def delete_file(path: str) -> str:
    """Delete a file."""
    Path(path).unlink()
    return f"deleted {path}"


def make_server() -> Any:
    """The server, not yet running."""
    try:
        kind = import_module("mcp.server.mcpserver").MCPServer
    except ModuleNotFoundError:  # mcp 1.x
        kind = import_module("mcp.server.fastmcp").FastMCP
    server = kind("filesystem", log_level="ERROR")
    for tool in (read_text_file, write_file, move_file, list_directory, delete_file):
        server.add_tool(tool)
    return server


if __name__ == "__main__":
    make_server().run("stdio")
