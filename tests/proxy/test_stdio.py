"""``aegis proxy`` as clients start it: real processes, real pipes, the official client."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aegis_core.approval.store import ApprovalStore
from aegis_core.audit.sqlite import AuditLogger
from aegis_core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytest.importorskip("mcp")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the proxy's process groups are tested on POSIX only")

SERVER = (sys.executable, "-m", "aegis.demo.server")
POLICY = """
version: "1"
rules:
  - {name: read, match: {type: [read_text_file, list_directory], target: filesystem}, approval: auto}
  - {name: write, match: {type: write_file}, approval: approve}
  - {name: delete, match: {type: "delete_*"}, risk_level: critical, approval: block}
"""
ECHO = textwrap.dedent("""
    import json, sys
    print("server says hello", file=sys.stderr, flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            content = [{"type": "text", "text": json.dumps(message.get("params"))}]
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"content": content}}), flush=True)
    sys.exit(7)
""")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a policy, away from the folder the server works in."""
    (tmp_path / "home").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("hello")
    (tmp_path / "home" / "policy.yaml").write_text(POLICY)
    return tmp_path / "home"


def proxy(home: Path, *options: str, command: tuple[str, ...] = SERVER) -> list[str]:
    start = [sys.executable, "-m", "aegis", "proxy", "--policy", str(home / "policy.yaml")]
    return [*start, "--db", str(home / "aegis_audit.db"), "--server", "filesystem", *options, "--", *command]


def echo(home: Path) -> tuple[str, str]:
    script = home / "echo.py"
    script.write_text(ECHO)
    return sys.executable, str(script)


@asynccontextmanager
async def session(command: list[str]) -> AsyncGenerator[Any]:
    """The official client, connected to a command over stdio."""
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    parameters = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as connected:
        await connected.initialize()
        yield connected


def text(result: Any) -> str:
    return "\n".join(block.text for block in result.content)


def failed(result: Any) -> bool:
    return bool(getattr(result, "is_error", getattr(result, "isError", None)))


def log(home: Path) -> list[tuple[str, str]]:
    with AuditLogger(home / "aegis_audit.db") as trail:
        return [(entry["action_type"], entry["result_status"]) for entry in trail.get_log()]


async def test_reads_run_deletes_are_blocked_and_tools_are_listed_as_they_are(home: Path) -> None:
    file = str(home.parent / "data" / "a.txt")
    async with session(list(SERVER)) as direct, session(proxy(home)) as governed:
        assert (await governed.list_tools()) == (await direct.list_tools())
        reply = await governed.call_tool("read_text_file", {"path": file})
        assert reply == await direct.call_tool("read_text_file", {"path": file})
        refused = await governed.call_tool("delete_file", {"path": file})
        missing = await governed.call_tool("read_text_file", {"path": file + "x"})
        assert missing == await direct.call_tool("read_text_file", {"path": file + "x"})
    assert failed(refused)
    assert "blocked by rule 'delete'" in text(refused)
    assert await asyncio.to_thread(Path(file).exists)
    assert log(home) == [("read_text_file", "success"), ("delete_file", "blocked"), ("read_text_file", "failed")]


async def _answer(home: Path, *, approved: bool) -> None:
    deadline = time.monotonic() + 20
    with AuditLogger(home / "aegis_audit.db") as trail:
        while time.monotonic() < deadline:
            try:
                found = ApprovalStore(trail).requests(pending=True)
            except AuditError:  # no trail yet
                found = []
            if found:
                ApprovalStore(trail).answer(found[0].id, approved=approved, approver="ann", via="test")
                return
            await asyncio.sleep(0.02)
    raise AssertionError("nothing ever waited for approval")


async def test_a_held_call_runs_when_it_is_approved_elsewhere(home: Path) -> None:
    file = home.parent / "data" / "b.txt"
    async with session(proxy(home)) as governed:
        waiting = asyncio.create_task(governed.call_tool("write_file", {"path": str(file), "content": "x"}))
        await _answer(home, approved=True)
        assert not failed(await waiting)
    assert file.read_text() == "x"


