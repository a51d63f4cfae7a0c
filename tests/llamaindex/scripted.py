"""An offline agent: a model that makes the calls it is told to make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM

from aegis import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Call = tuple[str, dict[str, Any]]
AGENTS = ["FunctionAgent", "ReActAgent", "AgentWorkflow"]


def model(*turns: Sequence[Call]) -> MockFunctionCallingLLM:
    """A model that makes its scripted calls, a turn after the other, and then says that it is done."""
    left = list(enumerate(turns, 1))

    def respond(messages: Sequence[ChatMessage], **_kwargs: Any) -> ChatMessage:
        if not left:
            return ChatMessage(role="assistant", content="done")
        turn, calls = left.pop(0)
        blocks: list[Any] = [
            ToolCallBlock(tool_call_id=f"{turn}.{place}", tool_name=name, tool_kwargs=args)
            for place, (name, args) in enumerate(calls, 1)
        ]
        return ChatMessage(role="assistant", blocks=blocks)

    return MockFunctionCallingLLM(response_generator=respond)


def react_model(*turns: Sequence[Call]) -> MockFunctionCallingLLM:
    """The same for an agent that reads its calls out of text, one a turn."""
    left = [call for turn in turns for call in turn]

    def respond(messages: Sequence[ChatMessage], **_kwargs: Any) -> ChatMessage:
        if not left:
            return ChatMessage(role="assistant", content="Thought: I can answer.\nAnswer: done")
        name, args = left.pop(0)
        text = f"Thought: I need a tool.\nAction: {name}\nAction Input: {json.dumps(args)}"
        return ChatMessage(role="assistant", content=text)

    return MockFunctionCallingLLM(response_generator=respond)


def agent(kind: str, tools: Sequence[Any], *turns: Sequence[Call], **options: Any) -> Any:
    """An agent of a kind, named ``clerk``."""
    if kind == "ReActAgent":
        return ReActAgent(name="clerk", description="Works.", tools=list(tools), llm=react_model(*turns), **options)
    clerk = FunctionAgent(name="clerk", description="Works.", tools=list(tools), llm=model(*turns), **options)
    return clerk if kind == "FunctionAgent" else AgentWorkflow(agents=[clerk], root_agent="clerk")


async def outputs(workflow: Any, message: str = "go", **options: Any) -> list[tuple[bool, str]]:
    """Run an agent; ``(is_error, text)`` of every tool call, in order of ending."""
    handler = workflow.run(user_msg=message, **options)
    results = [event async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
    assert "done" in str(await handler)
    return [(event.tool_output.is_error, event.tool_output.content) for event in results]


def policy(rules: Mapping[str, str], **options: Any) -> Policy:
    """A policy of one rule per tool: ``{"read_*": "auto", ...}``."""
    entries = [
        {"name": f"{approval}_{index}", "match": {"type": type_}, "approval": approval}
        for index, (type_, approval) in enumerate(rules.items())
    ]
    return Policy.from_dict({"version": "1", "rules": entries, **options})


ALLOW_ALL = policy({"*": "auto"})
