"""MCP."""

from aegis_mcp import AegisMCPToolFilter, govern_mcp_tool_call, govern_server, govern_session

__all__ = ["AegisMCPToolFilter", "govern_mcp_tool_call", "govern_server", "govern_session"]
