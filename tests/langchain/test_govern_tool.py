"""`govern_tool`: what is judged is what the tool gets, once per execution, and nothing else about the tool changes."""

import copy
import datetime
import enum
import threading
from typing import Annotated, Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import CallbackManagerForToolRun
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import (
    BaseTool,
    InjectedToolArg,
    InjectedToolCallId,
    StructuredTool,
    Tool,
    ToolException,
    tool,
)
from pydantic import BaseModel, Field

from aegis import Policy, Runtime
from aegis.adapters.langchain import govern_tool, govern_tools
from aegis.errors import ActionRefused
from aegis.runtime.approval import ApprovalAnswer, ApprovalRequest, CallbackApprovalHandler
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from tests.langchain.scripted import ALLOW_ALL, policy


class Kind(enum.Enum):
    PARCEL = "parcel"


class Item(BaseModel):
    name: str
    kind: Kind = Kind.PARCEL
    due: datetime.date = datetime.date(2030, 1, 1)


@tool
def read(path: str, limit: int = 10) -> str:
    """Read a file."""
    return f"{limit} lines of {path}"


@tool
def ship(items: list[Item], to: str) -> str:
    """Ship items."""
    assert all(isinstance(item, Item) for item in items)
    return f"{[item.name for item in items]} to {to}"


@pytest.fixture
def trail() -> MemoryAuditLogger:
    return MemoryAuditLogger()


def runtime(trail: MemoryAuditLogger, policy: Policy = ALLOW_ALL, **options: Any) -> Runtime:
    options.setdefault("approval_handler", ScriptedApprovalHandler())
    return Runtime(policy=policy, audit_logger=trail, **options)


def call(args: dict[str, Any], name: str = "t") -> Any:
    return {"type": "tool_call", "name": name, "args": args, "id": "c1"}


def params(trail: MemoryAuditLogger) -> dict[str, Any]:
    (only,) = trail.get_log()
    return only["action_params"]


def test_the_policy_sees_validated_arguments_with_their_defaults(trail: MemoryAuditLogger):
    rules = {"name": "few", "match": {"type": "read"}, "conditions": {"param_lt": {"limit": 5}}, "approval": "auto"}
    governed = govern_tool(read, runtime(trail, Policy.from_dict({"version": "1", "rules": [rules]})))
    assert governed.invoke({"path": "a", "limit": "3"}) == "3 lines of a"
    with pytest.raises(ActionRefused):
        governed.invoke({"path": "a"})
    assert [entry["action_params"] for entry in trail.get_log()] == [
        {"path": "a", "limit": 3},
        {"path": "a", "limit": 10},
    ]


def test_defaults_of_a_tool_without_a_schema_are_judged_too(trail: MemoryAuditLogger):
    class Delete(BaseTool):
        name: str = "delete"
        description: str = "Delete."

        def _run(self, path: str, recursive: bool = True, run_manager: CallbackManagerForToolRun | None = None) -> str:
            assert run_manager is not None
            return f"deleted {path}, {recursive=}"

    assert govern_tool(Delete(), runtime(trail)).invoke({"path": "/"}) == "deleted /, recursive=True"
    assert params(trail) == {"path": "/", "recursive": True}


def test_a_nested_model_is_judged_as_its_data_and_reaches_the_tool_as_a_model(trail: MemoryAuditLogger):
    rule: dict[str, Any] = {"name": "ok", "match": {"type": "ship"}, "approval": "auto"}
    rule["conditions"] = {"param_in": {"items[].name": ["pen", "ink"]}, "param_eq": {"items[].kind": "parcel"}}
    governed = govern_tool(ship, runtime(trail, Policy.from_dict({"version": "1", "rules": [rule]})))
    assert governed.invoke({"items": [{"name": "pen"}, {"name": "ink"}], "to": "bob"}) == "['pen', 'ink'] to bob"
    with pytest.raises(ActionRefused):
        governed.invoke({"items": [{"name": "pen"}, {"name": "bomb"}], "to": "bob"})
    data = {"name": "pen", "kind": "parcel", "due": "2030-01-01"}
    assert trail.get_log()[0]["action_params"] == {"items": [data, {**data, "name": "ink"}], "to": "bob"}


