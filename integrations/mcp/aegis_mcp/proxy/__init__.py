"""The proxy: governance between an MCP client and a server, with no code in either.

Raw JSON-RPC, without the SDK: it has to outlive SDK releases and speak every era of the protocol. `relay` holds what
the proxy means, and knows no transport; `stdio` moves lines between pipes.
"""
