"""`govern_tool`: what is judged is what the tool gets, once per execution, and nothing else about the tool changes."""

import asyncio
import copy
from typing import Annotated, Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.query_engine import CustomQueryEngine
from llama_index.core.tools import (
    AsyncBaseTool,
    BaseTool,
    FunctionTool,
    QueryEngineTool,
    ToolMetadata,
    ToolOutput,
    adapt_to_async_tool,
)
from llama_index.core.tools.calling import acall_tool, call_tool
from llama_index.core.workflow import Context
from pydantic import Field

from aegis import Policy, Runtime
from aegis.adapters.llamaindex import govern_tool, govern_tools
from aegis.errors import ActionRefused
from aegis.runtime.approval import ApprovalAnswer, ApprovalRequest
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from tests.llamaindex.scripted import ALLOW_ALL, policy


def read(path: str, limit: int = 10) -> str:
    """Read a file."""
    return f"{limit} lines of {path}"


READ = FunctionTool.from_defaults(read)


@pytest.fixture
def trail() -> MemoryAuditLogger:
    return MemoryAuditLogger()


def runtime(trail: MemoryAuditLogger, policy: Policy = ALLOW_ALL, **options: Any) -> Runtime:
    options.setdefault("approval_handler", ScriptedApprovalHandler())
    return Runtime(policy=policy, audit_logger=trail, **options)


def judged(trail: MemoryAuditLogger) -> list[Any]:
    return [entry["action_params"] for entry in trail.get_log()]


async def test_arguments_are_judged_by_name_with_defaults_whichever_way_they_are_given(trail: MemoryAuditLogger):
    governed = govern_tool(READ, runtime(trail))
    for output in (
        governed("a"),
        governed(path="a"),
        governed.call("a", limit=10),
        await governed.acall("a", 10),
        await governed.acall(path="a", limit=10),
        call_tool(governed, {"path": "a"}),
        await acall_tool(governed, {"path": "a"}),
    ):
        assert output.content == "10 lines of a"
    assert judged(trail) == [{"path": "a", "limit": 10}] * 7


async def test_a_default_that_a_field_describes_and_partial_parameters_are_judged(trail: MemoryAuditLogger):
    client = object()

    def search(client: object, text: str, site: str, limit: Annotated[int, "How many."] = Field(default=5)) -> str:
        assert client is not None
        return f"{limit} x {text} on {site}"

    made = FunctionTool.from_defaults(search, partial_params={"client": client, "site": "example.com"})
    governed = govern_tool(made, runtime(trail))
    for output in governed(text="cats"), governed.call(text="cats"), await governed.acall(text="cats"):
        assert output.content == "5 x cats on example.com"
    assert judged(trail) == [{"text": "cats", "site": "example.com", "limit": 5}] * 3


def test_what_is_given_beyond_the_names_there_are_is_judged_too(trail: MemoryAuditLogger):
    def add(*numbers: int, **more: int) -> int:
        return sum(numbers) + sum(more.values())

    governed = govern_tool(FunctionTool.from_defaults(add, name="add", description="Add."), runtime(trail))
    assert governed.call(1, 2, more=3).content == "6"
    assert judged(trail) == [{"args": [1, 2], "more": 3}]


async def test_a_refused_call_returns_an_error_that_says_why_and_does_not_raise(trail: MemoryAuditLogger):
    governed = govern_tool(READ, runtime(trail, policy({"*": "block"})))
    for output in (
        governed("a"),
        governed.call("a"),
        await governed.acall(path="a"),
        await acall_tool(governed, {"path": "a"}),
    ):
        assert output.is_error
        assert output.content == "read: blocked by rule 'block_0'. The call did not run."
        assert isinstance(output.exception, ActionRefused)
        assert output.tool_name == "read"
    assert trail.count() == 4


class Legacy(BaseTool):
    """A tool of the oldest kind: it can only be called."""

    metadata = ToolMetadata("Shout.", name="legacy")

    def __call__(self, input: Any) -> ToolOutput:  # noqa: A002 - LlamaIndex's name
        return ToolOutput("legacy", content=str(input).upper(), raw_input={"input": input}, raw_output=input)


