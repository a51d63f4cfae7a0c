"""Asking the user of the MCP client, in both protocol eras, through the SDK's own clients and servers."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("mcp")

from aegis import Action, Runtime, governed
from aegis.adapters.mcp import govern_server
from aegis.runtime.approval import ElicitationApprovalHandler
from aegis_core.approval.store import ApprovalStore
from aegis_core.audit.sqlite import AuditLogger
from tests.core.policies import ASK
from tests.mcp.connections import MAJOR, is_error, make_server, text_of
from tests.mcp.scenes import Files, eras, make_runtime, types

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from aegis_core.approval.store import Ticket

ROOT = Path(__file__).parents[2]
stateless_only = pytest.mark.skipif(MAJOR == 1, reason="mcp 1.x does not speak protocol 2026-07-28")


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[AuditLogger]:
    with AuditLogger(tmp_path / "aegis_audit.db") as logger:
        yield logger


class User:
    """A client's user, who replies to forms as told and remembers them."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.shown: list[Any] = []

    async def __call__(self, _context: Any, params: Any) -> Any:
        self.shown.append(params)
        reply = self.replies.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        action, content = reply
        return types().ElicitResult(action=action, content=content)


YES = ("accept", {"decision": "approve", "reason": "looks right"})
NO = ("accept", {"decision": "deny"})


@asynccontextmanager
async def client_of(server: Any, era: str, user: Any = None) -> AsyncGenerator[Any]:
    """A client whose ``call_tool`` goes through all rounds of a call."""
    options = {} if user is None else {"elicitation_callback": user}
    if MAJOR == 2:
        client = import_module("mcp").Client
        async with client(server, mode="legacy" if era == "handshake" else "2026-07-28", **options) as connected:
            yield connected
    else:
        connect = import_module("mcp.shared.memory").create_connected_server_and_client_session
        async with connect(server, **options) as session:
            yield session


def governing(trail: AuditLogger, **options: Any) -> tuple[Files, Any]:
    files = Files()
    options.setdefault("approval_handler", ElicitationApprovalHandler(trail))
    runtime = Runtime(policy=make_runtime().policy, audit_logger=trail, **options)
    return files, govern_server(files.server, runtime)


WRITE = {"path": "a", "content": "x\u202e"}


@eras
async def test_the_clients_user_says_yes_to_exactly_what_runs(trail: AuditLogger, era: str) -> None:
    files, server = governing(trail)
    user = User(YES)
    async with client_of(server, era, user) as client:
        assert text_of(await client.call_tool("write_file", WRITE)) == "wrote a"
    assert files.ran == [("write_file", "a", "x\u202e")]
    (shown,) = user.shown
    assert "write_file on files asks for approval" in shown.message
    assert "x\\u202e" in shown.message, "what is invisible is made visible"
    (entry,) = [entry for entry in trail.get_log() if entry["result_status"] == "success"]
    assert entry["approver"].startswith("elicitation:")
    assert (entry["human_decision"], entry["reason"]) == ("approved", "looks right")


@eras
@pytest.mark.parametrize(
    "reply",
    [
        NO,
        ("decline", None),
        ("cancel", None),
        ("decline", {"decision": "approve"}),
        ("accept", {}),
        ("accept", {"decision": "APPROVE"}),
        ("accept", {"decision": True}),
        ("accept", {"decision": "please do NOT approve"}),
        ("accept", {"approved": True}),
    ],
    ids=str,
)
async def test_15_anything_but_the_forms_own_yes_is_a_no(trail: AuditLogger, era: str, reply: Any) -> None:
    files, server = governing(trail)
    async with client_of(server, era, User(reply)) as client:
        refused = await client.call_tool("write_file", WRITE)
    assert is_error(refused)
    assert "denied" in text_of(refused)
    assert files.ran == []


@eras
async def test_a_client_that_cannot_show_forms_hears_no_and_why(trail: AuditLogger, era: str) -> None:
    files, server = governing(trail)
    async with client_of(server, era) as client:
        refused = await client.call_tool("write_file", WRITE)
    assert "the MCP client cannot show forms" in text_of(refused)
    assert files.ran == []


async def test_a_form_that_fails_is_a_no(trail: AuditLogger) -> None:
    files, server = governing(trail)
    async with client_of(server, "handshake", User(RuntimeError("no screen"))) as client:
        refused = await client.call_tool("write_file", WRITE)
    assert is_error(refused)
    assert files.ran == []


