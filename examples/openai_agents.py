"""An OpenAI agent under a policy, offline: one call is allowed, one is asked about, one is blocked; then the trail.

    pip install 'aegis-agents[openai-agents]'
    python examples/openai_agents.py

The model is scripted so that this runs without a key; leave it out to use your own.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from agents import Agent, RunConfig, Runner, RunState, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call

from aegis import Policy, Runtime
from aegis.adapters.openai_agents import govern_agent
from aegis.runtime.audit import AuditLogger

POLICY = Policy.from_string("""
version: "1"
rules:
  - name: read_freely
    match: {type: "read_*"}
    approval: auto
  - name: ask_before_sending
    match: {type: send_email}
    approval: approve
  - name: never_delete
    match: {type: "delete_*"}
    risk_level: critical
    approval: block
""")


@function_tool
def read_file(path: str) -> str:
    """Read a file."""
    return f"the contents of {path}"


@function_tool
def send_email(to: str, text: str) -> str:
    """Send an e-mail."""
    return f"sent to {to}"


@function_tool
def delete_file(path: str) -> str:
    """Delete a file."""
    raise AssertionError("the policy blocks this; it never runs")


MODEL = ScriptedModel(
    [
        [function_call("read_file", {"path": "report.csv"}, call_id="1")],
        [function_call("send_email", {"to": "bob@example.com", "text": "hi"}, call_id="2")],
        [function_call("delete_file", {"path": "report.csv"}, call_id="3")],
        [assistant_message("done")],
    ]
)
OFFLINE = RunConfig(tracing_disabled=True)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder, AuditLogger(Path(folder) / "aegis_audit.db") as trail:
        runtime = Runtime(policy=POLICY, audit_logger=trail)
        clerk = Agent("assistant", model=MODEL, tools=[read_file, send_email, delete_file])
        agent = govern_agent(clerk, runtime)

        result = await Runner.run(agent, "send bob the report, then clean up", run_config=OFFLINE)
        while result.interruptions:
            kept = result.to_state().to_string()  # a text: another process could go on from here
            state = await RunState.from_string(agent, kept)
            for interruption in state.get_interruptions():
                print(f"approval asked for: {interruption.name} {interruption.arguments}")
                state.approve(interruption)
            result = await Runner.run(agent, state, run_config=OFFLINE)

        for item in result.new_items:
            if item.type == "tool_call_output_item":
                print(f"the model was told: {item.output}")

        print("\nthe trail:")
        for entry in trail.get_log():
            who = f" by {entry['approver']}" if entry["approver"] else ""
            print(f"  {entry['action_type']:12} {entry['approval']:8} {entry['result_status']}{who}")


if __name__ == "__main__":
    asyncio.run(main())