class NeedsKeyword(AsyncBaseTool):
    """A tool that LlamaIndex calls twice: by position, and when that fails by name."""

    metadata = ToolMetadata("Shout.", name="keyword")

    def call(self, *, input: str) -> ToolOutput:  # type: ignore[override]  # noqa: A002
        return ToolOutput("keyword", content=input.upper(), raw_input={"input": input}, raw_output=input)

    async def acall(self, *, input: str) -> ToolOutput:  # type: ignore[override]  # noqa: A002
        return self.call(input=input)


async def test_one_call_is_one_decision_however_llamaindex_gets_to_the_tool(trail: MemoryAuditLogger):
    handler = ScriptedApprovalHandler([True] * 9)
    asking = runtime(trail, policy({"*": "approve"}), approval_handler=handler)
    for count, made in enumerate([Legacy(), NeedsKeyword()], 1):
        governed: Any = govern_tool(made, asking)
        assert call_tool(governed, {"input": "hey"}).content == "HEY"
        assert (await acall_tool(governed, {"input": "hey"})).content == "HEY"
        assert (len(handler.requests), trail.count()) == (2 * count, 2 * count)
    assert (await adapt_to_async_tool(govern_tool(Legacy(), asking)).acall(input="hey")).content == "HEY"
    assert (len(handler.requests), trail.count()) == (5, 5)
    assert all(params == {"input": "hey"} for params in judged(trail))


async def test_a_retry_after_a_failure_is_another_execution_with_a_decision_of_its_own(trail: MemoryAuditLogger):
    class Fails(NeedsKeyword):
        def call(self, input: str) -> ToolOutput:  # noqa: A002
            raise ConnectionError("busy")

        async def acall(self, input: str) -> ToolOutput:  # noqa: A002
            raise ConnectionError("busy")

    assert (await acall_tool(govern_tool(Fails(), runtime(trail)), {"input": "x"})).is_error
    assert [entry["result_status"] for entry in trail.get_log()] == ["failed", "failed"]


async def test_the_tools_own_exception_is_the_same_object(trail: MemoryAuditLogger):
    error = KeyError("mine")

    def fail() -> str:
        """Fail."""
        raise error

    governed = govern_tool(FunctionTool.from_defaults(fail), runtime(trail))
    with pytest.raises(KeyError) as caught:
        governed.call()
    assert caught.value is error
    with pytest.raises(KeyError) as caught:
        await governed.acall()
    assert caught.value is error


def test_a_failure_that_a_tool_reports_is_recorded_as_one(trail: MemoryAuditLogger):
    class McpResult:
        is_error = True

    def say(_raw: Any) -> ToolOutput:
        return ToolOutput("read", content="no such file", raw_input={}, raw_output=None, is_error=True)

    reports = FunctionTool.from_defaults(read, callback=say)
    behind = FunctionTool.from_defaults(McpResult, name="behind", description="MCP.")
    assert govern_tool(reports, runtime(trail))("a").is_error
    govern_tool(behind, runtime(trail))()
    assert [entry["result_status"] for entry in trail.get_log()] == ["failed", "failed"]
    assert trail.get_log()[0]["error"] == "no such file"


def test_an_approvers_edit_is_what_runs(trail: MemoryAuditLogger):
    def edit(request: ApprovalRequest) -> ApprovalAnswer:
        edits = {"path": "b", "limit": 1}
        return ApprovalAnswer(request.id, request.digest, approved=True, approver="alice", edits=edits)

    handler = ScriptedApprovalHandler([edit, True])
    governed = govern_tool(READ, runtime(trail, policy({"*": "approve"}), approval_handler=handler))
    assert governed("a").content == "1 lines of b"
    assert judged(trail) == [{"path": "b", "limit": 1}]


class Answers(CustomQueryEngine):
    def custom_query(self, query_str: str) -> str:
        return f"all about {query_str}"


