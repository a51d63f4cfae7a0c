"""Approval in the stateless era: the question is the answer to the call, which comes again with what the user said."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from aegis import Policy
from aegis.runtime.audit import AuditLogger
from aegis_core.approval.store import ApprovalStore
from aegis_mcp.proxy.asking import ClientApprovalHandler
from tests.proxy.wire import Wire, call

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "desk", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
}
YES: dict[str, Any] = {"action": "accept", "content": {"decision": "approve"}}


@pytest.fixture
async def trail(tmp_path: Path) -> AsyncGenerator[AuditLogger]:
    with AuditLogger(tmp_path / "trail.db") as logger:
        yield logger


def wire_on(trail: AuditLogger, **options: Any) -> Wire:
    return Wire(trail=trail, handler=ClientApprovalHandler(trail, hold=0), **options)


async def ask(wire: Wire, identity: Any, name: str = "write_file", arguments: Any = None, **more: Any) -> Any:
    """Make a call and wait for its answer."""
    wire.send(call(identity, name, arguments, _meta=META, **more))
    for _ in range(500):
        await wire.settle()
        answers = [message for message in wire.said if message.get("id") == identity]
        if answers:
            return answers[0].get("result", answers[0].get("error"))
    raise AssertionError("no answer")


async def first(wire: Wire, identity: Any = 1, **more: Any) -> str:
    question = await ask(wire, identity, **more)
    assert question["resultType"] == "input_required"
    state: str = question["requestState"]
    return state


def reply(answer: Any) -> dict[str, Any]:
    return {"aegis_approval": answer}


async def test_the_question_is_the_answer_and_the_call_made_again_with_a_yes_runs_once(trail: AuditLogger) -> None:
    wire = wire_on(trail)
    question = await ask(wire, 1)
    assert wire.heard == []
    (form,) = question["inputRequests"].values()
    assert form["method"] == "elicitation/create"
    assert "write_file" in form["params"]["message"]
    again = {"requestState": question["requestState"], "inputResponses": reply(YES)}
    assert "content" in await ask(wire, 2, **again)
    assert wire.heard == [call(2, "write_file", _meta=META)], "the server sees neither our question nor our state"
    replayed = await ask(wire, 3, **again)
    assert replayed["resultType"] == "input_required", "one yes is for one call"
    assert len(wire.heard) == 1
    assert [status for _, status in wire.log] == ["pending_approval", "success", "pending_approval"]
    assert trail.get_log()[1]["approver"] == "elicitation:desk"


@pytest.mark.parametrize(
    "said",
    [
        {"action": "accept", "content": {"decision": "deny"}},
        {"action": "accept", "content": {"decision": "yes"}},
        {"action": "accept", "content": {}},
        {"action": "decline", "content": {"decision": "approve"}},
        {"action": "cancel"},
        {},
        "approve",
        None,
    ],
)
async def test_anything_but_the_forms_own_approve_is_a_no(trail: AuditLogger, said: Any) -> None:
    wire = wire_on(trail)
    state = await first(wire)
    denied = await ask(wire, 2, requestState=state, inputResponses=reply(said))
    assert denied["isError"] is True
    assert wire.heard == []
    assert [status for _, status in wire.log] == ["pending_approval", "denied"]


async def test_a_forged_state_is_refused(trail: AuditLogger) -> None:
    wire = wire_on(trail)
    state = await first(wire)
    signature, _, text = state.removeprefix("aegis1.").partition(".")
    issued = json.loads(base64.urlsafe_b64decode(text))
    other = base64.urlsafe_b64encode(json.dumps({**issued, "carried": {"requestState": "x"}}).encode()).decode()
    forged = [
        f"aegis1.{signature}.{other}",
        f"aegis1.{'0' * 64}.{text}",
        f"aegis1..{text}",
        "aegis1.",
        "aegis1.ü.ü",
        "aegis1." + "." * 1000,
        state + "=",
        state[:-4],
    ]
    for number, attempt in enumerate(forged):
        refused = await ask(wire, f"f{number}", requestState=attempt, inputResponses=reply(YES))
        assert "was not issued by this proxy" in refused["message"], attempt
    assert wire.heard == []
    assert [status for _, status in wire.log] == ["pending_approval"]


@pytest.mark.parametrize("other", [{"arguments": {"path": "/etc/passwd"}}, {"name": "write_all"}])
async def test_a_state_issued_for_another_call_is_refused(trail: AuditLogger, other: dict[str, Any]) -> None:
    wire = wire_on(trail)
    state = await first(wire)
    refused = await ask(wire, 2, requestState=state, inputResponses=reply(YES), **other)
    assert "issued for another call" in refused["message"]
    assert wire.heard == []


async def test_a_state_of_another_trail_is_refused(trail: AuditLogger, tmp_path: Path) -> None:
    with AuditLogger(tmp_path / "other.db") as other:
        state = await first(wire_on(other))
    refused = await ask(wire_on(trail), 2, requestState=state, inputResponses=reply(YES))
    assert "was not issued by this proxy" in refused["message"]


async def test_a_yes_survives_a_restart_of_the_proxy(trail: AuditLogger) -> None:
    state = await first(wire_on(trail))
    restarted = wire_on(trail)
    assert "content" in await ask(restarted, 2, requestState=state, inputResponses=reply(YES))
    assert len(restarted.heard) == 1


async def test_what_was_answered_elsewhere_meanwhile_counts(trail: AuditLogger) -> None:
    wire = wire_on(trail)
    state = await first(wire)
    (waiting,) = ApprovalStore(trail).requests(pending=True)
    ApprovalStore(trail).answer(waiting.id, approved=False, approver="ann", via="test")
    denied = await ask(wire, 2, requestState=state, inputResponses=reply(YES))
    assert "denied by ann" in denied["content"][0]["text"]
    assert wire.heard == []


async def test_a_yes_does_not_outlive_the_rule_that_asked_for_it(trail: AuditLogger) -> None:
    wire = wire_on(trail)
    state = await first(wire)
    wire.runtime.update_policy(
        Policy.from_dict(
            {"version": "1", "rules": [{"name": "never", "match": {"type": "write_*"}, "approval": "block"}]}
        )
    )
    blocked = await ask(wire, 2, requestState=state, inputResponses=reply(YES))
    assert "blocked by rule 'never'" in blocked["content"][0]["text"]
    assert wire.heard == []


async def test_a_servers_own_state_passes_untouched_and_comes_back_after_our_question(trail: AuditLogger) -> None:
    wire = wire_on(trail)
    theirs = {"requestState": "the server's own", "inputResponses": {"confirm": {"action": "accept"}}}
    await ask(wire, 1, "read_file", **theirs)
    assert wire.heard[0]["params"]["requestState"] == "the server's own"
    state = await first(wire, 2, **theirs)
    await ask(wire, 3, requestState=state, inputResponses=reply(YES))
    assert wire.heard[1]["params"] == call(3, "write_file", _meta=META, **theirs)["params"]


async def test_a_client_of_the_stateless_era_without_forms_gets_the_queue(trail: AuditLogger) -> None:
    wire = wire_on(trail)
    wire.send(call(1, "write_file", _meta={**META, "io.modelcontextprotocol/clientCapabilities": {}}))
    for _ in range(500):
        await wire.settle()
        if wire.said:
            break
    (answer,) = wire.said
    assert answer["result"]["resultType"] == "complete"
    assert "is pending, id" in answer["result"]["content"][0]["text"]
