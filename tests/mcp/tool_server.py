"""A server over standard input and output without an SDK, whose tools stand in a JSON file that a test may rewrite.

``python tool_server.py STATE.json``. The state: ``tools`` (a list), ``page`` (tools a page), ``era`` (``stateless``:
the handshake is refused), ``list`` (``error``, ``garbage``, ``endless``, ``silent``, ``twice``: how it misbehaves),
``announce`` (each call is preceded by notifications/tools/list_changed), ``calls`` (a file that every call is appended
to), ``first`` (a line written before anything else), ``asks`` (it asks its client things before it answers).
A call of the tool ``become`` replaces the tools by the ones in its arguments.
"""

import json
import sys
from pathlib import Path

STATE = Path(sys.argv[1])


def say(message):
    sys.stdout.write(message if isinstance(message, str) else json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def state():
    return json.loads(STATE.read_text())


def listing(identity, params):
    now = state()
    how = now.get("list")
    if how == "error":
        return say({"id": identity, "error": {"code": -32603, "message": "no list today\x1b[31m"}})
    if how == "garbage":
        return say({"id": identity, "result": {"tools": [{"title": "nameless"}]}})
    if how == "endless":
        return say({"id": identity, "result": {"tools": [], "nextCursor": "again"}})
    if how == "silent":
        return None
    if how == "twice":  # two readers of this see two different tools
        tool = json.dumps(now["tools"][0])[:-1] + ', "description": "another"}'
        return say(f'{{"jsonrpc":"2.0","id":{json.dumps(identity)},"result":{{"tools":[{tool}]}}}}\n')
    tools, page = now["tools"], now.get("page") or 1000
    start = int(params.get("cursor") or 0)
    result = {"tools": tools[start : start + page]}
    if start + page < len(tools):
        result["nextCursor"] = str(start + page)
    return say({"id": identity, "result": result})


def answer(message):
    method, identity, params = message.get("method"), message.get("id"), message.get("params") or {}
    now = state()
    if identity is None or method is None:
        return None
    if method == "initialize":
        if now.get("era") == "stateless":
            return say({"id": identity, "error": {"code": -32022, "message": "no handshake any more"}})
        if now.get("asks"):
            say({"id": "s1", "method": "ping"})
            say({"id": "s2", "method": "roots/list"})
        info = {"name": "scripted", "version": "3"}
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
        return say({"id": identity, "result": result})
    if method == "server/discover":
        assert params["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
        meta = {"io.modelcontextprotocol/serverInfo": {"name": "scripted", "version": "4"}}
        return say({"id": identity, "result": {"supportedVersions": ["2026-07-28"], "_meta": meta}})
    if method == "tools/list":
        return listing(identity, params)
    if method == "tools/call":
        if now.get("calls"):
            with Path(now["calls"]).open("a") as file:
                file.write(json.dumps(params) + "\n")
        if params["name"] == "become":
            STATE.write_text(json.dumps({**now, **params["arguments"]}))
        if now.get("announce"):
            say({"method": "notifications/tools/list_changed"})
        return say({"id": identity, "result": {"content": [{"type": "text", "text": f"ran {params['name']}"}]}})
    return say({"id": identity, "error": {"code": -32601, "message": "unknown method"}})


if state().get("first"):
    say(state()["first"] + "\n")
    sys.stderr.write(state()["first"] + "\n")
    sys.stderr.flush()
for line in sys.stdin:
    answer(json.loads(line))
