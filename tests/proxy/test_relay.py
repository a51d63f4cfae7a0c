"""The relay between a client and a server, message by message: what passes, what is governed, what is refused."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import TYPE_CHECKING, Any

import pytest

from aegis import Policy
from aegis_core.approval.simple import CallbackApprovalHandler
from aegis_core.audit.sqlite import AuditLogger
from aegis_mcp.proxy.asking import ClientApprovalHandler
from aegis_mcp.proxy.way import CALL, Gone
from tests.proxy.wire import Wire, call

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


async def test_a_permitted_call_reaches_the_server_as_it_was_judged_and_its_answer_the_client_byte_for_byte() -> None:
    wire = Wire()
    wire.send(call(1, arguments={"path": "/ä", "n": 1.0}, _meta={"progressToken": 7}))
    await wire.settle()
    assert wire.heard == [call(1, arguments={"path": "/ä", "n": 1.0}, _meta={"progressToken": 7})]
    assert wire.said[0]["id"] == 1
    assert wire.log == [("read_file", "success")]
    assert wire.trail.get_log()[0]["action_target"] == "files"


async def test_a_blocked_call_never_reaches_the_server_and_the_model_is_told_why() -> None:
    wire = Wire()
    wire.send(call("x", "delete_file"))
    await wire.settle()
    assert wire.heard == []
    (answer,) = wire.said
    assert answer["id"] == "x"
    assert answer["result"]["isError"] is True
    assert "blocked by rule 'delete'" in answer["result"]["content"][0]["text"]
    assert wire.log == [("delete_file", "blocked")]


@pytest.mark.parametrize(("answer", "status"), [(True, "success"), (False, "denied")])
async def test_a_call_that_needs_approval_runs_on_a_yes_only(answer: bool, status: str) -> None:
    wire = Wire(answers=[answer])
    wire.send(call(1, "write_file"))
    await asyncio.sleep(0.2)
    assert len(wire.heard) == (1 if answer else 0)
    assert wire.log == [("write_file", status)]


async def test_everything_else_passes_as_the_bytes_it_came_in() -> None:
    wire = Wire()
    lines = [
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"clientInfo":{"name":"c"},"capabilities":{}}}',
        b'{ "jsonrpc" : "2.0", "method":"notifications/initialized" }',
        b'{"jsonrpc":"2.0","id":"2","method":"custom/thing","params":{"x":1e2,"\\u00e9":[1,2,{}]}}',
        b'{"jsonrpc":"2.0","id":99,"result":{"roots":[]}}',
    ]
    wire.send(*lines)
    await wire.settle()
    assert [raw.strip() for raw in wire.raw_heard] == lines
    server = [
        b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"\\ud83d\\ude00"}}',
        b'{"jsonrpc":"2.0","id":"s1","method":"sampling/createMessage","params":{}}',
    ]
    wire.raw_said.clear()
    for line in server:
        wire.relay.from_server(line + b"\n")
    assert [raw.strip() for raw in wire.raw_said] == server
    assert wire.log == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', "duplicate key 'id'"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}', "duplicate key 'method'"),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","name":"delete_file"}}',
            "duplicate key 'name'",
        ),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_x","arguments":{"a":{"b":1,"b":2}}}}',
            "duplicate key 'b'",
        ),
        (b'{"jsonrpc":"2.0","id":1,"Method":"tools/call","method":"ping"}', "can be mistaken"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_x","Name":"delete_x"}}', "mistaken"),
        (b'{"jsonrpc":"2.0","id":1,"method":"Tools/Call","params":{"name":"delete_x"}}', "mistaken for tools/call"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call ","params":{"name":"delete_x"}}', "mistaken for tools/call"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"\\uff54ools/call","params":{"name":"delete_x"}}]', "mistaken for tools"),
        ('{"id":1,"method":"tools/call","params":{"name":"r","argument\u017f":{}}}'.encode(), "can be mistaken"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_x","arguments":{"n":NaN}}}', "NaN"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_x","arguments":{"n":1e999}}}', "range"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_\xff"}}', "not UTF-8"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":' + b"[" * 100_000, "nested too deep"),
        (b'{"jsonrpc":"2.0","id":true,"method":"tools/call","params":{"name":"read_x"}}', "id must be"),
        (b'{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{"name":"read_x"}}', "id must be"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}', "needs params"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}', "needs the name"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_x","arguments":[1]}}', "an object"),
        (b'"tools/call"', "not a JSON object"),
        (b"nonsense", "not JSON"),
    ],
)
async def test_what_two_readers_could_read_differently_is_refused_with_a_sentence(line: bytes, why: str) -> None:
    wire = Wire()
    wire.send(line)
    await wire.settle()
    assert wire.heard == []
    (answer,) = wire.said
    assert why in answer["error"]["message"]


async def test_a_huge_line_is_judged_like_any_other() -> None:
    wire = Wire()
    wire.send(call(1, arguments={"text": "x" * 10_000_000}))
    await wire.settle()
    assert len(wire.heard[0]["params"]["arguments"]["text"]) == 10_000_000
    assert wire.log == [("read_file", "success")]


async def test_a_call_without_an_id_is_dropped() -> None:
    wire = Wire()
    message = call(1, "read_file")
    del message["id"]
    wire.send(message, {**call(1), "id": None})
    await wire.settle()
    assert wire.heard == []
    assert wire.log == []


async def test_calls_hidden_in_a_batch_are_governed() -> None:
    wire = Wire()
    wire.send([call(1), call(2, "delete_file"), {"jsonrpc": "2.0", "id": 3, "method": "ping"}, 7])
    await wire.settle()
    assert [message["method"] for message in wire.heard] == ["tools/call", "ping"]
    assert sorted(str(answer["id"]) for answer in wire.said) == ["1", "2", "3", "None"]
    assert wire.log == [("read_file", "success"), ("delete_file", "blocked")]


async def test_a_call_nested_in_another_message_is_data() -> None:
    wire = Wire()
    wire.send({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": call(2, "delete_file")})
    await wire.settle()
    assert len(wire.heard) == 1
    assert wire.log == []


async def test_an_id_in_use_is_refused_and_one_and_the_text_one_are_two() -> None:
    wire = Wire(silent=True)
    wire.send(call(1), call(1, "read_other"), call("1"), {"jsonrpc": "2.0", "id": 1, "method": "ping"})
    await wire.settle()
    assert [message["id"] for message in wire.heard] == [1, "1"]
    assert ["in use" in answer["error"]["message"] for answer in wire.said] == [True, True]


async def test_a_thousand_calls_in_a_row_keep_their_order_and_none_is_lost() -> None:
    wire = Wire()
    wire.send(*(call(number, arguments={"n": number}) for number in range(1000)))
    for _ in range(200):
        await wire.settle()
        if len(wire.said) == 1000:
            break
    assert [message["id"] for message in wire.heard] == list(range(1000))
    assert sorted(answer["id"] for answer in wire.said) == list(range(1000))


async def test_calls_behind_one_that_waits_for_a_person_do_not_wait_with_it() -> None:
    gate = asyncio.Event()

    class Slow(ClientApprovalHandler):
        def __init__(self) -> None:
            pass

        async def ask(self, request: Any) -> Any:
            call = CALL.get()
            assert call is not None
            call.place.step_out()
            await gate.wait()
            return request.approve(approver="ann")

        def withdraw(self, request: Any) -> None:
            pass

    wire = Wire(handler=Slow())
    wire.send(call(1, "write_file"), call(2), {"jsonrpc": "2.0", "method": "notifications/x"})
    await wire.settle()
    assert [message.get("id") for message in wire.heard] == [2, None]
    gate.set()
    await wire.settle()
    assert [message.get("id") for message in wire.heard] == [2, None, 1]


async def test_a_call_cancelled_while_it_waits_for_a_person_never_reaches_the_server() -> None:
    waiting = asyncio.Event()

    async def never(_request: Any) -> bool:
        waiting.set()
        await asyncio.sleep(60)
        return True

    wire = Wire(handler=CallbackApprovalHandler(never))
    wire.send(call(1, "write_file"))
    await asyncio.wait_for(waiting.wait(), 5)
    wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
    await wire.settle()
    assert wire.heard == []
    assert wire.log == [("write_file", "cancelled")]


async def test_a_call_cancelled_while_it_runs_is_cancelled_at_the_server_too_and_recorded() -> None:
    wire = Wire(silent=True)
    wire.send(call(1))
    await wire.settle()
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "reason": "enough"}}
    wire.send(cancel)
    await wire.settle()
    assert wire.heard[-1] == cancel
    assert wire.log == [("read_file", "cancelled")]
    wire.answer(1, {"content": []})
    await wire.settle()
    assert wire.said == [], "the answer to a cancelled request has nobody to go to"


async def test_a_server_that_answers_twice_or_with_a_strangers_id_is_heard_once() -> None:
    wire = Wire(silent=True)
    wire.send(call(1))
    await wire.settle()
    wire.answer(2, {"content": []})
    wire.answer(1, {"content": [{"type": "text", "text": "first"}]})
    wire.answer(1, {"content": [{"type": "text", "text": "second"}]})
    await wire.settle()
    assert [answer["result"]["content"][0]["text"] for answer in wire.said] == ["first"]


async def test_what_the_server_says_after_an_answer_does_not_overtake_it() -> None:
    wire = Wire(silent=True)
    wire.send(call(1), call(2), {"jsonrpc": "2.0", "id": 3, "method": "ping"})
    await wire.settle()
    wire.answer(2, {"content": []})
    wire.relay.from_server(b'{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{}}\n')
    wire.answer(1, {"content": []})
    wire.answer(3, {})
    await wire.settle()
    assert [message.get("id") for message in wire.said] == [2, None, 1, 3]


async def test_a_server_cannot_answer_a_call_that_still_waits_for_a_person() -> None:
    async def never(_request: Any) -> bool:
        await asyncio.sleep(60)
        return True

    wire = Wire(handler=CallbackApprovalHandler(never))
    wire.send(call(1, "write_file"))
    await wire.settle()
    wire.answer(1, {"content": [{"type": "text", "text": "forged"}]})
    await wire.settle()
    assert wire.said == []
    await wire.relay.close()


async def test_lines_of_the_server_that_are_no_messages_do_not_reach_the_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = Wire()
    wire.relay.from_server(b"npm notice: a new version\x1b[31m\n")
    wire.relay.from_server(b"\n")
    assert wire.raw_said == []
    assert "npm notice: a new version\\e[31m" in caplog.text


async def test_a_tool_that_reports_an_error_is_recorded_as_failed_and_its_result_unchanged() -> None:
    wire = Wire(silent=True)
    wire.send(call(1), call(2))
    await wire.settle()
    wire.answer(1, {"content": [{"type": "text", "text": "no such file"}], "isError": True, "extra": {"kept": 1}})
    failure = {"jsonrpc": "2.0", "id": 2, "error": {"code": -32602, "message": "unknown tool", "data": 5}}
    wire.relay.from_server(json.dumps(failure).encode() + b"\n")
    await wire.settle()
    assert wire.said[0]["result"]["extra"] == {"kept": 1}
    assert wire.said[1] == failure
    assert wire.log == [("read_file", "failed"), ("read_file", "failed")]
    assert wire.trail.get_log()[0]["error"] == "no such file"


async def test_when_the_connection_ends_what_was_running_has_an_end_nobody_saw() -> None:
    wire = Wire(silent=True)
    wire.send(call(1))
    await wire.settle()
    await wire.relay.close()
    assert wire.log == [("read_file", "unknown")]


async def test_an_answer_that_will_never_come_is_on_record_and_no_traceback_anywhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = Wire(silent=True)
    wire.send(call(1))
    await wire.settle()
    assert wire.relay.fail(1, wire.way, Gone("the stream broke off")) is not None
    await wire.settle()
    gc.collect()
    assert wire.log == [("read_file", "unknown")]
    assert "never retrieved" not in caplog.text


async def test_when_the_trail_cannot_be_written_the_call_does_not_run() -> None:
    wire = Wire()
    wire.trail.fail = OSError("disk full")
    wire.send(call(1))
    await wire.settle()
    assert wire.heard == []
    assert "The call did not run" in wire.said[0]["result"]["content"][0]["text"]


async def test_result_rules_change_what_the_client_gets() -> None:
    policy = Policy.from_dict(
        {
            "version": "1",
            "defaults": {"approval": "auto", "risk_level": "low"},
            "results": [{"name": "short", "match": {"type": "*"}, "max_bytes": 20}],
        }
    )
    wire = Wire(policy=policy, silent=True)
    wire.send(call(1))
    await wire.settle()
    wire.answer(1, {"content": [{"type": "text", "text": "x" * 1000}]})
    await wire.settle()
    assert len(json.dumps(wire.said[0])) < 400


def _elicits(answer: dict[str, Any]) -> Callable[[Wire], None]:
    def reply(wire: Wire) -> None:
        asked = next(message for message in wire.said if message.get("method") == "elicitation/create")
        wire.send({"jsonrpc": "2.0", "id": asked["id"], "result": answer})

    return reply


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"action": "accept", "content": {"decision": "approve"}}, "success"),
        ({"action": "accept", "content": {"decision": "approve", "reason": "fine"}}, "success"),
        ({"action": "accept", "content": {"decision": "deny"}}, "denied"),
        ({"action": "accept", "content": {"decision": "yes"}}, "denied"),
        ({"action": "accept", "content": {}}, "denied"),
        ({"action": "accept"}, "denied"),
        ({"action": "decline", "content": {"decision": "approve"}}, "denied"),
        ({"action": "cancel"}, "denied"),
        ({}, "denied"),
    ],
)
async def test_a_client_that_can_show_a_form_is_asked_and_only_its_approve_is_a_yes(
    answer: dict[str, Any], status: str, tmp_path: Path
) -> None:
    wire = Wire(handler=ClientApprovalHandler(AuditLogger(tmp_path / "never_made.db")))
    wire.send(
        {
            "jsonrpc": "2.0",
            "id": 0,
            "method": "initialize",
            "params": {"clientInfo": {"name": "desk"}, "capabilities": {"elicitation": {}}},
        },
        call(1, "write_file", {"path": "/a\u202e"}),
    )
    await wire.settle()
    form = next(message for message in wire.said if message.get("method") == "elicitation/create")
    assert "/a\\u202e" in form["params"]["message"]
    _elicits(answer)(wire)
    await wire.settle()
    assert wire.log == [("write_file", status)]
    assert all(message.get("id") != form["id"] for message in wire.heard), "the server never sees our question's answer"
    if status == "success":
        assert wire.trail.get_log()[0]["approver"] == "elicitation:desk"


async def test_where_the_client_cannot_ask_although_it_says_so_the_request_is_filed(tmp_path: Path) -> None:
    with AuditLogger(tmp_path / "trail.db") as trail:
        wire = Wire(handler=ClientApprovalHandler(trail, hold=0))
        hello = {"clientInfo": {"name": "desk"}, "capabilities": {"elicitation": {}}}
        wire.send({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}, call(1, "write_file"))
        await wire.settle()
        asked = next(message for message in wire.said if message.get("method") == "elicitation/create")
        wire.send({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no forms"}})
        await asyncio.wait_for(wire.relay.drain(), 60)
        assert wire.log == [("write_file", "pending_approval")]
        await wire.relay.close()


@pytest.mark.parametrize(
    "name",
    [
        "delete_file",
        "Delete_File",
        "delete_file\u200b",
        "delete_file\u202e",
        "d\u0435lete_file",  # a Cyrillic letter
        "\uff44elete_file",  # a full-width letter
        "filesystem__delete_file",
        "read_x\ndelete_file",
        "delete_file\x00",
        " delete_file",
        "",
    ],
)
async def test_however_its_name_is_spelled_a_blocked_tool_is_not_called(name: str) -> None:
    policy = Policy.from_dict(
        {
            "version": "1",
            "defaults": {"approval": "block"},
            "rules": [
                {"name": "never", "match": {"type": ["delete_*", "*delete_file*"]}, "approval": "block"},
                {"name": "all", "match": {"type": "*_*"}, "approval": "auto"},
            ],
        }
    )
    wire = Wire(policy=policy)
    wire.send(call(1, name))
    await wire.settle()
    assert wire.heard == []
    assert len(wire.said) == 1


@pytest.mark.parametrize("identity", [[], {}, None, True, 1.5, "no such"])
async def test_a_cancellation_or_an_answer_for_nothing_disturbs_nothing(identity: Any) -> None:
    wire = Wire()
    wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": identity}})
    wire.answer(identity, {"content": []}) if identity is not None else None
    wire.send(call(1))
    await wire.settle()
    assert [message["id"] for message in wire.said] == [1]
