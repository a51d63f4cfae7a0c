"""Shells, patches, custom tools and hosted MCP servers of a governed agent."""

from typing import Any

import pytest

pytest.importorskip("agents")

from agents import (
    Agent,
    ApplyPatchTool,
    CustomTool,
    HostedMCPTool,
    LocalShellTool,
    ShellCallOutcome,
    ShellCommandOutput,
    ShellResult,
    ShellTool,
)
from agents.editor import ApplyPatchOperation, ApplyPatchResult
from agents.testing import ScriptedModel, assistant_message
from openai.types.responses import (
    ResponseApplyPatchToolCall,
    ResponseCustomToolCall,
    ResponseFunctionShellToolCall,
)
from openai.types.responses.response_output_item import LocalShellCall, McpApprovalRequest

from aegis import Policy
from aegis.adapters.openai_agents import govern_agent
from aegis_core.request import ApprovalAnswer
from tests.openai_agents.scripted import World, outputs, run


def world(kind: str, approval: str, *answers: Any, **conditions: Any) -> World:
    rule = {"name": f"{approval}_it", "match": {"type": kind}, "approval": approval}
    rules = [{**rule, "conditions": conditions}, {**rule, "name": "rest", "approval": "auto"}] if conditions else [rule]
    return World(Policy.from_dict({"version": "1", "rules": rules}), *answers)


async def calling(tool: Any, item: Any, world: World, *, interrupt: bool = False, stream: bool = False) -> Any:
    """The result of a run in which the model makes one call."""
    agent: Agent[Any] = Agent("clerk", tools=[tool], model=ScriptedModel([[item], [assistant_message("done")]]))
    return await run(govern_agent(agent, world.runtime, interrupt=interrupt), stream=stream)


def _edit(**edits: Any) -> Any:
    def answer(request: Any) -> ApprovalAnswer:
        pointers = {f"/{name}": value for name, value in edits.items()}
        return ApprovalAnswer(request.id, request.digest, approved=True, approver="alice", edits=pointers)

    return answer


# --- shell ---

RM: Any = ResponseFunctionShellToolCall.model_validate(
    {
        "type": "shell_call",
        "id": "sh_1",
        "call_id": "call_1",
        "status": "completed",
        "action": {"commands": ["rm -rf /tmp/x", "ls"], "timeout_ms": 1000, "max_output_length": None},
    }
)


class Shell:
    """Runs nothing, and remembers what it was to run."""

    def __init__(self, error: Exception | None = None) -> None:
        self.requests: list[Any] = []
        self.error = error

    async def __call__(self, request: Any) -> ShellResult:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        return ShellResult([ShellCommandOutput(stdout="gone", outcome=ShellCallOutcome("exit", 0))])


async def test_a_shell_runs_what_the_policy_lets_it():
    shell, seen = Shell(), world("shell", "auto")
    result = await calling(ShellTool(shell), RM, seen)
    assert "gone" in outputs(result)[0]
    assert shell.requests[0].data.action.commands == ["rm -rf /tmp/x", "ls"]
    assert seen.last["action_params"] == {
        "commands": ["rm -rf /tmp/x", "ls"],
        "timeout_ms": 1000,
        "max_output_length": None,
    }
    assert (seen.last["agent"], seen.last["labels"]) == ("clerk", {"tool_call_id": "call_1"})


async def test_a_shells_executor_which_has_no_guardrails_is_governed():
    shell, seen = Shell(), world("shell", "block")
    result = await calling(ShellTool(shell), RM, seen)
    assert shell.requests == []
    assert "block_it" in outputs(result)[0]
    assert seen.log() == [("shell", "blocked")]


async def test_a_shell_command_is_approved_through_the_runs_state():
    shell, seen = Shell(), world("shell", "approve")
    agent: Agent[Any] = Agent(
        "clerk", tools=[ShellTool(shell)], model=ScriptedModel([[RM], [assistant_message("done")]])
    )
    governed = govern_agent(agent, seen.runtime)
    state = (await run(governed)).to_state()
    assert shell.requests == []
    state.approve(state.get_interruptions()[0])
    await run(governed, state)
    assert len(shell.requests) == 1
    assert seen.log() == [("shell", "pending_approval"), ("shell", "success")]


@pytest.mark.parametrize("kind", ["shell", "sql"])
async def test_a_rejection_through_the_runs_state_is_on_record(kind: str):
    shell, done, seen = Shell(), list[str](), world(kind, "approve")
    tool, item = (ShellTool(shell), RM) if kind == "shell" else (sql(done), QUERY)
    agent: Agent[Any] = Agent("clerk", tools=[tool], model=ScriptedModel([[item], [assistant_message("done")]]))
    governed = govern_agent(agent, seen.runtime)
    state = (await run(governed)).to_state()
    state.reject(state.get_interruptions()[0])
    await run(governed, state)
    assert (shell.requests, done) == ([], [])
    assert seen.log() == [(kind, "pending_approval"), (kind, "denied")]


