"""The proxy in front of a server over streamable HTTP. Needs the extra ``http``; nothing here is loaded without it.

`app` decides which requests may come in, `exchange` carries one of them through, `sessions` knows which belong
together, `headers` and `sse` are the formats, `serve` listens. What is governed, and how, is the `Relay`'s business.
"""
