"""`AegisCallbackHandler`: a gate that cannot be made to let refused tools through."""

import asyncio
from typing import Any

import pytest

pytest.importorskip("langchain")

from langchain.agents import AgentState, create_agent
from langchain.agents.middleware import ToolErrorMiddleware
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.tools import StructuredTool, tool
from langgraph.graph import StateGraph
from langgraph.prebuilt import ToolNode

from aegis import Policy, Runtime
from aegis.adapters.langchain import AegisCallbackHandler
from aegis.errors import ActionRefused, PolicyError
from aegis.testing import MemoryAuditLogger
from tests.langchain.scripted import ALLOW_ALL, answers, ask, model, policy

BLOCK_ALL = policy({"*": "block"})
ran: list[str] = []


@tool
def delete(path: str) -> str:
    """Delete a file."""
    ran.append(path)
    return "deleted"


@tool
async def adelete(path: str) -> str:
    """Delete a file."""
    ran.append(path)
    return "deleted"


delete.handle_tool_error = True


@pytest.fixture
def trail() -> MemoryAuditLogger:
    ran.clear()
    return MemoryAuditLogger()


def gate(trail: MemoryAuditLogger, policy: Policy = BLOCK_ALL, **options: Any) -> Any:
    return {"callbacks": [AegisCallbackHandler(Runtime(policy=policy, audit_logger=trail), **options)]}


@pytest.mark.parametrize("each", [delete, adelete], ids=["sync", "async"])
async def test_a_refused_tool_does_not_run_whichever_way_it_is_called(trail: MemoryAuditLogger, each: Any):
    call = {"type": "tool_call", "name": each.name, "args": {"path": "/"}, "id": "1"}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}

    def agent() -> Any:
        return create_agent(model([(each.name, {"path": "/"})]), [each])

    node: Any = StateGraph(AgentState).add_node("tools", ToolNode([each])).set_entry_point("tools").compile()
    ways: list[Any] = [
        lambda: each.ainvoke(call, gate(trail)),
        lambda: each.ainvoke({"path": "/"}, gate(trail)),
        lambda: agent().ainvoke(ask(), gate(trail)),
        lambda: agent().abatch([ask()], gate(trail)),
        lambda: node.ainvoke({"messages": [message]}, gate(trail)),
        lambda: asyncio.to_thread(agent().invoke, ask(), gate(trail)),
    ]
    if each is delete:
        ways += [
            lambda: asyncio.to_thread(each.invoke, call, gate(trail)),
            lambda: asyncio.to_thread(each.run, {"path": "/"}, callbacks=gate(trail)["callbacks"]),
        ]
    for way in ways:
        with pytest.raises(ActionRefused):
            await way()
    assert ran == []


async def test_an_agent_goes_on_after_a_refusal_where_the_program_handles_tools_errors(trail: MemoryAuditLogger):
    def say(error: Exception, _request: Any) -> str | None:
        return str(error) if isinstance(error, ActionRefused) else None

    for is_async in True, False:
        turns = [("delete", {"path": "/"})]
        agent: Any = create_agent(model(turns), [delete], middleware=[ToolErrorMiddleware(say)])
        state = await agent.ainvoke(ask(), gate(trail)) if is_async else agent.invoke(ask(), gate(trail))
        assert answers(state)["1.1"][0] == "error"
        assert state["messages"][-1].content == "done"
    assert ran == []


def test_a_call_is_recorded_from_start_to_end(trail: MemoryAuditLogger):
    @tool
    def fail(path: str) -> str:
        """Fail."""
        raise OSError("disk gone")

    config: Any = {**gate(trail, ALLOW_ALL, target="files"), "metadata": {"thread_id": "t", "lc_agent_name": "clerk"}}
    delete.invoke({"path": "a"}, config)
    with pytest.raises(OSError, match="disk gone"):
        fail.invoke({"path": "b"}, config)
    first, second = trail.get_log()
    assert (first["action_type"], first["action_target"], first["agent"]) == ("delete", "files", "clerk")
    assert (first["session_id"], first["action_params"], first["result_status"]) == ("t", {"path": "a"}, "success")
    assert (second["result_status"], second["error"]) == ("failed", "OSError: disk gone")


