"""An agent with three tools, one that may run, one that needs approval and one that may not; and a second process to
go on in.

Run as a program: ``python -m tests.openai_agents.office DATABASE POLICY STATE ANSWER``, which prints what became of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents import Agent, RunState

from aegis import Policy, Runtime
from aegis.adapters.openai_agents import govern_agent
from aegis.runtime.approval import DenyAllApprovalHandler
from aegis.runtime.audit import AuditLogger
from tests.openai_agents.scripted import as_tool, model, outputs, run

if TYPE_CHECKING:
    from agents.testing import ScriptedModel

RULES = {"read_file": "auto", "write_file": "approve", "delete_file": "block"}
DONE: list[str] = []
"""What the tools of this process did."""


def read_file(path: str) -> str:
    """Read a file."""
    DONE.append(f"read {path}")
    return f"the contents of {path}"


def write_file(path: str, text: str = "") -> str:
    """Write a file."""
    DONE.append(f"wrote {text!r} to {path}")
    return f"wrote {path}"


def delete_file(path: str) -> str:
    """Delete a file."""
    DONE.append(f"deleted {path}")
    return f"deleted {path}"


def clerk(scripted: ScriptedModel | None = None) -> Agent[Any]:
    """The agent, not governed."""
    return Agent("clerk", tools=[as_tool(read_file), as_tool(write_file), as_tool(delete_file)], model=scripted)


CALLS = [
    ("read_file", {"path": "/in"}),
    ("write_file", {"path": "/out", "text": "hello"}),
    ("delete_file", {"path": "/in"}),
]


async def elsewhere(database: str, rules: str, state: str, answer: str) -> dict[str, Any]:
    """Go on with a run whose state was written down, having answered its interruptions."""
    trail = AuditLogger(database)
    policy = Policy.from_dict(json.loads(rules))
    with Runtime(policy=policy, audit_logger=trail, approval_handler=DenyAllApprovalHandler()) as runtime:
        agent = govern_agent(clerk(model()), runtime)
        resumed: Any = await RunState.from_string(agent, state)
        for interruption in resumed.get_interruptions():
            if answer == "approve":
                resumed.approve(interruption)
            elif answer == "reject":
                resumed.reject(interruption, rejection_message="not today")
            elif answer == "always":
                resumed.approve(interruption, always_approve=True)
        result = await run(agent, resumed)
        trail.close()
        return {"done": DONE, "outputs": outputs(result), "interruptions": len(result.interruptions)}


if __name__ == "__main__":
    database, rules, state, answer = sys.argv[1:]
    text = Path(state).read_text(encoding="utf-8")
    print(json.dumps(asyncio.run(elsewhere(database, rules, text, answer))))
