"""A LangChain agent under a policy, offline: one call is allowed, one is asked about, one is blocked; then the trail.

    pip install 'aegis-agents[langchain]'
    python examples/langchain_agent.py

The model is scripted so that this runs without a key; put any chat model in its place.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from aegis import Policy, Runtime
from aegis.adapters.langchain import AegisMiddleware
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


@tool
def read_file(path: str) -> str:
    """Read a file."""
    return f"the contents of {path}"


@tool
def send_email(to: str, text: str) -> str:
    """Send an e-mail."""
    return f"sent to {to}"


@tool
def delete_file(path: str) -> str:
    """Delete a file."""
    raise AssertionError("the policy blocks this; it never runs")


class ScriptedModel(GenericFakeChatModel):
    """Makes three tool calls, and then says that it is done."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> ScriptedModel:
        return self


MODEL = ScriptedModel(
    messages=iter(
        [
            AIMessage("", tool_calls=[{"name": "read_file", "args": {"path": "report.csv"}, "id": "1"}]),
            AIMessage(
                "", tool_calls=[{"name": "send_email", "args": {"to": "bob@example.com", "text": "hi"}, "id": "2"}]
            ),
            AIMessage("", tool_calls=[{"name": "delete_file", "args": {"path": "report.csv"}, "id": "3"}]),
            AIMessage("done"),
        ]
    )
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, AuditLogger(Path(folder) / "aegis_audit.db") as trail:
        runtime = Runtime(policy=POLICY, audit_logger=trail)
        agent: Any = create_agent(
            MODEL,
            [read_file, send_email, delete_file],
            middleware=[AegisMiddleware(runtime)],
            checkpointer=InMemorySaver(),  # so that the agent can pause for an approval, here even across processes
            name="assistant",
        )
        config: Any = {"configurable": {"thread_id": "demo"}}

        state = agent.invoke({"messages": [("user", "send bob the report, then clean up")]}, config)
        while "__interrupt__" in state:
            request = state["__interrupt__"][0].value
            print(f"approval asked for: {request['call']['type']} {request['call']['params']}")
            yes = {"id": request["id"], "digest": request["digest"], "decision": "approve", "approver": "alice"}
            state = agent.invoke(Command(resume=yes), config)

        for message in state["messages"]:
            if isinstance(message, ToolMessage):
                print(f"{message.status:8} {message.text}")

        print("\nthe trail:")
        for entry in trail.get_log():
            who = f" by {entry['approver']}" if entry["approver"] else ""
            print(f"  {entry['action_type']:12} {entry['approval']:8} {entry['result_status']}{who}")


if __name__ == "__main__":
    main()