@pytest.mark.skipif(MAJOR == 1, reason="a client of mcp 1.x hears nothing, not even a refusal, while its user thinks")
async def test_16_silence_is_a_no(trail: AuditLogger) -> None:
    async def asleep(_context: Any, _params: Any) -> Any:
        await asyncio.sleep(3600)

    files, server = governing(trail, approval_timeout=0.3)
    async with client_of(server, "handshake", asleep) as client:
        refused = await client.call_tool("write_file", WRITE)
    assert "timeout" in text_of(refused)
    assert files.ran == []


@eras
async def test_a_yes_is_for_one_call(trail: AuditLogger, era: str) -> None:
    files, server = governing(trail)
    user = User(YES, NO)
    async with client_of(server, era, user) as client:
        assert not is_error(await client.call_tool("write_file", WRITE))
        assert is_error(await client.call_tool("write_file", WRITE))
    assert len(user.shown) == 2
    assert len(files.ran) == 1


@eras
async def test_several_calls_at_once_hear_their_own_answers(trail: AuditLogger, era: str) -> None:
    files, server = governing(trail)

    async def user(_context: Any, params: Any) -> Any:
        decision = "approve" if "path = even" in params.message else "deny"
        return types().ElicitResult(action="accept", content={"decision": decision})

    async with client_of(server, era, user) as client:
        names = [f"{'odd' if number % 2 else 'even'}{number}" for number in range(6)]
        calls = [client.call_tool("write_file", {"path": name, "content": ""}) for name in names]
        results = await asyncio.gather(*calls)
    assert [is_error(result) for result in results] == [False, True] * 3
    assert sorted(path for _, path, _ in files.ran) == ["even0", "even2", "even4"]


async def test_without_a_client_the_answer_is_no(trail: AuditLogger) -> None:
    runtime = Runtime(policy=ASK, audit_logger=trail, approval_handler=ElicitationApprovalHandler(trail))
    result = await runtime.arun(Action("write_file", "files", {}), lambda _: pytest.fail("it ran"))
    assert "no MCP client's request is being served" in (result.error or "")


async def test_a_tool_may_ask_through_the_session_it_was_given(trail: AuditLogger) -> None:
    module = "mcp.server.mcpserver" if MAJOR == 2 else "mcp.server.fastmcp"
    runtime = Runtime(policy=ASK, audit_logger=trail, approval_handler=ElicitationApprovalHandler())

    async def send(to: str, ctx: Any) -> str:
        """Send a mail."""
        handler = ElicitationApprovalHandler(session=ctx.session, request_id=ctx.request_id)
        action = Action("send_mail", "office", {"to": to})
        result = await runtime.arun(action, lambda given: f"sent to {given['to']}", approval_handler=handler)
        return str(result.data if result.ok else result.error)

    send.__annotations__.update(to=str, ctx=import_module(module).Context)
    send.__annotations__["return"] = str
    async with client_of(make_server(send), "handshake", User(YES, NO)) as client:
        assert text_of(await client.call_tool("send", {"to": "bob"})) == "sent to bob"
        assert "denied" in text_of(await client.call_tool("send", {"to": "bob"}))


async def test_a_sync_tool_in_a_thread_asks_over_the_servers_loop(trail: AuditLogger) -> None:
    """An outer door that asks nobody, and a governed sync function which the tool runs in a worker thread."""
    rules = [{"name": "inner", "match": {"type": "wipe"}, "approval": "approve"}]
    policy = type(ASK).from_dict({"version": "1", "rules": rules, "defaults": {"approval": "auto"}})
    runtime = Runtime(policy=policy, audit_logger=trail, approval_handler=ElicitationApprovalHandler(trail))

    @governed(runtime, type="wipe")
    def wipe(disk: str) -> str:
        return f"wiped {disk}"

    async def clean(disk: str) -> str:
        """Clean a disk."""
        return await asyncio.to_thread(wipe, disk)

    async with client_of(govern_server(make_server(clean), runtime), "handshake", User(YES)) as client:
        assert text_of(await client.call_tool("clean", {"disk": "sda"})) == "wiped sda"


@stateless_only
async def test_a_reply_counts_only_with_a_state_that_was_issued_for_this_very_call(trail: AuditLogger) -> None:
    files, server = governing(trail)
    replies = {"aegis_approval": {"action": "accept", "content": {"decision": "approve"}}}

    async def raw(session: Any, **params: Any) -> dict[str, Any]:
        sent = {"name": "write_file", "arguments": WRITE, **params}
        return dict(await session._dispatcher.send_raw_request("tools/call", {**sent, "_meta": meta}, {}))

    async with client_of(server, "stateless", User()) as client:
        session = client.session
        meta = stateless_meta(session)
        asked = await raw(session)
        assert asked["resultType"] == "input_required"
        state = asked["requestState"]
        forged = state[:-4] + ("AAAA" if state[-4:] != "AAAA" else "BBBB")
        for params in (
            {"inputResponses": replies},
            {"inputResponses": replies, "requestState": "made up"},
            {"inputResponses": replies, "requestState": forged},
            {"inputResponses": replies, "requestState": state, "arguments": {**WRITE, "path": "/etc/passwd"}},
            {"inputResponses": {}, "requestState": state},
            {"inputResponses": {"other": replies["aegis_approval"]}, "requestState": state},
        ):
            try:
                result = await raw(session, **params)
            except Exception:  # noqa: BLE001 - the SDK itself refuses a state that it did not seal
                continue
            assert result.get("isError") or result["resultType"] == "input_required", params
        assert files.ran == []