async def test_a_programs_own_way_to_approve_shell_commands_answers_for_the_policy_too():
    shell, seen = Shell(), world("shell", "approve")

    async def on_approval(_context: Any, _item: Any) -> Any:
        return {"approve": True}

    await calling(ShellTool(shell, on_approval=on_approval), RM, seen, interrupt=True)
    assert len(shell.requests) == 1
    assert seen.last["human_decision"] == "approved"


async def test_a_shell_runs_what_an_approver_made_of_the_commands():
    shell = Shell()
    seen = world("shell", "approve", _edit(commands=["ls"]), param_contains={"commands": "rm -rf /tmp/x"})
    await calling(ShellTool(shell), RM, seen)
    (request,) = shell.requests
    assert request.data.action.commands == ["ls"]
    assert request.data.raw is None, "the model's own call does not reach the executor beside it"


async def test_a_failing_shell_fails_as_without_us_and_is_on_record():
    seen = world("shell", "auto")
    result = await calling(ShellTool(Shell(ValueError("boom"))), RM, seen)
    assert outputs(result) == ["boom"]
    assert seen.log() == [("shell", "failed")]


LOCAL: Any = LocalShellCall.model_validate(
    {
        "type": "local_shell_call",
        "id": "ls_1",
        "call_id": "call_1",
        "status": "completed",
        "action": {"type": "exec", "command": ["rm", "-rf", "/"], "env": {}},
    }
)


@pytest.mark.parametrize(("approval", "ran"), [("auto", 1), ("block", 0)])
async def test_a_local_shells_executor_is_governed(approval: str, ran: int):
    requests: list[Any] = []

    def execute(request: Any) -> str:
        requests.append(request)
        return "gone"

    seen = world("local_shell", approval)
    result = await calling(LocalShellTool(execute), LOCAL, seen)
    assert len(requests) == ran
    assert "gone" in outputs(result)[0] if ran else "block_it" in outputs(result)[0]
    assert seen.last["action_params"]["command"] == ["rm", "-rf", "/"]


async def test_a_local_shell_cannot_interrupt_the_run_and_asks_the_runtimes_handler():
    requests: list[Any] = []
    seen = world("local_shell", "approve", _edit(command=["ls"]), param_contains={"command": "rm"})

    def execute(request: Any) -> str:
        requests.append(request)
        return "ok"

    await calling(LocalShellTool(execute), LOCAL, seen, interrupt=True)
    (request,) = requests
    assert request.data.action.command == ["ls"]


# --- patches ---

PATCH: Any = ResponseApplyPatchToolCall.model_validate(
    {
        "type": "apply_patch_call",
        "id": "ap_1",
        "call_id": "call_1",
        "status": "completed",
        "operation": {"type": "delete_file", "path": "/etc/passwd"},
    }
)


