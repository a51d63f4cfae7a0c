"""The proxy: what it adds to a call, beside the same server reached directly and through a relay that copies bytes.

All of them stand at the same time and are asked in turns, call by call, so that they see the same machine; the figures
are the medians of one round, the quickest of many. The unit of the durable mode is a write and an fdatasync of a raw
file, timed in between. Run it as ``python -m benchmarks proxy``.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.table import header, row

if TYPE_CHECKING:
    from collections.abc import Generator

ROUNDS, CALLS = 30, 40
POLICY = """
version: "1"
defaults: {approval: block, risk_level: high}
rules:
  - {name: echo, match: {type: echo, target: bench}, risk_level: low, approval: auto}
"""
SERVERS = Path(__file__).parent / "proxy_servers.py"


def call(number: int) -> bytes:
    """One call, as a line."""
    params = {"name": "echo", "arguments": {"text": "hello"}}
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).encode() + b"\n"


class Pipes:
    """A server, or what stands in front of it, over standard input and output."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin, self.process.stdout
        self._number = 0
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        self._say({"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": params})
        self._out.readline()
        self._say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _say(self, message: Any) -> None:
        self._in.write(json.dumps(message).encode() + b"\n")
        self._in.flush()

    def once(self) -> None:
        """One call and its answer."""
        self._number += 1
        self._in.write(call(self._number))
        self._in.flush()
        assert b"hello" in self._out.readline()

    def pipelined(self, count: int) -> list[int]:
        """Many calls at once; the ids in the order in which they were answered."""
        first = self._number + 1
        self._number += count
        lines = b"".join(call(number) for number in range(first, first + count))
        writer = threading.Thread(target=self._write, args=(lines,))
        writer.start()
        answered = [json.loads(self._out.readline())["id"] - first for _ in range(count)]
        writer.join()
        return answered

    def _write(self, data: bytes) -> None:
        self._in.write(data)
        self._in.flush()

    def memory(self) -> int:
        """Kilobytes the process holds."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def close(self) -> None:
        """End it."""
        self._in.close()
        self.process.wait(timeout=60)
        self._out.close()


class Http:
    """A server, or what stands in front of it, over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client(trust_env=False, timeout=60)
        self._number = 0

    def once(self) -> None:
        """One call and its answer."""
        self._number += 1
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        assert b"hello" in self._client.post(self._url, content=call(self._number), headers=headers).content

    def close(self) -> None:
        """End it."""
        self._client.close()