def test_what_hides_a_field_when_it_is_serialised_hides_nothing_from_the_policy(trail: MemoryAuditLogger):
    class Target(BaseModel):
        host: str = Field(exclude=True)

    @tool
    def connect(target: Target) -> str:
        """Connect."""
        return target.host

    rules = [
        {
            "name": "no",
            "match": {"type": "*"},
            "conditions": {"param_eq": {"target.host": "evil"}},
            "approval": "block",
        },
        {"name": "yes", "match": {"type": "*"}, "approval": "auto"},
    ]
    governed = govern_tool(connect, runtime(trail, Policy.from_dict({"version": "1", "rules": rules})))
    with pytest.raises(ActionRefused):
        governed.invoke({"target": {"host": "evil"}})
    assert governed.invoke({"target": {"host": "good"}}) == "good"


def test_what_is_changed_while_a_person_is_asked_does_not_reach_the_tool(trail: MemoryAuditLogger):
    item = Item(name="pen")

    def change_it_and_say_yes(_request: ApprovalRequest) -> bool:
        item.name = "bomb"
        return True

    handler = CallbackApprovalHandler(change_it_and_say_yes)
    governed = govern_tool(ship, runtime(trail, policy({"*": "approve"}), approval_handler=handler))
    assert governed.invoke({"items": [item], "to": "bob"}) == "['pen'] to bob"


def test_injected_arguments_are_neither_judged_nor_lost(trail: MemoryAuditLogger):
    @tool
    def send(
        to: str,
        call_id: Annotated[str, InjectedToolCallId],
        user: Annotated[str, InjectedToolArg],
        config: RunnableConfig,
    ) -> str:
        """Send."""
        return f"{to} {call_id} {user} {config['configurable']['thread_id']}"

    governed = govern_tool(send, runtime(trail))
    config: Any = {"configurable": {"thread_id": "t7"}}
    assert governed.invoke(call({"to": "bob", "user": "u1"}), config).content == "bob c1 u1 t7"
    assert params(trail) == {"to": "bob"}


def test_an_argument_with_a_name_that_langchain_hides_is_judged_all_the_same(trail: MemoryAuditLogger):
    schema = {"type": "object", "properties": {"callbacks": {"type": "string"}, "run_manager": {"type": "string"}}}

    def subscribe(**given: Any) -> str:
        return str(sorted(given.items()))

    tool = StructuredTool(name="subscribe", description="Subscribe.", args_schema=schema, func=subscribe)
    given = {"callbacks": "http://evil"}
    assert govern_tool(tool, runtime(trail)).invoke(given) == "[('callbacks', 'http://evil')]" == tool.invoke(given)
    assert params(trail) == given


def test_a_tool_called_with_a_bare_text_is_judged_under_its_arguments_name(trail: MemoryAuditLogger):
    plain = Tool("search", lambda text: f"found {text}", "Search.")
    assert govern_tool(plain, runtime(trail)).invoke("cats") == "found cats"
    assert params(trail) == {"tool_input": "cats"}
    trail = MemoryAuditLogger()
    assert govern_tool(read, runtime(trail)).run("notes") == read.run("notes")
    assert params(trail)["path"] == "notes"


async def test_one_execution_is_one_decision_however_langchain_gets_to_the_function(trail: MemoryAuditLogger):
    class OnlySync(BaseTool):
        name: str = "only_sync"
        description: str = "Sync."

        def _run(self, x: int) -> int:
            return x

    class AsyncThroughSync(OnlySync):
        async def _arun(self, x: int) -> int:
            return self._run(x)

    handler = ScriptedApprovalHandler([True] * 9)
    asking = runtime(trail, policy({"*": "approve"}), approval_handler=handler)
    sync_function: Any = StructuredTool.from_function(lambda x: x, name="f", description="F.")
    tools: list[Any] = [OnlySync(), AsyncThroughSync(), sync_function]
    for count, governed in enumerate(govern_tools(tools, asking), 1):
        assert await governed.arun({"x": count}) == count
        assert (len(handler.requests), trail.count()) == (count, count)
    for governed in govern_tools(tools, asking):
        assert await governed.ainvoke({"x": 1}) == 1
    assert (len(handler.requests), trail.count()) == (6, 6)