async def test_a_call_nobody_answers_in_time_is_pending_and_runs_when_made_again_after_a_yes(home: Path) -> None:
    file = home.parent / "data" / "b.txt"
    arguments = {"path": str(file), "content": "x"}
    async with session(proxy(home, "--hold", "0.1")) as governed:
        pending = await governed.call_tool("write_file", arguments)
        assert failed(pending)
        assert "Call again with the same arguments once it is approved" in text(pending)
        await _answer(home, approved=True)
        assert not failed(await governed.call_tool("write_file", arguments))
        assert failed(await governed.call_tool("write_file", {**arguments, "content": "y"}))
    assert file.read_text() == "x"


async def test_a_policy_that_changes_is_in_force_without_a_restart(home: Path) -> None:
    file = home.parent / "data" / "a.txt"
    async with session(proxy(home)) as governed:
        assert not failed(await governed.call_tool("read_text_file", {"path": str(file)}))
        (home / "policy.yaml").write_text(POLICY.replace("approval: auto", "approval: block"))
        deadline = time.monotonic() + 20
        while not failed(await governed.call_tool("read_text_file", {"path": str(file)})):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


async def test_observing_lets_everything_run_and_says_so_on_the_trail(home: Path) -> None:
    file = home.parent / "data" / "a.txt"
    async with session(proxy(home, "--observe")) as governed:
        assert not failed(await governed.call_tool("delete_file", {"path": str(file)}))
    assert not file.exists()
    with AuditLogger(home / "aegis_audit.db") as trail:
        (entry,) = trail.get_log()
    assert (entry["approval"], entry["enforced"], entry["result_status"]) == ("block", False, "success")


def run(command: list[str], lines: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=lines, capture_output=True, timeout=60, check=False, **options)


def test_the_servers_exit_code_and_standard_error_are_passed_on_and_standard_output_holds_messages_only(
    home: Path,
) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read_text_file", "arguments": {}}}
    ran = run(proxy(home, command=echo(home)), json.dumps(call).encode() + b"\n")
    assert ran.returncode == 7
    assert b"server says hello" in ran.stderr
    assert [json.loads(line)["id"] for line in ran.stdout.splitlines()] == [1]


def test_a_server_that_ends_at_once_ends_the_proxy_with_its_code(home: Path) -> None:
    ran = run(proxy(home, command=(sys.executable, "-c", "import sys; sys.exit(9)")), b"")
    assert ran.returncode == 9
    assert ran.stdout == b""


