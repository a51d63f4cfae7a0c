"""An agent in a process of its own: every line on standard input is a call, every line it prints is how one ended.

Run as ``python -m tests.console.agent DB POLICY``. A call is JSON: type, target, params and, optionally, agent,
session_id, description.
"""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aegis import Action, Policy, Runtime
from aegis.runtime.approval import QueueApprovalHandler
from aegis.runtime.audit import AuditLogger

_printing = threading.Lock()


def main() -> None:
    """Make calls until standard input ends."""
    db, policy = sys.argv[1:]
    with AuditLogger(db) as trail, ThreadPoolExecutor(400) as pool:
        handler = QueueApprovalHandler(trail)
        runtime = Runtime(
            policy=Policy.from_yaml(policy), audit_logger=trail, approval_handler=handler, approval_timeout=600
        )
        _say({"ready": True})
        for line in sys.stdin:
            pool.submit(_run, runtime, json.loads(line))
        pool.shutdown(cancel_futures=True)


def _run(runtime: Runtime, call: dict[str, Any]) -> None:
    number = call.pop("number", None)
    action = Action(**{"agent": "reporter", **call})
    result = runtime.run(action, lambda arguments: arguments)
    _say({"number": number, "status": str(result.status), "data": result.data, "error": str(result.error or "")})


def _say(words: dict[str, Any]) -> None:
    with _printing:
        print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main()