class Editor:
    """Edits nothing, and remembers what it was to edit."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def create_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
        self.done.append(f"create {operation.path}")
        return ApplyPatchResult(output="created")

    async def update_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
        self.done.append(f"update {operation.path}")
        return ApplyPatchResult(output="updated")

    def delete_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
        self.done.append(f"delete {operation.path}")
        return ApplyPatchResult(output="deleted")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("approval", "told"), [("auto", "deleted"), ("block", "block_it")])
async def test_every_operation_of_a_patch_is_governed(approval: str, told: str, stream: bool):
    editor, seen = Editor(), world("apply_patch", approval)
    result = await calling(ApplyPatchTool(editor), PATCH, seen, stream=stream)
    assert told in outputs(result)[0]
    assert editor.done == (["delete /etc/passwd"] if approval == "auto" else [])
    params = seen.last["action_params"]
    assert (params["type"], params["path"]) == ("delete_file", "/etc/passwd")


async def test_a_patch_is_applied_as_an_approver_changed_it():
    editor = Editor()
    seen = world("apply_patch", "approve", _edit(path="/tmp/x"), param_eq={"path": "/etc/passwd"})
    await calling(ApplyPatchTool(editor), PATCH, seen, interrupt=True)
    assert editor.done == ["delete /tmp/x"]


# --- custom tools ---

QUERY: Any = ResponseCustomToolCall.model_validate(
    {"type": "custom_tool_call", "id": "ct_1", "call_id": "call_1", "name": "sql", "input": "DROP TABLE users"}
)


def sql(done: list[str], **options: Any) -> CustomTool:
    async def invoke(context: Any, text: str) -> str:
        assert context.tool_arguments == text
        done.append(text)
        return "0 rows"

    return CustomTool("sql", "Runs SQL.", invoke, **options)


@pytest.mark.parametrize(("approval", "told"), [("auto", "0 rows"), ("block", "block_it")])
async def test_a_custom_tool_is_governed_by_its_input(approval: str, told: str):
    done: list[str] = []
    seen = world("sql", approval)
    result = await calling(sql(done), QUERY, seen)
    assert told in outputs(result)[0]
    assert done == (["DROP TABLE users"] if approval == "auto" else [])
    assert seen.last["action_params"] == {"input": "DROP TABLE users"}


async def test_a_custom_tools_call_is_approved_through_the_runs_state():
    done: list[str] = []
    seen = world("sql", "approve")
    agent: Agent[Any] = Agent("clerk", tools=[sql(done)], model=ScriptedModel([[QUERY], [assistant_message("done")]]))
    governed = govern_agent(agent, seen.runtime)
    state = (await run(governed)).to_state()
    assert done == []
    state.approve(state.get_interruptions()[0])
    await run(governed, state)
    assert done == ["DROP TABLE users"]


async def test_a_custom_tool_gets_what_an_approver_made_of_its_input():
    done: list[str] = []
    await calling(sql(done), QUERY, world("sql", "approve", _edit(input="SELECT 1"), param_contains={"input": "DROP"}))
    assert done == ["SELECT 1"]


# --- hosted MCP servers ---


def asks(arguments: str = '{"to": "bob"}') -> Any:
    return McpApprovalRequest.model_validate(
        {"type": "mcp_approval_request", "id": "ar_1", "name": "send", "server_label": "mail", "arguments": arguments}
    )


def hosted(**options: Any) -> HostedMCPTool:
    return HostedMCPTool(
        {"type": "mcp", "server_label": "mail", "server_url": "https://mail.example", "require_approval": "never"},
        **options,
    )


def answered(result: Any) -> tuple[bool, str | None]:
    (item,) = [item for item in result.new_items if item.type == "mcp_approval_response_item"]
    return item.raw_item["approve"], item.raw_item.get("reason")


@pytest.mark.parametrize("interrupt", [False, True])
async def test_a_hosted_server_asks_always_and_the_policy_answers(interrupt: bool):
    seen = world("send", "auto")
    governed = govern_agent(Agent("clerk", tools=[hosted()]), seen.runtime)
    tools: Any = governed.tools
    assert tools[0].tool_config["require_approval"] == "always"
    assert answered(await calling(hosted(), asks(), seen, interrupt=interrupt)) == (True, None)
    assert (seen.last["action_type"], seen.last["action_target"]) == ("send", "mail")
    assert seen.last["action_params"] == {"to": "bob"}
    assert seen.last["claimed_by"] == "HostedMCPTool", "who says that it succeeded only let it through"


async def test_a_hosted_servers_call_that_the_policy_blocks_is_rejected_with_a_reason():
    seen = world("send", "block")
    approve, reason = answered(await calling(hosted(), asks(), seen))
    assert not approve
    assert reason is not None
    assert "block_it" in reason


@pytest.mark.parametrize("interrupt", [False, True])
async def test_a_hosted_servers_call_is_put_to_the_runtimes_handler(interrupt: bool):
    seen = world("send", "approve", False)
    approve, reason = answered(await calling(hosted(), asks(), seen, interrupt=interrupt))
    assert not approve
    assert reason is not None
    assert "denied" in reason
    assert len(seen.handler.requests) == 1


async def test_malformed_arguments_of_a_hosted_servers_call_are_rejected():
    seen = world("send", "auto")
    approve, _ = answered(await calling(hosted(), asks("{"), seen))
    assert not approve
    assert seen.log() == [("send", "blocked")]


@pytest.mark.parametrize(("said", "approve"), [(True, True), (False, False), ("yes", False), (None, False)])
async def test_the_programs_own_answer_to_a_hosted_server_counts_after_the_policys(said: Any, approve: bool):
    seen = world("send", "auto")
    result = await calling(hosted(on_approval_request=lambda _request: {"approve": said}), asks(), seen)
    assert answered(result)[0] is approve
    assert seen.last["result_status"] == ("success" if approve else "failed")


async def test_an_approver_cannot_change_what_a_hosted_server_does():
    seen = world("send", "approve", _edit(to="carol"))
    approve, _ = answered(await calling(hosted(), asks(), seen))
    assert not approve
