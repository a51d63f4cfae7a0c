"""What may come in over HTTP, and what tries to be two things at once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

import httpx

from aegis.testing import ScriptedApprovalHandler
from aegis_mcp.proxy.http import app as app_module
from aegis_mcp.proxy.http import serve as serve_module
from tests.proxy.http.harness import Answer, Setting, call, events, proxied, result

if TYPE_CHECKING:
    from aegis_core.request import ApprovalRequest

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "desk", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1", "127.0.0.1:1", ""])
async def test_a_request_addressed_to_another_host_is_refused(host: str) -> None:
    async with proxied() as setting:
        answer = await setting.post(call(1), host=host)
    assert answer.status_code == 403
    assert setting.heard == []


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1.evil.example"]
)
async def test_a_web_page_of_another_origin_is_refused(origin: str) -> None:
    async with proxied() as setting:
        answer = await setting.post(call(1), origin=origin)
    assert answer.status_code == 403
    assert setting.heard == []


async def test_a_page_of_the_proxys_own_origin_is_one_of_the_servers_and_an_allowed_one_stays_itself() -> None:
    async with proxied(origins=["https://tool.example"]) as setting:
        own = await setting.post(call(1), origin=setting.url.removesuffix("/mcp"))
        other = await setting.post(call(2), origin="https://tool.example")
    assert (own.status_code, other.status_code) == (200, 200)
    assert setting.headers[0]["origin"] == f"http://{setting.headers[0]['host']}"
    assert setting.headers[1]["origin"] == "https://tool.example"


async def test_the_proxys_own_token_is_asked_for_and_does_not_reach_the_server() -> None:
    async with proxied(token="s3cret") as setting:
        refused = [
            await setting.post(call(1)),
            await setting.post(call(1), authorization="Bearer wrong"),
            await setting.post(call(1), authorization="s3cret"),
            await setting.client.get(setting.url),
        ]
        taken = [
            await setting.post(call(1), authorization="Bearer s3cret"),
            await setting.post(call(2), authorization="Bearer theirs", **{"proxy-authorization": "bearer s3cret"}),
        ]
    assert [answer.status_code for answer in refused] == [401] * 4
    assert refused[0].headers["www-authenticate"] == "Bearer"
    assert [answer.status_code for answer in taken] == [200, 200]
    assert "authorization" not in setting.headers[0]
    assert setting.headers[1]["authorization"] == "Bearer theirs"
    assert all("s3cret" not in json.dumps(headers) for headers in setting.headers)


@pytest.mark.parametrize(("path", "status"), [("/", 404), ("/mcp/", 404), ("/mcp/../admin", 404), ("/mcp?key=1", 200)])
async def test_only_the_endpoint_is_there(path: str, status: int) -> None:
    async with proxied() as setting:
        body = json.dumps(call(1)).encode()
        url = setting.url.removesuffix("/mcp") + path
        answer = await setting.client.post(url, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status


async def test_another_method_is_refused() -> None:
    async with proxied() as setting:
        answer = await setting.client.put(setting.url, content=json.dumps(call(1)))
    assert answer.status_code == 405
    assert setting.heard == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}', "duplicate key"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_x","name":"delete_x"}}', "duplicate"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_x","Name":"delete_x"}}', "mistaken"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', "batches"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_\xff"}}', "not UTF-8"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":' + b"[" * 100_000, "too deep"),
        (b'{"jsonrpc":"2.0","id":[],"method":"tools/call","params":{"name":"read_x"}}', "id must be"),
        (b"", "not JSON"),
        (b"tools/call", "not JSON"),
    ],
)
async def test_what_two_readers_could_read_differently_is_refused(body: bytes, why: str) -> None:
    async with proxied() as setting:
        answer = await setting.post(body)
    assert answer.status_code == 400
    assert why in answer.json()["error"]["message"]
    assert setting.heard == []


async def test_a_call_without_an_id_is_dropped() -> None:
    message = call(1)
    del message["id"]
    async with proxied() as setting:
        assert (await setting.post(message)).status_code == 202
    assert setting.heard == []


async def test_an_id_in_use_in_its_session_is_refused() -> None:
    go_on = asyncio.Event()

    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await asyncio.wait_for(go_on.wait(), 20)
        await answer.json(result(message["id"]))

    async with proxied(serve) as setting:
        first = asyncio.create_task(setting.post(call(1), **{"mcp-session-id": "s"}))
        await setting.until(lambda: setting.heard)
        second = await setting.post(call(1, "read_other"), **{"mcp-session-id": "s"})
        go_on.set()
        assert (await first).json()["result"]["content"][0]["text"] == "done"
    assert "in use" in second.json()["error"]["message"]
    assert len(setting.heard) == 1


async def test_a_compressed_message_is_refused() -> None:
    async with proxied() as setting:
        answer = await setting.post(call(1), **{"content-encoding": "gzip"})
    assert answer.status_code == 415
    assert setting.heard == []


async def test_a_message_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "MAX_BYTES", 1000)
    async with proxied() as setting:
        answer = await setting.post(call(1, arguments={"text": "x" * 2000}))
    assert answer.status_code == 413
    assert setting.heard == []


async def test_ten_megabytes_pass_both_ways() -> None:
    async with proxied() as setting:
        answer = await setting.post(call(1, arguments={"text": "é" * 5_000_000}))
    assert json.loads(answer.json()["result"]["content"][0]["text"])["arguments"]["text"] == "é" * 5_000_000


# --- headers and body ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"mcp-method": "tools/list"},
        {"mcp-method": "TOOLS/CALL"},
        {"mcp-name": "read_other"},
        {"mcp-name": "Read_file"},
        {"mcp-name": "=?base64?" + base64.b64encode(b"delete_file").decode() + "?="},
        {"mcp-name": "=?base64?###?="},
        {"mcp-protocol-version": "2025-11-25"},
        {"mcp-param-region": "eu"},
        {"mcp-param-region": "=?base64?x?="},
    ],
)
async def test_headers_that_say_something_else_than_the_body_are_refused(headers: dict[str, str]) -> None:
    async with proxied() as setting:
        answer = await setting.post(call(1, arguments={"region": "us", "n": 1}, _meta=META), **headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32020
    assert answer.json()["id"] == 1
    assert setting.heard == []
    assert setting.log == []


async def test_headers_that_come_twice_are_refused() -> None:
    async with proxied() as setting:
        headers = [("mcp-name", "read_file"), ("Mcp-Name", "delete_file"), ("content-type", "application/json")]
        answer = await setting.client.post(setting.url, content=json.dumps(call(1)), headers=headers)
    assert answer.json()["error"]["code"] == -32020
    assert setting.heard == []


async def test_headers_that_agree_with_the_body_pass_as_they_are() -> None:
    encoded = "=?base64?" + base64.b64encode("zürich".encode()).decode() + "?="
    headers = {
        "mcp-method": "tools/call",
        "mcp-name": "read_file",
        "mcp-protocol-version": "2026-07-28",
        "mcp-param-region": "us",
        "mcp-param-city": encoded,
        "mcp-param-number": "42",
        "mcp-param-flag": "true",
    }
    arguments = {"where": {"region": "us", "city": "zürich"}, "n": 42.0, "flag": True}
    async with proxied() as setting:
        answer = await setting.post(call(1, arguments=arguments, _meta=META), **headers)
    assert answer.status_code == 200
    assert headers.items() <= setting.headers[0].items()


class Editing(ScriptedApprovalHandler):
    """Says yes, to something else."""

    def __init__(self, edits: dict[str, Any]) -> None:
        super().__init__([True, True])
        self.edits = edits

    def ask(self, request: ApprovalRequest) -> Any:
        answer = super().ask(request)
        edits, self.edits = self.edits, {}
        return type(answer)(answer.request_id, answer.digest, approved=True, approver="ann", edits=edits)


async def test_headers_follow_what_an_approver_changed() -> None:
    message = call(1, "write_file", {"region": "us", "other": "x"}, _meta=META)
    async with proxied(handler=Editing({"region": "zürich"})) as setting:
        await setting.post(message, **{"mcp-param-region": "us", "mcp-param-other": "x", "mcp-name": "write_file"})
    assert setting.heard[0]["params"]["arguments"] == {"region": "zürich", "other": "x"}
    assert setting.headers[0]["mcp-param-region"] == "=?base64?" + base64.b64encode("zürich".encode()).decode() + "?="
    assert setting.headers[0]["mcp-param-other"] == "x"


async def test_where_it_cannot_be_told_which_argument_a_header_carries_an_edited_call_does_not_run() -> None:
    message = call(1, "write_file", {"a": "us", "b": "us"})
    async with proxied(handler=Editing({"a": "eu"})) as setting:
        answer = await setting.post(message, **{"mcp-param-region": "us"})
    assert answer.status_code == 400
    assert "mcp-param-region" in answer.json()["error"]["message"]
    assert setting.heard == []


# --- slow and hostile peers ------------------------------------------------------------------------------------------


async def test_a_client_that_never_finishes_its_request_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_module, "HEAD_PATIENCE", 0.2)
    async with proxied() as setting:
        for first, then in ((b"", b""), (b"POST /mcp HT", b"TP/1.1\r\nhost: x\r\nx-a: "), (b"POST /m", b"")):
            reader, writer = await asyncio.open_connection("127.0.0.1", setting.port)
            writer.write(first)
            await asyncio.sleep(0.05)
            writer.write(then)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()
        assert (await setting.post(call(1))).status_code == 200


async def test_a_connection_that_is_kept_is_no_slow_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_module, "HEAD_PATIENCE", 0.2)

    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await asyncio.sleep(0.5)
        await answer.json(result(message["id"]))

    async with proxied(serve) as setting:
        reader, writer = await asyncio.open_connection("127.0.0.1", setting.port)
        body = json.dumps(call(1)).encode()
        head = f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{setting.port}\r\ncontent-length: {len(body)}\r\n\r\n"
        for _ in range(2):
            writer.write(head.encode() + body)
            line = await asyncio.wait_for(reader.readline(), 20)
            assert line == b"HTTP/1.1 200 OK\r\n"
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            await reader.readexactly(length)
            await asyncio.sleep(0.3)
        writer.close()
    assert len(setting.heard) == 2


async def test_a_client_that_never_finishes_its_message_is_answered_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "BODY_PATIENCE", 0.2)
    async with proxied() as setting:
        reader, writer = await asyncio.open_connection("127.0.0.1", setting.port)
        writer.write(f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{setting.port}\r\ncontent-length: 99\r\n\r\n{{".encode())
        assert await asyncio.wait_for(reader.readline(), 20) == b"HTTP/1.1 408 Request Timeout\r\n"
        writer.close()
    assert setting.heard == []


async def test_a_server_that_answers_twice_or_with_a_strangers_id_is_heard_once() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.event(result(99, "a stranger's"))
        await answer.event(result([], "no id at all"))
        await answer.event(result(1, "first"))
        await answer.event(result(1, "second"))
        await answer.end()

    async with proxied(serve) as setting, setting.stream(call(1)) as response:
        heard = [json.loads(event["data"]) async for event in events(response)]
    assert [message["result"]["content"][0]["text"] for message in heard] == ["first"]
    assert setting.log == [("read_file", "success")]


async def test_a_server_that_dies_in_the_middle_of_its_answer_has_said_nothing() -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(broken, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, proxied(upstream=f"http://127.0.0.1:{port}/mcp") as setting:
        answer = await setting.post(call(1))
    assert answer.status_code == 502
    assert setting.log == [("read_file", "unknown")]


async def test_a_compressed_answer_that_was_not_asked_for_is_not_passed_on() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        assert setting.headers[-1]["accept-encoding"] == "identity"
        await answer.json(b"\x1f\x8b", headers={"content-encoding": "gzip"})

    async with proxied(serve) as setting:
        answer = await setting.post(call(1), **{"accept-encoding": "gzip, br"})
    assert answer.status_code == 502
    assert setting.log == [("read_file", "unknown")]


async def test_headers_of_one_connection_stay_on_it() -> None:
    async with proxied() as setting:
        await setting.post(call(1), connection="keep-alive, x-secret", te="trailers", **{"x-secret": "1"})
    assert {"x-secret", "te"}.isdisjoint(setting.headers[0])
    assert setting.headers[0]["host"] != f"127.0.0.1:{setting.port}"


async def test_many_clients_at_once_are_served() -> None:
    async def serve(setting: Setting, message: Any, answer: Answer) -> None:
        await answer.event(result(message["id"], str(message["id"])))
        await answer.end()

    async with proxied(serve) as setting:
        limits = httpx.Limits(max_connections=60)
        async with httpx.AsyncClient(timeout=60, trust_env=False, limits=limits) as many:
            setting.client = many
            answers = await asyncio.gather(*(setting.post(call(number)) for number in range(60)))
    assert [f'"id": {number}' in answer.text for number, answer in enumerate(answers)] == [True] * 60
    assert len(setting.log) == 60
