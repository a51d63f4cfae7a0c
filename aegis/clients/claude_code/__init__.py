"""Claude Code's hooks: its built-in tools, which no MCP proxy sees, and every other, judged and on record.

``hook`` answers one event, a process each; ``event`` reads what it was sent; ``calls`` judges a call before it is made
and ``outcomes`` writes down how it ended; ``settings`` puts the hook into the client's settings; ``rules`` drafts a
policy that keeps the agent off what governs it.
"""