def stateless_meta(session: Any) -> dict[str, Any]:
    """What a client of the stateless era says about itself with every request."""
    return {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    }


@stateless_only
async def test_what_was_answered_elsewhere_counts_too(trail: AuditLogger) -> None:
    """The form is a door to the record: who answers on the command line is heard by the next round."""
    files, server = governing(trail)

    async def user(_context: Any, _params: Any) -> Any:
        (ticket,) = await asyncio.to_thread(waiting, trail)
        await asyncio.to_thread(
            ApprovalStore(trail).answer, ticket.id, approved=False, approver="ann", via="cli", reason="not today"
        )
        return types().ElicitResult(action="accept", content={"decision": "approve"})

    async with client_of(server, "stateless", user) as client:
        refused = await client.call_tool("write_file", WRITE)
    assert "denied by ann: not today" in text_of(refused)
    assert files.ran == []


def waiting(trail: AuditLogger) -> list[Ticket]:
    return ApprovalStore(trail).requests(pending=True)


@stateless_only
async def test_without_a_trail_to_file_on_a_stateless_client_hears_no(trail: AuditLogger) -> None:
    files, server = governing(trail, approval_handler=ElicitationApprovalHandler())
    async with client_of(server, "stateless", User(YES)) as client:
        assert "the handler needs the trail" in text_of(await client.call_tool("write_file", WRITE))
    assert files.ran == []


@stateless_only
async def test_a_tool_that_asks_its_own_questions_gets_its_own_answers(trail: AuditLogger) -> None:
    t = types()
    context = import_module("mcp.server.mcpserver").Context
    seen: list[Any] = []

    async def write_file(path: str, ctx: Any) -> Any:
        """Write a file."""
        seen.append(ctx.input_responses)
        if not ctx.input_responses:
            question = t.ElicitRequestFormParams(message="sure?", requested_schema={"type": "object", "properties": {}})
            return t.InputRequiredResult(input_requests={"sure": t.ElicitRequest(params=question)}, request_state="own")
        return f"wrote {path}"

    write_file.__annotations__.update(path=str, ctx=context)
    write_file.__annotations__["return"] = t.InputRequiredResult | str
    runtime = Runtime(policy=ASK, audit_logger=trail, approval_handler=ElicitationApprovalHandler(trail))
    server = govern_server(make_server(write_file), runtime)
    user = User(YES, ("accept", {}), YES)
    async with client_of(server, "stateless", user) as client:
        assert text_of(await client.call_tool("write_file", {"path": "a"})) == "wrote a"
    assert [shown.message == "sure?" for shown in user.shown] == [False, True, False], (
        "every round is a call of its own"
    )
    assert list(seen[-1]) == ["sure"]


@eras
@pytest.mark.parametrize(("reply", "said"), [(YES, "wrote a"), (NO, "denied")], ids=["yes", "no"])
async def test_a_server_on_stdio_asks_its_client(tmp_path: Path, era: str, reply: Any, said: str) -> None:
    stdio = import_module("mcp.client.stdio")
    script = str(Path(__file__).with_name("elicit_server.py"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    path = str(tmp_path / "aegis_audit.db")
    parameters = stdio.StdioServerParameters(command=sys.executable, args=[script, path], env=environment)
    user = User(reply)
    if MAJOR == 2:
        client = import_module("mcp").Client
        mode = "legacy" if era == "handshake" else "2026-07-28"
        async with client(stdio.stdio_client(parameters), mode=mode, elicitation_callback=user) as connected:
            result = await connected.call_tool("write_file", {"path": "a"})
    else:
        session = import_module("mcp").ClientSession
        async with stdio.stdio_client(parameters) as streams, session(*streams, elicitation_callback=user) as connected:
            await connected.initialize()
            result = await connected.call_tool("write_file", {"path": "a"})
    assert said in text_of(result)
    assert len(user.shown) == 1
    with AuditLogger(path) as trail:
        assert trail.verify().ok
        assert trail.get_log()[-1]["human_decision"] == ("approved" if reply is YES else "denied")