def test_calls_past_run_are_governed_too(trail: MemoryAuditLogger):
    governed = govern_tool(read, runtime(trail, policy({"*": "block"})))
    with pytest.raises(ActionRefused):
        governed._run(path="a", config={})
    assert trail.count() == 1


async def test_a_refused_call_answers_the_models_call_and_raises_to_a_program(trail: MemoryAuditLogger):
    governed = govern_tool(read, runtime(trail, policy({"*": "block"})))
    for message in governed.invoke(call({"path": "a"})), await governed.ainvoke(call({"path": "a"})):
        assert (message.status, message.tool_call_id, message.name) == ("error", "c1", "read")
        assert "blocked by rule 'block_0'" in message.content
    for error in ActionRefused, ToolException:
        with pytest.raises(error, match="blocked by rule"):
            governed.invoke({"path": "a"})


def test_the_tools_own_error_handling_knows_a_refusal(trail: MemoryAuditLogger):
    lenient = read.model_copy(update={"handle_tool_error": True})
    governed = govern_tool(lenient, runtime(trail, policy({"*": "block"})))
    assert "blocked by rule" in governed.invoke({"path": "a"})
    assert governed.invoke(call({"path": "a"})).status == "error"


@pytest.mark.parametrize("content_and_artifact", [False, True])
def test_a_refusal_fits_every_response_format(trail: MemoryAuditLogger, content_and_artifact: bool):
    shape: Any = "content_and_artifact" if content_and_artifact else "content"
    made = StructuredTool.from_function(lambda x: (x, x), name="f", description="F.", response_format=shape)
    assert govern_tool(made, runtime(trail, policy({"*": "block"}))).invoke(call({"x": 1})).status == "error"


async def test_the_tools_own_exception_is_the_same_object(trail: MemoryAuditLogger):
    error = KeyError("mine")

    @tool
    def fail() -> str:
        """Fail."""
        raise error

    @tool
    async def afail() -> str:
        """Fail."""
        raise error

    for governed in govern_tools([fail, afail], runtime(trail)):
        with pytest.raises(KeyError) as caught:
            await governed.ainvoke(call({}))
        assert caught.value is error
    assert [entry["result_status"] for entry in trail.get_log()] == ["failed", "failed"]


def test_a_failure_that_a_tool_returns_is_recorded_as_one(trail: MemoryAuditLogger):
    @tool
    def fail(call_id: Annotated[str, InjectedToolCallId]) -> ToolMessage:
        """Fail."""
        return ToolMessage("out of paper", tool_call_id=call_id, status="error")

    assert govern_tool(fail, runtime(trail)).invoke(call({})).content == "out of paper"
    (entry,) = trail.get_log()
    assert (entry["result_status"], entry["error"]) == ("failed", "out of paper")


def edit(**edits: Any) -> Any:
    def answer(request: ApprovalRequest) -> ApprovalAnswer:
        return ApprovalAnswer(request.id, request.digest, approved=True, approver="alice", edits=edits)

    return answer