def test_a_failure_that_the_tool_handled_is_recorded_as_one(trail: MemoryAuditLogger):
    from langchain_core.tools import ToolException

    @tool
    def fail() -> str:
        """Fail."""
        raise ToolException("out of ink")

    fail.handle_tool_error = True
    call = {"type": "tool_call", "name": "fail", "args": {}, "id": "1"}
    assert fail.invoke(call, gate(trail, ALLOW_ALL)).status == "error"
    (entry,) = trail.get_log()
    assert (entry["result_status"], entry["error"]) == ("failed", "out of ink")


def test_a_call_with_a_bare_text_is_refused_because_no_rule_knows_which_argument_that_is(trail: MemoryAuditLogger):
    with pytest.raises(ActionRefused, match="bare text"):
        delete.invoke("/etc", gate(trail, ALLOW_ALL))
    assert ran == []
    (event,) = trail.records
    assert event.kind == "call_refused"  # type: ignore[union-attr]


def test_a_subclass_that_would_not_be_heeded_cannot_be_made():
    runtime = Runtime(policy=ALLOW_ALL, audit_logger=MemoryAuditLogger())

    class Async(AegisCallbackHandler, AsyncCallbackHandler):  # type: ignore[misc]
        pass

    class AsyncGate(AegisCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
            super().on_tool_start(*args, **kwargs)

    class Quiet(AegisCallbackHandler):
        raise_error = False

    class Elsewhere(AegisCallbackHandler):
        run_inline = False

    class Ignored(AegisCallbackHandler):
        ignore_agent = True

    for unsafe in Async, AsyncGate, Quiet, Elsewhere, Ignored:
        with pytest.raises(TypeError, match=unsafe.__name__):
            unsafe(runtime)


def test_a_handler_cannot_be_made_unsafe_afterwards(trail: MemoryAuditLogger):
    handler = gate(trail)["callbacks"][0]
    for name, value in ("raise_error", False), ("run_inline", False), ("on_tool_start", print), ("ignore_agent", True):
        with pytest.raises(AttributeError, match=name):
            setattr(handler, name, value)


def test_a_trail_that_cannot_be_written_keeps_the_tool_from_starting(trail: MemoryAuditLogger):
    # LangChain only logs a NotImplementedError of a handler, whatever its `raise_error`.
    for error in OSError("disk full"), NotImplementedError("no such store"):
        trail.fail = error
        with pytest.raises(Exception, match="could not be"):
            delete.invoke({"path": "/"}, gate(trail, ALLOW_ALL))
    assert ran == []


def test_a_judge_that_is_not_implemented_keeps_the_tool_from_starting(trail: MemoryAuditLogger):
    handler = gate(trail, ALLOW_ALL)["callbacks"][0]

    class Unfinished(Runtime):
        def begin(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

    handler._runtime = Unfinished(policy=ALLOW_ALL, audit_logger=trail)
    with pytest.raises(Exception, match="could not be judged"):
        delete.invoke({"path": "/"}, {"callbacks": [handler]})
    assert ran == []


def test_a_policy_about_results_is_refused_at_construction_and_at_reload(trail: MemoryAuditLogger):
    rule = {"name": "mask", "redact": {"secrets": True}}
    about_results = policy({"*": "auto"}, results=[rule])
    with pytest.raises(PolicyError, match="AegisCallbackHandler"):
        AegisCallbackHandler(Runtime(policy=about_results, audit_logger=trail))
    runtime = Runtime(policy=ALLOW_ALL, audit_logger=trail)
    AegisCallbackHandler(runtime)
    with pytest.raises(PolicyError):
        runtime.update_policy(about_results)


async def test_concurrent_calls_end_on_their_own_records(trail: MemoryAuditLogger):
    async def wait(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return f"waited {seconds}"

    waiting = StructuredTool.from_function(coroutine=wait, name="wait", description="Wait.")
    config = gate(trail, ALLOW_ALL)
    await asyncio.gather(*(waiting.ainvoke({"seconds": number / 100}, config) for number in (3, 1, 2)))
    for entry in trail.get_log():
        assert entry["result"] == f"waited {entry['action_params']['seconds']}"
