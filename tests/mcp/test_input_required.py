"""Calls whose server asks for input before it goes on: since protocol 2026-07-28 every round is a call of its own.

A round that answers the server is covered by the approval of the round before only if it is the same call, with a state
the server issued for it. That a request carries some ``requestState`` proves nothing.
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("mcp")

from tests.mcp.connections import MAJOR, is_error, make_server, text_of

if MAJOR == 1:
    pytest.skip("mcp 1.x does not speak protocol 2026-07-28", allow_module_level=True)

import mcp_types as t
from mcp import Client, MCPError
from mcp.server.mcpserver import Context

from aegis import Policy
from aegis.adapters.mcp import govern_server, govern_session
from tests.mcp.scenes import log_of, make_runtime

STATE = "issued by the server"


class Confirming:
    """A server whose write_file asks its user to confirm, as often as it is told to."""

    def __init__(self, rounds: int = 1, state: str | None = STATE) -> None:
        self.rounds = rounds
        self.state = state
        self.asked = 0
        self.written: list[str] = []
        self.server = make_server(self.write_file)

    async def write_file(self, path: str, ctx: Context) -> t.InputRequiredResult | str:
        """Write a file."""
        if self.asked < self.rounds:
            self.asked += 1
            schema = {"type": "object", "properties": {"sure": {"type": "boolean"}}}
            question = t.ElicitRequestFormParams(message="sure?", requested_schema=schema)
            ask: t.InputRequests = {"confirm": t.ElicitRequest(params=question)}
            return t.InputRequiredResult(input_requests=ask, request_state=self.state)
        self.written.append(path)
        return f"wrote {path}, {'confirmed' if ctx.input_responses else 'unconfirmed'}"


Confirming.write_file.__annotations__.update(ctx=Context, path=str)
Confirming.write_file.__annotations__["return"] = t.InputRequiredResult | str


async def confirm(context: Any, params: Any) -> t.ElicitResult:
    return t.ElicitResult(action="accept", content={"sure": True})


def client_of(server: Any) -> Client:
    return Client(server, mode="2026-07-28", elicitation_callback=confirm)


@pytest.mark.parametrize("rounds", [1, 3])
async def test_a_person_approves_the_call_once_and_every_round_is_judged_and_recorded(rounds: int):
    confirming, runtime = Confirming(rounds), make_runtime(True)
    async with govern_session(client_of(confirming.server), runtime, server="files") as client:
        assert text_of(await client.call_tool("write_file", {"path": "a"})) == "wrote a, confirmed"
    first, *later = log_of(runtime)
    assert [entry["result_status"] for entry in (first, *later)] == ["success"] * (rounds + 1)
    assert first["approver"] == "script"
    assert later[0]["approver"] == f"call:{first['call_id']}"
    assert {entry["human_decision"] for entry in later} == {"approved"}


async def rounds_by_hand(runtime: Any, second: dict[str, Any], *, confirming: Confirming, between: Any = None) -> Any:
    """Make an approved call that the server wants input for, then another call."""
    async with govern_session(client_of(confirming.server), runtime, server="files") as client:
        fields = {"arguments": {"path": "a"}, **await first_round(client), **second}
        if between is not None:
            between()
        return await client.session.call_tool("write_file", **fields)


async def first_round(client: Client) -> dict[str, Any]:
    """Make a call that the server wants input for; what to answer it with."""
    first = await client.session.call_tool("write_file", {"path": "a"}, allow_input_required=True)
    assert isinstance(first, t.InputRequiredResult)
    return {"input_responses": {"confirm": await confirm(None, None)}, "request_state": first.request_state}


async def test_a_round_with_other_arguments_is_asked_about():
    confirming, runtime = Confirming(), make_runtime(True, False)
    refused = await rounds_by_hand(runtime, {"arguments": {"path": "/etc/passwd"}}, confirming=confirming)
    assert is_error(refused)
    assert confirming.written == []
    assert [entry["result_status"] for entry in log_of(runtime)] == ["success", "denied"]


async def test_a_round_with_a_state_the_server_did_not_issue_is_asked_about():
    confirming, runtime = Confirming(), make_runtime(True, False)
    refused = await rounds_by_hand(runtime, {"request_state": "made up"}, confirming=confirming)
    assert is_error(refused)
    assert confirming.written == []


async def test_a_first_call_that_merely_carries_a_state_is_asked_about():
    confirming, runtime = Confirming(rounds=0), make_runtime(False)
    async with govern_session(client_of(confirming.server), runtime, server="files") as client:
        assert is_error(await client.call_tool("write_file", {"path": "a"}, request_state=STATE))
    assert confirming.written == []


async def test_a_state_covers_one_round():
    confirming, runtime = Confirming(), make_runtime(True, False)
    async with govern_session(client_of(confirming.server), runtime, server="files") as client:
        fields = await first_round(client)
        assert not is_error(await client.session.call_tool("write_file", {"path": "a"}, **fields))
        assert is_error(await client.session.call_tool("write_file", {"path": "a"}, **fields))
    assert confirming.written == ["a"]


async def test_a_policy_that_blocks_the_call_by_now_blocks_its_next_round():
    confirming, runtime = Confirming(), make_runtime(True)
    block = Policy.from_dict({"version": "1", "rules": [{"name": "no_more_writes", "approval": "block"}]})
    refused = await rounds_by_hand(runtime, {}, confirming=confirming, between=lambda: runtime.update_policy(block))
    assert "no_more_writes" in text_of(refused)
    assert confirming.written == []


async def test_another_rule_that_asks_is_asked_about():
    confirming, runtime = Confirming(), make_runtime(True, False)
    stricter = Policy.from_dict({"version": "1", "rules": [{"name": "ask_again", "approval": "approve"}]})
    refused = await rounds_by_hand(runtime, {}, confirming=confirming, between=lambda: runtime.update_policy(stricter))
    assert is_error(refused)


async def test_another_agents_round_is_asked_about():
    confirming, runtime = Confirming(), make_runtime(True, False)
    async with govern_session(client_of(confirming.server), runtime, server="files") as client:
        fields = await first_round(client)
        with runtime.session("s", agent="somebody else"):
            assert is_error(await client.session.call_tool("write_file", {"path": "a"}, **fields))
    assert confirming.written == []


async def test_without_a_state_every_round_is_asked_about():
    confirming, runtime = Confirming(state=None), make_runtime(True, True)
    async with govern_session(client_of(confirming.server), runtime, server="files") as client:
        assert not is_error(await client.call_tool("write_file", {"path": "a"}))
    assert [entry["approver"] for entry in log_of(runtime)] == ["script", "script"]


async def test_a_governed_server_asks_about_every_round():
    # Its peers are many: whoever presents a state need not be whom it was given to.
    confirming, runtime = Confirming(), make_runtime(True, False)
    async with client_of(govern_server(confirming.server, runtime)) as client:
        assert is_error(await client.call_tool("write_file", {"path": "a"}))
    assert confirming.written == []


async def test_the_servers_own_check_of_a_state_is_untouched():
    confirming, runtime = Confirming(), make_runtime(True)
    async with govern_session(client_of(confirming.server), runtime, server="files") as client:
        with pytest.raises(MCPError, match="requestState"):
            await client.call_tool("write_file", {"path": "a"}, request_state="made up")
    assert [entry["result_status"] for entry in log_of(runtime)] == ["failed"]
