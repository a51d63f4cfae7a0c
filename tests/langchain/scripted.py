"""An offline agent: a model that makes the calls it is told to make, and tools to call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.outputs import ChatGenerationChunk

from aegis import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Call = tuple[str, dict[str, Any]]


class ScriptedModel(GenericFakeChatModel):
    """Makes its scripted calls, a turn after the other, and then says that it is done."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> ScriptedModel:
        return self

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        # The fake's own streams words of text, and none of a message that only has calls.
        message = self._generate(messages, stop, run_manager, **kwargs).generations[0].message
        assert isinstance(message, AIMessage)
        chunks: list[Any] = [
            {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": index}
            for index, call in enumerate(message.tool_calls)
        ]
        yield ChatGenerationChunk(message=AIMessageChunk(content=message.content, tool_call_chunks=chunks))


def model(*turns: Sequence[Call]) -> ScriptedModel:
    """A model for one conversation. The id of a call is its turn and place: ``1.1``, ``1.2``, ..."""
    return ScriptedModel(messages=_messages(turns))


def _messages(turns: Sequence[Sequence[Call]]) -> Iterator[AIMessage]:
    for turn, calls in enumerate(turns, 1):
        made = [{"name": name, "args": args, "id": f"{turn}.{place}"} for place, (name, args) in enumerate(calls, 1)]
        yield AIMessage("", tool_calls=made)
    while True:
        yield AIMessage("done")


def ask(text: str = "go") -> Any:
    """What an agent is invoked with."""
    return {"messages": [("user", text)]}


def answers(state: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """``(status, text)`` of every tool message, by tool call id."""
    return {
        message.tool_call_id: (message.status, message.text)
        for message in state["messages"]
        if isinstance(message, ToolMessage)
    }


def policy(rules: Mapping[str, str], **options: Any) -> Policy:
    """A policy of one rule per tool: ``{"read_*": "auto", ...}``."""
    entries = [
        {"name": f"{approval}_{index}", "match": {"type": type_}, "approval": approval}
        for index, (type_, approval) in enumerate(rules.items())
    ]
    return Policy.from_dict({"version": "1", "rules": entries, **options})


ALLOW_ALL = policy({"*": "auto"})