def test_an_approvers_edit_goes_through_the_tools_schema(trail: MemoryAuditLogger):
    rules = [
        {"name": "no", "match": {"type": "*"}, "conditions": {"param_eq": {"to": "eve"}}, "approval": "block"},
        {"name": "ask", "match": {"type": "*"}, "conditions": {"param_eq": {"to": "bob"}}, "approval": "approve"},
        {"name": "yes", "match": {"type": "*"}, "approval": "auto"},
    ]
    item = {"name": "ink", "kind": "parcel", "due": "2031-02-03"}
    answers = [edit(to="carol", items=[item]), edit(to="eve"), edit(to="carol", items=7), edit(to="carol", items=[{}])]
    handler = ScriptedApprovalHandler(answers)
    asking = runtime(trail, Policy.from_dict({"version": "1", "rules": rules}), approval_handler=handler)
    governed = govern_tool(ship, asking)
    given = {"items": [{"name": "pen"}], "to": "bob"}
    assert governed.invoke(call(given)).content == "['ink'] to carol"
    assert "blocked by rule 'no'" in governed.invoke(call(given)).content
    for _ in range(2):  # what the schema refuses does not reach the tool
        message = governed.invoke(call(given))
        assert (message.status, "the tool's schema" in message.content) == ("error", True)


def test_an_edit_that_the_schema_would_read_otherwise_does_not_run(trail: MemoryAuditLogger):
    handler = ScriptedApprovalHandler([edit(limit="3"), True])
    governed = govern_tool(read, runtime(trail, policy({"*": "approve"}), approval_handler=handler))
    message = governed.invoke(call({"path": "a"}))
    assert "reads the changed arguments otherwise" in message.content


async def test_calls_are_recorded_with_thread_run_and_tool_call(trail: MemoryAuditLogger):
    governed = govern_tool(read, runtime(trail), target="files")
    config: Any = {"configurable": {"thread_id": 42}, "metadata": {"lc_agent_name": "clerk"}}
    governed.invoke(call({"path": "a"}), config)
    await governed.ainvoke(call({"path": "a"}), config)
    for record in trail.records[::2]:
        action = record.action  # type: ignore[union-attr]
        assert (action.target, action.session_id, action.agent) == ("files", "42", "clerk")
        assert action.labels["tool_call_id"] == "c1"
        assert len(action.labels["run_id"]) == 36


def test_governing_twice_is_governing_once_and_never_by_two(trail: MemoryAuditLogger):
    first = runtime(trail)
    governed = govern_tool(read, first)
    assert govern_tool(governed, first) is governed
    with pytest.raises(ValueError, match="already governed"):
        govern_tool(governed, runtime(trail))
    with pytest.raises(ValueError, match="already governed, as one of 'langchain'"):
        govern_tool(governed, first, target="files")
    with pytest.raises(TypeError, match="make one with @tool"):
        govern_tool(lambda: None, first)  # type: ignore[type-var]


def test_copies_of_a_governed_tool_are_governed_and_the_tool_itself_is_not(trail: MemoryAuditLogger):
    governed = govern_tool(read, runtime(trail, policy({"*": "block"})))
    for copied in copy.copy(governed), copy.deepcopy(governed), governed.model_copy(update={"name": "other"}):
        with pytest.raises(ActionRefused):
            copied.invoke({"path": "a"})
    assert read.invoke({"path": "a"}) == "10 lines of a"
    assert type(read) is StructuredTool


def test_a_tool_that_calls_a_governed_tool_makes_two_calls(trail: MemoryAuditLogger):
    governing = runtime(trail, policy({"read": "block", "outer": "auto"}))
    inner = govern_tool(read, governing)

    @tool
    def outer() -> str:
        """Call another."""
        return inner.invoke({"path": "secret"})

    message = govern_tool(outer, governing).invoke(call({}))
    assert (message.status, message.name) == ("error", "outer")
    assert "read: blocked" in message.content
    assert {(entry["action_type"], entry["result_status"]) for entry in trail.get_log()} == {
        ("outer", "failed"),
        ("read", "blocked"),
    }


def test_concurrent_calls_of_one_tool_in_threads_are_kept_apart(trail: MemoryAuditLogger):
    governed = govern_tool(read, runtime(trail))
    seen: dict[int, str] = {}

    def work(number: int) -> None:
        seen[number] = governed.invoke(call({"path": f"p{number}"})).content

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {number: f"10 lines of p{number}" for number in range(8)}
    assert trail.count() == 8