def test_messages_come_from_a_file_and_nothing_comes_from_the_null_device(home: Path) -> None:
    lines = home / "lines"
    lines.write_text('{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
    for source, answers in ((lines, 1), (Path(os.devnull), 0)):
        with source.open("rb") as standard_input:
            ran = subprocess.run(
                proxy(home, command=echo(home)), stdin=standard_input, capture_output=True, timeout=60, check=False
            )
        assert (ran.returncode, len(ran.stdout.splitlines())) == (7, answers)
        assert b"Traceback" not in ran.stderr


def test_a_server_that_dies_in_the_middle_of_a_call_ends_the_proxy_and_leaves_an_end_nobody_saw(home: Path) -> None:
    script = home.parent / "dies.py"
    script.write_text("import sys\nfor line in sys.stdin:\n    sys.exit(3)\n")
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read_text_file", "arguments": {}}}
    process = subprocess.Popen(
        proxy(home, "--no-lock", command=(sys.executable, str(script))), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(call).encode() + b"\n")
    process.stdin.flush()
    assert process.stdout.read() == b"", "nobody answers in the server's place"
    assert process.wait(timeout=60) == 3
    process.stdin.close()
    process.stdout.close()
    assert log(home) == [("read_text_file", "unknown")]


def test_a_message_that_is_too_long_ends_the_connection_with_a_sentence(home: Path) -> None:
    ran = run(proxy(home, command=echo(home.parent / "data")), b'{"x":"' + b"x" * (65 * 2**20) + b'"}\n')
    assert ran.returncode == 1
    assert b"a message is longer than 64 MiB" in ran.stderr
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        ({"command": ("no-such-server",)}, 1, "the server's command 'no-such-server' was not found"),
        ({"policy": "version: 1\nrulez: []\n"}, 2, "unknown key 'rulez'"),
        ({"policy": None}, 2, "cannot be read"),
    ],
)
def test_what_keeps_it_from_starting_is_said_in_a_sentence(
    home: Path, change: dict[str, Any], code: int, sentence: str
) -> None:
    if "policy" in change:
        (home / "policy.yaml").unlink()
        if change["policy"] is not None:
            (home / "policy.yaml").write_text(change["policy"])
    ran = run(proxy(home, command=change.get("command", SERVER)))
    assert ran.returncode == code
    assert sentence in ran.stderr.decode()
    assert b"Traceback" not in ran.stderr
    assert ran.stdout == b""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_where_the_lock_cannot_be_used_the_server_that_is_on_its_way_is_ended(home: Path) -> None:
    (home / "aegis.lock").write_text("no lock")
    sleeps = home.parent / "sleeps.py"
    sleeps.write_text("import time\ntime.sleep(300)\n")
    ran = run(proxy(home, command=(sys.executable, str(sleeps))))
    assert ran.returncode == 2
    assert b"aegis.lock" in ran.stderr
    assert b"Traceback" not in ran.stderr
    assert not [pid for pid in Path("/proc").glob("[0-9]*") if str(sleeps).encode() in _command(pid)]


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("spelling", ["{}", "--root={}", "file://{}", "{}/../home"])
def test_it_does_not_start_where_the_server_may_write_to_the_policy(home: Path, spelling: str) -> None:
    folder = spelling.format(home)
    ran = run(proxy(home, command=(*echo(home.parent / "data"), folder)))
    assert ran.returncode == 2
    assert "could rewrite what governs them" in " ".join(ran.stderr.decode().split())
    allowed = run(proxy(home, "--allow-writable-policy", command=(*echo(home.parent / "data"), folder)))
    assert allowed.returncode == 7
    with AuditLogger(home / "aegis_audit.db") as trail:
        kinds = trail.read(lambda db: db.execute("SELECT kind FROM records").fetchall())
    assert ("writable_policy_allowed",) in kinds


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_signal_that_comes_while_it_is_still_starting_ends_the_server_with_all_it_started(home: Path) -> None:
    server, pids = home.parent / "early.py", home.parent / "pids"
    server.write_text(
        "import os, signal, sys, time\n"
        "child = os.fork()\n"
        "if child:\n"
        "    open(sys.argv[1], 'w').write(f'{os.getpid()} {child}')\n"
        "    os.kill(os.getppid(), signal.SIGTERM)\n"
        "time.sleep(300)\n"
    )
    process = subprocess.Popen(
        proxy(home, command=(sys.executable, "-S", str(server), str(pids))), stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    process.stdin.close()
    gone = [int(pid) for pid in pids.read_text().split()]
    deadline = time.monotonic() + 20
    while any(map(_alive, gone)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in gone if _alive(pid)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL, "close"])
def test_however_it_ends_no_process_is_left_behind(home: Path, how: Any) -> None:
    server = home / "forks.py"
    server.write_text(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "open(sys.argv[1], 'w').write(f'{child.pid}')\n"
        "time.sleep(300)\n"
    )
    pids = home / "pids"
    process = subprocess.Popen(
        proxy(home, "--allow-writable-policy", command=(sys.executable, str(server), str(pids))),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    deadline = time.monotonic() + 30
    while not (pids.exists() and pids.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    grandchild = int(pids.read_text())
    parent = int(Path(f"/proc/{grandchild}/stat").read_text().rpartition(")")[2].split()[1])
    if how == "close":
        process.stdin.close()
    else:
        process.send_signal(how)
    process.wait(timeout=30)
    # After SIGKILL nobody is left to end the group; the server itself is told by the system.
    gone = [parent] if how is signal.SIGKILL else [parent, grandchild]
    deadline = time.monotonic() + 20
    while any(map(_alive, gone)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in gone if _alive(pid)]
    if _alive(grandchild):
        os.kill(grandchild, signal.SIGKILL)
    assert left == []
    if process.stdout is not None:
        process.stdout.close()
    if not process.stdin.closed:
        process.stdin.close()
