"""`govern_mcp_tool_call` and `AegisMCPToolFilter`: for programs that send the call themselves. No SDK needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aegis import Policy, Result, ResultStatus, Runtime
from aegis.adapters.base import BaseExecutor
from aegis.adapters.mcp import AegisMCPToolFilter, govern_mcp_tool_call
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler

if TYPE_CHECKING:
    from aegis import Action

POLICY = Policy.from_dict(
    {
        "version": "1",
        "rules": [
            {"name": "allow_reads", "match": {"type": "read_*", "target": "fs"}, "approval": "auto"},
            {"name": "ask_writes", "match": {"type": "write_*", "target": "fs"}, "approval": "approve"},
        ],
    }
)


class PassThrough(BaseExecutor):
    def __init__(self) -> None:
        self.seen: list[Action] = []

    async def execute(self, action: Action) -> Result:
        self.seen.append(action)
        return Result(action, ResultStatus.SUCCESS, data="passed")


def make(*answers: Any) -> tuple[Runtime, PassThrough, MemoryAuditLogger]:
    executor, trail = PassThrough(), MemoryAuditLogger()
    handler = ScriptedApprovalHandler(answers)
    return Runtime(policy=POLICY, executor=executor, audit_logger=trail, approval_handler=handler), executor, trail


async def test_an_allowed_call_is_ok_and_the_executor_got_its_arguments():
    runtime, executor, trail = make()
    result = await govern_mcp_tool_call(
        runtime=runtime, tool_name="read_file", arguments={"path": "/data"}, server_name="fs"
    )
    assert result.ok
    assert result.data == "passed"
    (action,) = executor.seen
    assert (action.type, action.target, action.params) == ("read_file", "fs", {"path": "/data"})
    (entry,) = trail.get_log()
    assert (entry["result_status"], entry["claimed_by"]) == ("success", "PassThrough")


@pytest.mark.parametrize(("tool", "answers", "status"), [("write_file", [False], "denied"), ("rm", [], "blocked")])
async def test_a_refused_call_is_a_result_and_the_executor_hears_nothing(tool: str, answers: list[bool], status: str):
    runtime, executor, trail = make(*answers)
    result = await AegisMCPToolFilter(runtime=runtime).call_tool(server="fs", tool=tool, arguments={"path": "x"})
    assert not result.ok
    assert result.status == status
    assert tool in (result.error or "")
    assert executor.seen == []
    assert trail.get_log()[0]["result_status"] == status


async def test_the_filter_asks_where_the_policy_says_so():
    runtime, executor, _ = make(True)
    assert (await AegisMCPToolFilter(runtime=runtime).call_tool(server="fs", tool="write_file")).ok
    assert len(executor.seen) == 1


async def test_check_is_not_ok_where_a_person_would_be_asked():
    # A peer said ok here, and the documented `if result.ok: forward` skipped the person.
    runtime, executor, trail = make(True)
    checks = AegisMCPToolFilter(runtime=runtime)
    assert (await checks.check(server="fs", tool="read_file")).ok
    pending = await checks.check(server="fs", tool="write_file", arguments={"path": "x"})
    assert (pending.ok, pending.status) == (False, ResultStatus.PENDING_APPROVAL)
    assert (await checks.check(server="fs", tool="rm")).status is ResultStatus.BLOCKED
    assert (await checks.check(server="other", tool="read_file")).status is ResultStatus.BLOCKED
    assert executor.seen == []
    assert trail.records == []
    assert isinstance(runtime.approval_handler, ScriptedApprovalHandler)
    assert runtime.approval_handler.requests == []


async def test_no_arguments_and_empty_arguments_are_the_same():
    runtime, executor, _ = make()
    checks = AegisMCPToolFilter(runtime=runtime)
    await checks.call_tool(server="fs", tool="read_file")
    await checks.call_tool(server="fs", tool="read_file", arguments=None)
    await checks.call_tool(server="fs", tool="read_file", arguments={})
    assert [action.params for action in executor.seen] == [{}, {}, {}]


async def test_arguments_may_be_left_out_and_the_rest_said_in_order():
    runtime, executor, _ = make()
    asking = AegisMCPToolFilter(runtime)
    assert (await asking.check("fs", "read_all")).ok
    assert (await asking.call_tool("fs", "read_all", {"path": "x"})).ok
    assert (await govern_mcp_tool_call(runtime=runtime, tool_name="read_all", server_name="fs")).ok
    assert [action.params for action in executor.seen] == [{"path": "x"}, {}]