async def test_a_query_engine_tool_is_judged_by_its_input(trail: MemoryAuditLogger):
    governed = govern_tool(QueryEngineTool.from_defaults(Answers(), name="ask"), runtime(trail))
    assert governed("cats").content == (await governed.acall(input="cats")).content == "all about cats"
    assert judged(trail) == [{"input": "cats"}] * 2


def test_result_rules_change_what_the_model_gets(trail: MemoryAuditLogger):
    secret = "Bearer abcdefghijklmnopqrstuvwxyz0123456789"
    rules = [
        {"name": "hide", "match": {"type": "leak"}, "redact": {"secrets": True}},
        {"name": "keep", "match": {"type": ["withhold", "picture"]}, "block": True},
    ]
    governing = runtime(trail, policy({"*": "auto"}, results=rules))

    def make(name: str, value: Any) -> Any:
        return govern_tool(FunctionTool.from_defaults(lambda: value, name=name, description="Give."), governing)

    leaked = make("leak", f"it is {secret}")()
    assert "it is" in leaked.content
    for output in (
        leaked,
        make("withhold", secret)(),
        make("picture", [TextBlock(text=secret), ImageBlock(url="http://x")])(),
    ):
        assert secret not in str(output.model_dump())
    several = [TextBlock(text="a"), TextBlock(text=secret)]
    assert make("leak", several)().content.startswith("a\n")
    assert make("other", several)().blocks == several


def test_governing_twice_is_governing_once_and_never_by_two(trail: MemoryAuditLogger):
    first = runtime(trail)
    governed = govern_tool(READ, first)
    assert govern_tools([governed], first) == [governed]
    with pytest.raises(ValueError, match="already governed"):
        govern_tool(governed, runtime(trail))
    with pytest.raises(ValueError, match="already governed, as one of 'llamaindex'"):
        govern_tool(governed, first, target="files")
    with pytest.raises(TypeError, match=r"FunctionTool\.from_defaults"):
        govern_tool(read, first)  # type: ignore[type-var]


def test_copies_of_a_governed_tool_are_governed_and_the_tool_itself_is_not(trail: MemoryAuditLogger):
    governed = govern_tool(READ, runtime(trail, policy({"*": "block"})))
    assert copy.copy(governed)("a").is_error
    assert copy.deepcopy(governed)("a").is_error
    assert READ("a").content == "10 lines of a"
    assert type(READ) is FunctionTool


def test_everything_that_can_be_asked_of_a_tool_is_the_same(trail: MemoryAuditLogger):
    def with_context(ctx: Context, path: str) -> str:
        """Read."""
        return path

    tools: list[Any] = [READ, FunctionTool.from_defaults(with_context, return_direct=True), Legacy(), NeedsKeyword()]
    for original in tools:
        governed = govern_tool(original, runtime(trail))
        assert isinstance(governed, type(original))
        assert type(governed).__name__ == type(original).__name__
        assert governed.metadata is original.metadata
        for name in "fn", "async_fn", "real_fn", "requires_context", "ctx_param_name", "partial_params":
            assert getattr(governed, name, None) == getattr(original, name, None)


async def test_what_a_tool_returns_is_the_same(trail: MemoryAuditLogger):
    def shout(raw: Any) -> str:
        return str(raw).upper()

    async def aread(path: str, limit: int = 10) -> Any:
        return [TextBlock(text=path), TextBlock(text=str(limit))]

    tools: list[Any] = [
        READ,
        FunctionTool.from_defaults(read, callback=shout),
        FunctionTool.from_defaults(aread),
        FunctionTool.from_defaults(read, partial_params={"limit": 3}),
    ]
    for original in tools:
        governed = govern_tool(original, runtime(trail))
        for args, kwargs in (("a",), {}), ((), {"path": "a"}), (("a",), {"limit": 2}):
            assert await governed.acall(*args, **kwargs) == await original.acall(*args, **kwargs)
            mine = await asyncio.to_thread(governed, *args, **kwargs)
            assert mine == await asyncio.to_thread(original, *args, **kwargs)
