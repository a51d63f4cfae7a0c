"""Listing a server's tools: real child processes, both eras of the protocol, and servers that misbehave."""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aegis_core.errors import AegisError
from aegis_mcp.listing import list_tools

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups are tested on POSIX only")

TOOLS = [{"name": f"tool_{n}", "description": f"Does {n}.", "inputSchema": {"type": "object"}} for n in range(5)]


@pytest.fixture
def server(tmp_path: Path) -> Callable[..., list[str]]:
    """The command of a scripted server."""

    def command(**state: Any) -> list[str]:
        (tmp_path / "state.json").write_text(json.dumps({"tools": TOOLS, **state}))
        return [sys.executable, str(Path(__file__).parent / "tool_server.py"), str(tmp_path / "state.json")]

    return command


@pytest.mark.parametrize(
    ("state", "version", "protocol"),
    [
        ({}, "3", "2025-11-25"),
        ({"page": 2}, "3", "2025-11-25"),
        ({"era": "stateless"}, "4", "2026-07-28"),
        ({"era": "stateless", "page": 1}, "4", "2026-07-28"),
        ({"asks": True}, "3", "2025-11-25"),
        ({"first": "Loading the model..."}, "3", "2025-11-25"),
    ],
)
def test_tools_are_listed_in_either_era_page_by_page(
    server: Callable[..., list[str]], state: dict[str, Any], version: str, protocol: str
) -> None:
    listed = list_tools(server(**state))
    assert list(listed.tools) == TOOLS
    assert (listed.name, listed.version, listed.protocol) == ("scripted", version, protocol)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("error", "refuses to list its tools: no list today\\e[31m"),
        ("garbage", "lists a tool without a name: {'title': 'nameless'}"),
        ("endless", "lists its tools without an end (cursor 'again')"),
        ("twice", "sent a message that cannot be read: duplicate key 'description'"),
        ("silent", "did not list its tools within"),
    ],
)
def test_a_server_that_lists_badly_is_an_error_in_a_sentence(
    server: Callable[..., list[str]], how: str, sentence: str
) -> None:
    with pytest.raises(AegisError) as raised:
        list_tools(server(list=how), timeout=1.5 if how == "silent" else 60)
    assert sentence in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_what_a_server_wrote_before_it_died_is_in_the_message(server: Callable[..., list[str]]) -> None:
    program = (
        "import sys; print('Usage: \\x1b[1mserver'); print('no folder\\x1b[31m given', file=sys.stderr); sys.exit(4)"
    )
    with pytest.raises(AegisError) as raised:
        list_tools([sys.executable, "-c", program])
    message = str(raised.value)
    assert "ended before it listed its tools (exit code 4)" in message
    assert "'Usage: \\\\e[1mserver\\\\n', which is no message" in message
    assert message.endswith("Its standard error ends with:\n  no folder\\e[31m given")


def test_a_server_that_never_stops_writing_is_left_without_a_word_of_ours_too_much() -> None:
    command = [sys.executable, "-c", "while True: print('y' * 1000)"]
    with pytest.raises(AegisError, match="did not list its tools within 1 s; on its standard output it wrote 'yyy"):
        list_tools(command, timeout=1)
    gc.collect()  # a pipe that is still open complains now, and that fails the test


def test_a_command_that_is_not_there_is_said_with_the_path_that_was_searched(tmp_path: Path) -> None:
    with pytest.raises(AegisError, match=r"'no-such-server' was not found.*PATH \(here '/nowhere'\)"):
        list_tools(["no-such-server"], env={"PATH": "/nowhere"})
    with pytest.raises(AegisError, match="could not be started"):
        list_tools([sys.executable, "a\0b"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("silent", [False, True])
def test_nothing_of_the_server_is_left_behind(server: Callable[..., list[str]], tmp_path: Path, silent: bool) -> None:
    listed = server(list="silent" if silent else None)
    program = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'], stdout=subprocess.DEVNULL, "
        "stderr=subprocess.DEVNULL)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        f"sys.exit(subprocess.run({listed!r}).returncode)\n"
    )
    if silent:
        with pytest.raises(AegisError, match="did not list its tools within"):
            list_tools([sys.executable, "-c", program], timeout=3)
    else:
        assert len(list_tools([sys.executable, "-c", program]).tools) == len(TOOLS)
    grandchild = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
    while _alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(grandchild)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def test_the_demo_server_is_listed_by_the_sdk_it_is_made_with() -> None:
    pytest.importorskip("mcp")
    listed = list_tools([sys.executable, "-m", "aegis.demo.server"])
    assert listed.name == "filesystem"
    assert {tool["name"] for tool in listed.tools} >= {"read_text_file", "delete_file"}
