"""``aegis proxy --http`` as it is started: a real process, in front of a server on the official SDK."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("mcp")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

from aegis_core.approval.store import ApprovalStore
from aegis_core.audit.sqlite import AuditLogger
from aegis_core.errors import AuditError
from tests.mcp.connections import MAJOR, is_error, text_of
from tests.proxy.http.running import running
from tests.proxy.http.sdk import http_session

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are tested on POSIX only")

POLICY = """
version: "1"
rules:
  - {name: look, match: {type: [echo, slow], target: sdk}, approval: auto}
  - {name: write, match: {type: write}, approval: approve}
  - {name: never, match: {type: "delete_*"}, risk_level: critical, approval: block}
"""


@pytest.fixture(scope="module")
def server() -> Generator[str]:
    """A server on the SDK; its URL."""
    with running([sys.executable, "-m", "tests.proxy.http.sdk"], said=r"at (http\S+)") as (_, url):
        yield url


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def proxy(home: Path, url: str, *options: str) -> list[str]:
    start = [sys.executable, "-m", "aegis", "proxy", "--policy", str(home / "policy.yaml")]
    address = ["--db", str(home / "trail.db"), "--server", "sdk", "--http", "--listen", "127.0.0.1:0"]
    return [*start, *address, "--upstream", url, *options]


def log(home: Path) -> list[tuple[str, str]]:
    with AuditLogger(home / "trail.db") as trail:
        return [(entry["action_type"], entry["result_status"]) for entry in trail.get_log()]


MODES = ["legacy"] if MAJOR == 1 else ["legacy", "2026-07-28", "auto"]


@pytest.mark.parametrize("mode", MODES)
async def test_the_official_client_sees_the_same_with_and_without_it(home: Path, server: str, mode: str) -> None:
    with running(proxy(home, server), said=r"at (http\S+)") as (_, url):
        seen = []
        for address in (server, url):
            progress: list[Any] = []
            async with http_session(address, mode, progress=progress) as session:
                listed = await session.list_tools()
                echoed = await session.call_tool("echo", {"text": "é\u2028\U0001f600"})
                slow = await session.call_tool("slow", {"steps": 3})
                seen.append((listed, echoed, slow, progress))
        assert seen[0] == seen[1]
        assert len(seen[1][3]) == 3
        async with http_session(url, mode) as session:
            refused = await session.call_tool("delete_all", {})
            assert is_error(refused)
            assert "blocked by rule 'never'" in text_of(refused)
    assert log(home) == [("echo", "success"), ("slow", "success"), ("delete_all", "blocked")]


async def test_the_clients_user_is_asked_in_either_era(home: Path, server: str) -> None:
    with running(proxy(home, server), said=r"at (http\S+)") as (_, url):
        for mode, decision in product(MODES, ["approve", "deny"]):
            asked: list[str] = []
            async with http_session(url, mode, decision=decision, asked=asked) as session:
                answer = await session.call_tool("write", {"path": f"/{mode}"})
            assert "write on sdk asks for approval" in asked[0]
            assert is_error(answer) is (decision == "deny")
            assert log(home)[-1] == ("write", "success" if decision == "approve" else "denied")


async def test_without_a_form_the_call_is_pending_and_runs_when_made_again_after_a_yes(home: Path, server: str) -> None:
    with running(proxy(home, server, "--hold", "0.1"), said=r"at (http\S+)") as (_, url):
        async with http_session(url, MODES[-1]) as session:
            pending = await session.call_tool("write", {"path": "/a"})
            assert "is pending, id" in text_of(pending)
            assert "Call again with the same arguments" in text_of(pending)
            with AuditLogger(home / "trail.db") as trail:
                (ticket,) = ApprovalStore(trail).requests(pending=True)
                ApprovalStore(trail).answer(ticket.id, approved=True, approver="ann", via="test")
            assert text_of(await session.call_tool("write", {"path": "/a"})) == "wrote /a"
            assert is_error(await session.call_tool("write", {"path": "/a"})), "one yes is for one call"


async def test_a_policy_that_changes_is_in_force_without_a_restart(home: Path, server: str) -> None:
    with running(proxy(home, server), said=r"at (http\S+)") as (_, url):
        async with http_session(url, "legacy") as session:
            assert not is_error(await session.call_tool("echo", {"text": "x"}))
            (home / "policy.yaml").write_text(POLICY.replace("approval: auto", "approval: block"))
            for _ in range(200):
                if is_error(await session.call_tool("echo", {"text": "x"})):
                    return
                await asyncio.sleep(0.1)
    raise AssertionError("the policy stayed")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_when_it_is_stopped_what_was_running_has_an_end_nobody_saw(
    home: Path, server: str, number: int, code: int
) -> None:
    with running(proxy(home, server), said=r"at (http\S+)") as (process, url):

        async def call() -> None:
            async with http_session(url, "legacy") as session:
                await session.call_tool("slow", {"steps": 1000})

        calling = asyncio.create_task(call())
        for _ in range(500):
            try:
                if log(home) == [("slow", "running")]:
                    break
            except AuditError:
                pass
            await asyncio.sleep(0.05)
        process.send_signal(number)
        assert await asyncio.to_thread(process.wait, 60) == code
        await asyncio.gather(calling, return_exceptions=True)
    assert log(home) == [("slow", "unknown")]


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--http"], 2, "--http needs --listen"),
        (["--http", "--listen", "127.0.0.1"], 2, "--http needs --listen"),
        (["--http", "--listen", "127.0.0.1:0"], 2, "--http needs --upstream"),
        (["--http", "--listen", "127.0.0.1:0", "--upstream", "ftp://x/"], 2, "--http needs --upstream"),
        (["--http", "--listen", "127.0.0.1:0", "--upstream", "http://u:p@x/"], 2, "credentials go into headers"),
        (["--http", "--listen", "127.0.0.1:99999", "--upstream", "http://x/"], 2, "--http needs --listen"),
        (["--http", "--listen", "0.0.0.0:0", "--upstream", "http://x/mcp"], 2, "set AEGIS_PROXY_TOKEN"),
        (["--http", "--listen", "127.0.0.1:0", "--upstream", "http://x/mcp", "--", "server"], 2, "give no command"),
        (["--listen", "127.0.0.1:0", "--", "server"], 2, "belong to --http"),
        ([], 2, "give the server's command after --"),
        (["--http", "--listen", "127.0.0.1:{taken}", "--upstream", "http://x/mcp"], 1, "cannot listen on"),
    ],
)
def test_what_keeps_it_from_starting_is_said_in_a_sentence(
    home: Path, options: list[str], code: int, sentence: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        start = [sys.executable, "-m", "aegis", "proxy", "--policy", str(home / "policy.yaml")]
        words = [*start, "--db", str(home / "trail.db"), *(option.replace("{taken}", port) for option in options)]
        environment = {name: value for name, value in os.environ.items() if name != "AEGIS_PROXY_TOKEN"}
        ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert ran.returncode == code
    assert sentence in " ".join(ran.stderr.split())
    assert "Traceback" not in ran.stderr


def test_without_the_extra_it_says_which_one_is_missing(home: Path) -> None:
    hide = "import sys; sys.modules['uvicorn'] = None; from aegis.cli import main; sys.argv[0] = 'aegis'; main()"
    words = [*proxy(home, "http://127.0.0.1:9/mcp")[3:]]
    ran = subprocess.run([sys.executable, "-c", hide, *words], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert "pip install 'aegis-agents[http]'" in ran.stderr
