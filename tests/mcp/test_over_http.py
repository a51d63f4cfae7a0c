"""Governed sessions over streamable HTTP: a real server in another process, the official client, both eras."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("mcp")

from aegis import Policy
from aegis.adapters.mcp import govern_session
from tests.mcp.connections import ERAS, MAJOR, is_error, text_of
from tests.mcp.scenes import log_of, make_runtime

if TYPE_CHECKING:
    from collections.abc import Generator

RULES = [
    {"name": "allow_reads", "match": {"type": ["echo", "slow"], "target": "remote"}, "approval": "auto"},
    {"name": "ask_writes", "match": {"type": "write", "target": "remote"}, "approval": "approve"},
    {"name": "block_deletes", "match": {"type": "delete_*", "target": "remote"}, "approval": "block"},
]


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    command = [sys.executable, "-m", "tests.proxy.http.sdk"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            for line in server.stderr:
                if line.startswith("at http://"):
                    yield line.split()[1]
                    break
            else:
                raise AssertionError("the server did not start")
        finally:
            server.kill()


@pytest.mark.parametrize("era", ERAS)
async def test_a_session_over_http_is_governed_like_any_other(url: str, era: str):
    runtime = make_runtime(True, False, policy=Policy.from_dict({"version": "1", "rules": RULES}))
    steps: list[Any] = []

    async def note(*step: Any) -> None:
        steps.append(step)

    async def calls(session: Any) -> None:
        results = [
            await session.call_tool("echo", {"text": "ünïcode"}),
            await session.call_tool("slow", {"steps": 2}, progress_callback=note),
            await session.call_tool("write", {"path": "a"}),
            await session.call_tool("write", {"path": "b"}),
            await session.call_tool("delete_all", {}),
        ]
        assert [is_error(result) for result in results] == [False, False, False, True, True]
        assert [text_of(result) for result in results[:3]] == ["ünïcode", "done", "wrote a"]

    if MAJOR == 2:
        from mcp import Client

        mode: Any = "legacy" if era == "handshake" else "2026-07-28"
        async with Client(url, mode=mode) as client:
            govern_session(client, runtime, server="remote")
            await calls(client.session)
    else:
        connect: Any = import_module("mcp.client.streamable_http").streamable_http_client
        session_class: Any = import_module("mcp").ClientSession
        async with connect(url) as (read, write, _), session_class(read, write) as session:
            govern_session(session, runtime, server="remote")
            await session.initialize()
            await calls(session)

    assert [step[:2] for step in steps] == [(1, 2), (2, 2)]
    assert [(entry["action_type"], entry["result_status"]) for entry in log_of(runtime)] == [
        ("echo", "success"),
        ("slow", "success"),
        ("write", "success"),
        ("write", "denied"),
        ("delete_all", "blocked"),
    ]
