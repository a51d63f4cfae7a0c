"""Govern the Model Context Protocol: a client session, a server, or single calls."""
