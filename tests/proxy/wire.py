"""A relay between a client and a server that are both this test."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aegis import Policy, Runtime
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from aegis_mcp.proxy.relay import Relay
from aegis_mcp.proxy.way import Way

POLICY = Policy.from_dict(
    {
        "version": "1",
        "rules": [
            {"name": "read", "match": {"type": "read_*"}, "approval": "auto"},
            {"name": "write", "match": {"type": "write_*"}, "approval": "approve"},
            {"name": "delete", "match": {"type": "delete_*"}, "approval": "block"},
        ],
    }
)


class Wire:
    """A relay with a server that echoes params; both sides keep what they were sent."""

    def __init__(
        self,
        *,
        answers: Any = (),
        handler: Any = None,
        policy: Policy = POLICY,
        silent: bool = False,
        trail: Any = None,
    ) -> None:
        self.trail = trail if trail is not None else MemoryAuditLogger()
        self.runtime = Runtime(
            policy=policy, audit_logger=self.trail, approval_handler=handler or ScriptedApprovalHandler(answers)
        )
        self.heard: list[Any] = []  # by the server
        self.raw_heard: list[bytes] = []
        self.said: list[Any] = []  # to the client
        self.raw_said: list[bytes] = []
        self.silent = silent
        self.way = Way(self._client, self._server, ask=self._client)
        self.relay = Relay(self.runtime, server="files", way=self.way)

    def _client(self, data: bytes) -> None:
        self.raw_said.append(data)
        self.said.append(json.loads(data))

    def _server(self, data: bytes) -> None:
        message = json.loads(data)
        self.heard.append(message)
        self.raw_heard.append(data)
        if not self.silent and "id" in message and "method" in message:
            text = json.dumps(message.get("params"))
            self.answer(message["id"], {"content": [{"type": "text", "text": text}]})

    def answer(self, identity: Any, result: Any) -> None:
        self.relay.from_server(json.dumps({"jsonrpc": "2.0", "id": identity, "result": result}).encode() + b"\n")

    def send(self, *messages: Any) -> None:
        for message in messages:
            line = message if isinstance(message, bytes) else json.dumps(message).encode()
            self.relay.from_client(line + b"\n")

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)

    @property
    def log(self) -> list[tuple[str, str]]:
        return [(entry["action_type"], entry["result_status"]) for entry in self.trail.get_log()]


def call(identity: Any, name: Any = "read_file", arguments: Any = None, **more: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": {"path": "/a"} if arguments is None else arguments, **more}
    return {"jsonrpc": "2.0", "id": identity, "method": "tools/call", "params": params}