class Disk:
    """The unit: a record written to a file, and on the disk."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def once(self) -> None:
        """Write 500 bytes."""
        os.write(self._fd, b"x" * 500)
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def medians(doors: dict[str, Any]) -> dict[str, float]:
    """Seconds per call through each door: the medians of the round that was the quickest for all of them together."""
    rounds: list[dict[str, float]] = []
    for _ in range(ROUNDS + 1):
        took: dict[str, list[float]] = {name: [] for name in doors}
        for _ in range(CALLS):
            for name, door in doors.items():
                started = time.perf_counter()
                door.once()
                took[name].append(time.perf_counter() - started)
        rounds.append({name: statistics.median(times) for name, times in took.items()})
    return min(rounds[1:], key=lambda medians: sum(medians.values()))


def proxied(folder: Path, *options: str) -> list[str]:
    """The command of a proxy, without what it stands in front of."""
    home = Path(tempfile.mkdtemp(dir=folder))
    (home / "policy.yaml").write_text(POLICY)
    command = [sys.executable, "-m", "aegis", "proxy", "--policy", str(home / "policy.yaml")]
    return [*command, "--db", str(home / "trail.db"), "--server", "bench", *options]


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        header()
        over_pipes(folder)
        over_http(folder)
        starting(folder)


def over_pipes(folder: Path) -> None:
    """Standard input and output."""
    for kind, what in (("sdk", "a server on the SDK"), ("plain", "a server of ten lines")):
        server = [sys.executable, str(SERVERS), kind]
        commands = {
            "direct": server,
            "bare": [sys.executable, str(SERVERS), "relay", *server],
            "durable": [*proxied(folder), "--", *server],
            "fast": [*proxied(folder, "--fast"), "--", *server],
        }
        doors: dict[str, Any] = {name: Pipes(command) for name, command in commands.items()}
        doors["disk"] = Disk(folder)
        took = medians(doors)
        row(f"{what}, bare relay beside direct", took["bare"], took["direct"])
        row(f"{what}, proxy --fast beside bare relay", took["fast"], took["bare"], 1.3)
        row(f"{what}, durable: added to the bare relay, in fdatasyncs", took["durable"] - took["bare"], took["disk"], 3)
        if kind == "plain":
            pipelining(doors)
            flatness(doors)
        for door in doors.values():
            door.close()


def pipelining(doors: dict[str, Any]) -> None:
    """1,000 calls written before the first answer is read."""
    took = {}
    for name in ("bare", "durable", "fast"):
        started = time.perf_counter()
        answered = doors[name].pipelined(1000)
        took[name] = time.perf_counter() - started
        assert answered == list(range(1000)), f"{name} lost or reordered calls"
    row("1,000 pipelined calls in order, none lost: --fast beside bare", took["fast"], took["bare"])
    row("1,000 pipelined calls in order, none lost: durable beside bare", took["durable"], took["bare"])


def flatness(doors: dict[str, Any]) -> None:
    """Memory over 100,000 calls."""
    door, sizes = doors["fast"], []
    for count in (20, 100):
        for _ in range(count):
            door.pipelined(1000)
        sizes.append(door.memory())
    print(
        f"| memory of the proxy after 20,000 and after 120,000 calls | {sizes[1]} kB | {sizes[0]} kB | | | |",
        flush=True,
    )


def over_http(folder: Path) -> None:
    """Streamable HTTP."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving([sys.executable, str(SERVERS), "http"]))
        urls = {
            "direct": server,
            "bare": stack.enter_context(serving([sys.executable, str(SERVERS), "reverse", server])),
            "durable": stack.enter_context(serving([*proxied(folder), *listening(server)])),
            "fast": stack.enter_context(serving([*proxied(folder, "--fast"), *listening(server)])),
        }
        doors: dict[str, Any] = {name: Http(url) for name, url in urls.items()}
        doors["disk"] = Disk(folder)
        took = medians(doors)
        row("HTTP, bare reverse proxy beside direct", took["bare"], took["direct"])
        row("HTTP, proxy --fast beside bare reverse proxy", took["fast"], took["bare"], 1.3)
        row("HTTP, durable: added to the bare one, in fdatasyncs", took["durable"] - took["bare"], took["disk"], 3)
        for door in doors.values():
            door.close()


def listening(server: str) -> list[str]:
    """Options of a proxy over HTTP."""
    return ["--http", "--listen", "127.0.0.1:0", "--upstream", server]


@contextlib.contextmanager
def serving(command: list[str]) -> Generator[str]:
    """Start something that serves; its URL, which is the last word of the first line it says."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield process.stderr.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stderr.close()


def starting(folder: Path) -> None:
    """From nothing to the answer of an initialize, less what the server takes by itself, in bare interpreters.

    Bytecode is on the disk, as it is where a package was installed, whatever the environment says about writing it.
    """
    server = [sys.executable, str(SERVERS), "plain"]
    commands = {"direct": server, "proxy": [*proxied(folder), "--", *server]}
    took = dict.fromkeys([*commands, "bare"], 1e9)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for _ in range(15):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        took["bare"] = min(took["bare"], time.perf_counter() - started)
        for name, command in commands.items():
            started = time.perf_counter()
            door = Pipes(command)
            took[name] = min(took[name], time.perf_counter() - started)
            door.close()
    row("starting: added by the proxy, in bare interpreters", took["proxy"] - took["direct"], took["bare"], 12)


if __name__ == "__main__":
    main()
