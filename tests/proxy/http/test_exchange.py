"""Calls through the proxy over HTTP: what is governed, what passes, what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

from aegis import Policy
from aegis.runtime.audit import AuditLogger
from aegis_core.approval.store import ApprovalStore
from aegis_core.errors import AuditError
from aegis_mcp.proxy.asking import ClientApprovalHandler
from tests.proxy.http.harness import Answer, Setting, call, events, proxied, result

if TYPE_CHECKING:
    from pathlib import Path

SESSION = "mcp-session-id"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"clientInfo": {"name": "desk"}, "capabilities": {"elicitation": {}}, "protocolVersion": "2025-11-25"},
}


async def test_a_permitted_call_reaches_the_server_as_it_was_judged_and_its_answer_the_client() -> None:
    async with proxied() as setting:
        message = call(1, arguments={"path": "/ä", "n": 1.0}, _meta={"progressToken": 7})
        answer = await setting.post(message, authorization="Bearer theirs", **{"x-custom": "kept"})
    assert answer.status_code == 200
    assert answer.json()["id"] == 1
    assert setting.heard == [message]
    assert setting.headers[0]["authorization"] == "Bearer theirs"
    assert setting.headers[0]["x-custom"] == "kept"
    assert setting.log == [("read_file", "success")]


async def test_a_blocked_call_never_reaches_the_server_and_the_model_is_told_why() -> None:
    async with proxied() as setting:
        answer = (await setting.post(call("x", "delete_file"))).json()
    assert answer["id"] == "x"
    assert answer["result"]["isError"] is True
    assert "blocked by rule 'delete'" in answer["result"]["content"][0]["text"]
    assert setting.heard == []
    assert setting.log == [("delete_file", "blocked")]


@pytest.mark.parametrize(("answer", "status"), [(True, "success"), (False, "denied")])
async def test_a_call_that_needs_approval_runs_on_a_yes_only(answer: bool, status: str) -> None:
    async with proxied(answers=[answer]) as setting:
        await setting.post(call(1, "write_file"))
    assert len(setting.heard) == (1 if answer else 0)
    assert setting.log == [("write_file", status)]


async def test_notifications_answers_and_other_requests_pass_with_their_status_and_headers() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        if "id" in message and "method" in message:
            await answer.json(result(message["id"]), headers={"x-theirs": "kept", SESSION: "s1"})
        else:
            await answer.whole(202, {})

    async with proxied(serve) as setting:
        listed = await setting.post({"jsonrpc": "2.0", "id": 5, "method": "tools/list", "params": {"_x": {"é": 1}}})
        noted = await setting.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        answered = await setting.post({"jsonrpc": "2.0", "id": "server-1", "result": {"roots": []}})
    assert (listed.status_code, listed.headers["x-theirs"], listed.headers[SESSION]) == (200, "kept", "s1")
    assert (noted.status_code, answered.status_code) == (202, 202)
    assert [message.get("id") for message in setting.heard] == [5, None, "server-1"]
    assert setting.log == []


async def test_events_are_passed_on_one_by_one_as_they_come() -> None:
    go_on = asyncio.Event()

    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.event(raw=b"id: 0\ndata: \n\n")
        await answer.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}})
        await asyncio.wait_for(go_on.wait(), 20)
        await answer.event(raw=b": still here\n\n")
        await answer.event(result(message["id"], "é"), id="9", event="message")
        await answer.end()

    async with proxied(serve) as setting, setting.stream(call(1)) as response:
        assert response.headers["content-type"] == "text/event-stream"
        stream = events(response)
        assert await anext(stream) == {"id": "0", "data": ""}
        assert "notifications/progress" in (await anext(stream))["data"]
        assert setting.log == [("read_file", "running")]
        go_on.set()
        rest = [event async for event in stream]
    assert rest[0] == {"": "still here"}
    assert json.loads(rest[1]["data"]) == result(1, "é")
    assert rest[1]["id"] == "9"
    assert setting.log == [("read_file", "success")]


async def test_the_outcome_is_on_record_before_the_client_has_the_answer() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.event(result(message["id"]))
        await answer.until_hung_up()

    async with proxied(serve) as setting, setting.stream(call(1)) as response:
        async for event in events(response):
            assert json.loads(event["data"])["id"] == 1
            assert setting.log == [("read_file", "success")]
            break


async def test_requests_of_the_server_reach_the_client_and_its_answers_the_server() -> None:
    answered = asyncio.Event()

    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        if message.get("method") != "tools/call":
            answered.set()
            await answer.whole(202, {})
            return
        await answer.event({"jsonrpc": "2.0", "id": "s1", "method": "sampling/createMessage", "params": {}})
        await asyncio.wait_for(answered.wait(), 20)
        await answer.event(result(message["id"]))
        await answer.end()

    async with proxied(serve) as setting, setting.stream(call(1), **{SESSION: "s"}) as response:
        stream = events(response)
        asked = json.loads((await anext(stream))["data"])
        assert asked["method"] == "sampling/createMessage"
        reply = {"jsonrpc": "2.0", "id": asked["id"], "result": {"role": "assistant"}}
        assert (await setting.post(reply, **{SESSION: "s"})).status_code == 202
        assert json.loads((await anext(stream))["data"])["id"] == 1
    assert reply in setting.heard


@pytest.mark.parametrize("status", [400, 401, 404, 500])
async def test_a_refusal_of_the_server_reaches_the_client_as_it_is(status: int) -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.whole(
            status, {"content-type": "text/plain", "www-authenticate": "Bearer realm=x"}, b"no such session"
        )

    async with proxied(serve) as setting:
        governed = await setting.post(call(1))
        other = await setting.post({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
    for answer in (governed, other):
        assert (answer.status_code, answer.text) == (status, "no such session")
        assert answer.headers["www-authenticate"] == "Bearer realm=x"
    assert setting.log == [("read_file", "failed")]


async def test_an_error_in_json_keeps_its_http_status() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        error = {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no", "data": [1]}}
        await answer.json(error, 404)

    async with proxied(serve) as setting:
        answer = await setting.post(call(1))
    assert (answer.status_code, answer.json()["error"]["data"]) == (404, [1])
    assert setting.log == [("read_file", "failed")]


async def test_a_server_that_cannot_be_reached_is_said_to_be() -> None:
    async with proxied(upstream="http://127.0.0.1:9/mcp") as setting:
        answer = await setting.post(call(1))
    assert answer.status_code == 502
    assert "the server cannot be reached" in answer.json()["error"]["message"]
    assert setting.log == [("read_file", "failed")]


async def test_a_redirect_does_not_lead_the_client_past_the_proxy() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.whole(307, {"location": "http://127.0.0.1:1/elsewhere"})

    async with proxied(serve) as setting:
        answers = [await setting.post(call(1)), await setting.client.get(setting.url)]
    for answer in answers:
        assert answer.status_code == 502
        assert "give that address as --upstream" in answer.json()["error"]["message"]


async def test_the_transport_before_this_one_does_not_lead_the_client_past_the_proxy() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.event("http://127.0.0.1:1/messages", event="endpoint")
        await answer.event({"jsonrpc": "2.0", "method": "notifications/x"})
        await answer.end()

    async with proxied(serve) as setting, setting.stream() as response:
        (event,) = [event async for event in events(response)]
    assert "notifications/x" in event["data"]


async def test_a_server_that_answers_a_call_with_nothing_of_the_kind_is_not_believed() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.json([result(1, "in a batch"), result(2)])

    async with proxied(serve) as setting:
        answer = await setting.post(call(1))
    assert answer.status_code == 502
    assert "in a batch" not in answer.text
    assert setting.log == [("read_file", "unknown")]


# --- sessions, streams, resumption ---------------------------------------------------------------------------------


async def test_a_stream_of_the_servers_own_is_passed_on_and_ends_with_the_client() -> None:
    ended = asyncio.Event()

    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        assert message is None
        await answer.event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}, id="1")
        await answer.until_hung_up()
        ended.set()

    async with proxied(serve) as setting:
        async with setting.stream(**{SESSION: "s", "last-event-id": "0"}) as response:
            async for event in events(response):
                assert "list_changed" in event["data"]
                break
        await asyncio.wait_for(ended.wait(), 20)
    assert setting.requests == ["GET"]
    assert setting.headers[0]["last-event-id"] == "0"


async def test_a_call_whose_stream_broke_off_is_answered_where_the_client_resumes_and_recorded() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        if message is not None:
            await answer.event(raw=b"id: 41\nretry: 10\ndata: \n\n")  # the server closes early, and means to be polled
        else:
            await answer.event(result(1, "late"), id="42")
        await answer.end()

    async with proxied(serve) as setting:
        async with setting.stream(call(1), **{SESSION: "s"}) as response:
            assert [event["id"] async for event in events(response)] == ["41"]
        assert setting.log == [("read_file", "running")]
        async with setting.stream(**{SESSION: "s", "last-event-id": "41"}) as response:
            (event,) = [event async for event in events(response)]
    assert json.loads(event["data"]) == result(1, "late")
    assert event["id"] == "42"
    assert setting.log == [("read_file", "success")]


async def test_a_client_that_goes_away_may_resume_in_its_session() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        if message is not None:
            await answer.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}, id="1")
            await answer.until_hung_up()
            return
        await answer.event(result(1), id="2")
        await answer.end()

    async with proxied(serve) as setting:
        async with setting.stream(call(1), **{SESSION: "s"}) as response:
            await anext(events(response))
        async with setting.stream(**{SESSION: "s", "last-event-id": "1"}) as response:
            assert [event["id"] async for event in events(response)] == ["2"]
    assert setting.log == [("read_file", "success")]


async def test_without_a_session_a_client_that_goes_away_cancels_its_call() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}, id="1")
        await answer.until_hung_up()

    async with proxied(serve) as setting:
        async with setting.stream(call(1)) as response:
            await anext(events(response))
        await setting.until(lambda: setting.log == [("read_file", "cancelled")])


async def test_the_answer_to_a_call_that_cannot_be_resumed_was_seen_by_nobody() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})
        await answer.end()

    async with proxied(serve) as setting:
        async with setting.stream(call(1), **{SESSION: "s"}) as response:
            assert len([event async for event in events(response)]) == 1
        assert setting.log == [("read_file", "unknown")]


async def test_the_end_of_a_session_is_passed_on_and_ends_what_was_open_in_it() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        if setting.requests[-1] == "DELETE":
            await answer.whole(200, {})
        else:
            await answer.event(raw=b"id: 1\ndata: \n\n")
            await answer.end()

    async with proxied(serve) as setting:
        await setting.post(call(1), **{SESSION: "s"})
        assert setting.log == [("read_file", "running")]
        assert (await setting.client.delete(setting.url, headers={SESSION: "s"})).status_code == 200
        assert setting.log == [("read_file", "unknown")]
    assert setting.requests == ["POST", "DELETE"]


async def test_when_the_proxy_ends_what_was_running_has_an_end_nobody_saw() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.event(raw=b"id: 1\ndata: \n\n")
        await answer.end()

    async with proxied(serve) as setting:
        await setting.post(call(1), **{SESSION: "s"})
    assert setting.log == [("read_file", "unknown")]


async def test_sessions_and_clients_without_one_may_use_the_same_ids_at_the_same_time() -> None:
    gate = asyncio.Event()

    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        if len(setting.heard) == 40:
            gate.set()
        await asyncio.wait_for(gate.wait(), 20)
        await answer.json(result(1, message["params"]["arguments"]["path"]))

    async with proxied(serve) as setting:
        kinds: list[dict[str, str]] = [{} if number % 2 else {SESSION: f"s{number}"} for number in range(40)]
        answers = await asyncio.gather(
            *(setting.post(call(1, arguments={"path": str(number)}), **kind) for number, kind in enumerate(kinds))
        )
    assert [answer.json()["result"]["content"][0]["text"] for answer in answers] == [str(n) for n in range(40)]
    assert setting.log == [("read_file", "success")] * 40


def states(trail: AuditLogger) -> list[str]:
    """How the approval requests on a trail stand; none if there is no trail yet."""
    try:
        return [ticket.state for ticket in ApprovalStore(trail).requests()]
    except AuditError:
        return []


# --- cancelling ----------------------------------------------------------------------------------------------------


async def test_a_call_cancelled_while_it_waits_for_a_person_never_reaches_the_server(tmp_path: Path) -> None:
    with AuditLogger(tmp_path / "trail.db") as trail:
        async with proxied(trail=trail, handler=ClientApprovalHandler(trail)) as setting:
            waiting = asyncio.create_task(setting.post(call(1, "write_file"), **{SESSION: "s"}))
            await setting.until(lambda: states(trail) == ["pending"])
            cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
            assert (await setting.post(cancel, **{SESSION: "s"})).status_code == 202
            assert "error" in (await waiting).json()
            assert setting.heard == []
            assert setting.log == [("write_file", "cancelled")]
            await setting.until(lambda: states(trail) == ["withdrawn"])


async def test_a_client_that_goes_away_while_its_call_waits_for_a_person_no_longer_waits(tmp_path: Path) -> None:
    with AuditLogger(tmp_path / "trail.db") as trail:
        async with proxied(trail=trail, handler=ClientApprovalHandler(trail)) as setting:
            waiting = asyncio.create_task(setting.post(call(1, "write_file"), **{SESSION: "s"}))
            await setting.until(lambda: states(trail) == ["pending"])
            waiting.cancel()
            await setting.until(lambda: setting.log == [("write_file", "cancelled")])
            await setting.until(lambda: states(trail) == ["withdrawn"])
            assert setting.heard == []


async def test_a_call_cancelled_while_it_runs_is_cancelled_at_the_server_too() -> None:
    cancelled = asyncio.Event()

    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        if message["method"] == "notifications/cancelled":
            cancelled.set()
            await answer.whole(202, {})
        else:
            await answer.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})
            await asyncio.wait_for(cancelled.wait(), 20)
            await answer.event(result(1, "too late"))
            await answer.end()

    async with proxied(serve) as setting, setting.stream(call(1), **{SESSION: "s"}) as response:
        stream = events(response)
        await anext(stream)
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        await setting.post(cancel, **{SESSION: "s"})
        assert [event async for event in stream] == []
    assert setting.log == [("read_file", "cancelled")]


# --- asking through the client ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decision", "status"), [("approve", "success"), ("deny", "denied")])
async def test_a_client_in_a_session_is_asked_in_the_stream_of_its_call(
    tmp_path: Path, decision: str, status: str
) -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.json(result(message["id"]), headers={SESSION: "s"})

    with AuditLogger(tmp_path / "trail.db") as trail:
        async with proxied(serve, trail=trail, handler=ClientApprovalHandler(trail)) as setting:
            await setting.post(INITIALIZE)
            async with setting.stream(call(1, "write_file"), **{SESSION: "s"}) as response:
                stream = events(response)
                form = json.loads((await anext(stream))["data"])
                assert form["method"] == "elicitation/create"
                reply = {"action": "accept", "content": {"decision": decision}}
                other = {"jsonrpc": "2.0", "id": form["id"], "result": reply}
                assert (await setting.post(other, **{SESSION: "another"})).status_code == 200, (
                    "a stranger's is no answer"
                )
                assert setting.log == []
                assert (await setting.post(other, **{SESSION: "s"})).status_code == 202
                answer = json.loads((await anext(stream))["data"])
            assert answer["id"] == 1
            assert setting.log == [("write_file", status)]
            assert ("tools/call" in [message.get("method") for message in setting.heard]) is (status == "success")


async def test_result_rules_change_what_the_client_gets_in_a_stream_too() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.event(result(message["id"], "x" * 1000), id="7")
        await answer.end()

    policy = Policy.from_dict(
        {
            "version": "1",
            "defaults": {"approval": "auto", "risk_level": "low"},
            "results": [{"name": "short", "match": {"type": "*"}, "max_bytes": 20}],
        }
    )
    async with proxied(serve, policy=policy) as setting, setting.stream(call(1)) as response:
        (event,) = [event async for event in events(response)]
    assert event["id"] == "7"
    assert len(event["data"]) < 400
