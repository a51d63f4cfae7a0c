"""Govern the Model Context Protocol: a client session, a server, or single calls. Loads no SDK before it is needed."""

from aegis_mcp.govern import govern_server, govern_session
from aegis_mcp.precheck import AegisMCPToolFilter, govern_mcp_tool_call

__all__ = ["AegisMCPToolFilter", "govern_mcp_tool_call", "govern_server", "govern_session"]
