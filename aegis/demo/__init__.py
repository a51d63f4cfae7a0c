"""The demo: a real MCP server with real files, an agent that follows a script, and a policy between them."""
