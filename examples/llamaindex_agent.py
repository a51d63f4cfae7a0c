"""A LlamaIndex agent under a policy, offline: one call is allowed, one is asked about, one is blocked; then the trail.

    pip install 'aegis-agents[llamaindex]'
    python examples/llamaindex_agent.py

The model is scripted so that this runs without a key; put any function-calling LLM in its place.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import FunctionTool

from aegis import Policy, Runtime
from aegis.adapters.llamaindex import govern_tools
from aegis.runtime.approval import ApprovalRequest, CallbackApprovalHandler
from aegis.runtime.audit import AuditLogger

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def read_file(path: str) -> str:
    """Read a file."""
    return f"the contents of {path}"


def send_email(to: str, text: str) -> str:
    """Send an e-mail."""
    return f"sent to {to}"


def delete_file(path: str) -> str:
    """Delete a file."""
    raise AssertionError("the policy blocks this; it never runs")


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("read_file", {"path": "report.csv"}),
    ("send_email", {"to": "bob@example.com", "text": "hi"}),
    ("delete_file", {"path": "report.csv"}),
]


def scripted(messages: Sequence[ChatMessage], **_kwargs: Any) -> ChatMessage:
    """Make the next call, or say that all is done."""
    made = sum(message.role == "tool" for message in messages)
    if made == len(CALLS):
        return ChatMessage(role="assistant", content="done")
    name, arguments = CALLS[made]
    call = ToolCallBlock(tool_call_id=str(made), tool_name=name, tool_kwargs=arguments)
    return ChatMessage(role="assistant", blocks=[call])


def ask(request: ApprovalRequest) -> bool:
    """Stands for a person. Without a handler of its own, a runtime asks on the terminal."""
    print(f"approval asked for: {request.action.type} {dict(request.action.params)}")
    return True


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder, AuditLogger(Path(folder) / "aegis_audit.db") as trail:
        handler = CallbackApprovalHandler(ask, approver="alice")
        runtime = Runtime(policy=POLICY, audit_logger=trail, approval_handler=handler)
        tools = [FunctionTool.from_defaults(function) for function in (read_file, send_email, delete_file)]
        agent = FunctionAgent(
            name="assistant",
            description="Works with files and mail.",
            tools=govern_tools(tools, runtime),
            llm=MockFunctionCallingLLM(response_generator=scripted),
        )
        run = agent.run(user_msg="send bob the report, then clean up")
        async for event in run.stream_events():
            if isinstance(event, ToolCallResult):
                output = event.tool_output
                print(f"{'error' if output.is_error else 'success':8} {output.content}")
        await run

        print("\nthe trail:")
        for entry in trail.get_log():
            who = f" by {entry['approver']}" if entry["approver"] else ""
            print(f"  {entry['action_type']:12} {entry['approval']:8} {entry['result_status']}{who}")


if __name__ == "__main__":
    asyncio.run(main())
