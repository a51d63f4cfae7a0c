"""What a hook of Claude Code costs per event, beside starting the interpreter for nothing, each a process, in turns.

Run it as ``python -m benchmarks.bench_hook``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aegis.clients.claude_code.rules import draft
from benchmarks.table import header, row

ROUNDS = 15
GOAL = 15


def main() -> None:
    """Print one table."""
    event = {"session_id": "s", "cwd": "/", "permission_mode": "default", "tool_name": "Bash"}
    event |= {"tool_use_id": "t", "tool_input": {"command": "git status"}}
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "policy.yaml"
        policy.write_text(draft(policy, str(Path(folder) / "aegis_audit.db")))
        hook = [sys.executable, "-E", "-P", "-m", "aegis", "hook", "claude-code", "--policy", str(policy)]
        before = json.dumps({**event, "hook_event_name": "PreToolUse"}).encode()
        after = json.dumps({**event, "hook_event_name": "PostToolUse", "tool_response": "clean"}).encode()
        runs = {
            "pass": ([sys.executable, "-c", "pass"], b""),
            "before": (hook, before),
            "after": (hook, after),
        }
        took = dict.fromkeys(runs, 9e9)
        for _ in range(ROUNDS):
            for name, (command, sent) in runs.items():
                started = time.perf_counter()
                subprocess.run(command, input=sent, check=True, capture_output=True, cwd=folder)
                took[name] = min(took[name], time.perf_counter() - started)
    header()
    row("a hook before the call, beside a bare interpreter", took["before"], took["pass"], GOAL)
    row("a hook after the call, beside a bare interpreter", took["after"], took["pass"], GOAL)


if __name__ == "__main__":
    main()
