"""The soak: governed programs under load for a long time, while their policy and their store come and go.

For each store, a prefork web app (gunicorn, preloaded, two workers of four threads) and a worker pool beside coroutines
make calls all the time. Meanwhile the policy file is rewritten every few seconds, the PostgreSQL server is stopped and
started, and the SQLite file is locked by a stranger for longer than anybody waits. In the end everything that was said
and everything that ran is compared with the trail. Run it as ``python -m benchmarks.soak --minutes 30``; it exits with
1 if anything is not as it must be.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aegis.runtime.audit import AuditLogger
from tests.core.audit.postgres_server import SUPERUSER, PrivateServer, binaries

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
RULES = """version: "1"
rules:
  - {name: reads, match: {type: "read_*"}, risk_level: low, approval: auto}
  - {name: never, match: {type: "delete_*"}, approval: block}
"""
EXTRA = "  - {name: also, match: {type: write_*}, approval: block}\n"
RELOAD = 5.0
DISTURB = 30.0
"""Seconds between two disturbances of a store."""
LOCKED, AWAY = 8.0, 3.0
"""Seconds that SQLite's file is locked (callers wait for 5 s), and that the server is away."""
CLIENTS = 4
_UNWRITTEN = "a call could not be written to the audit trail"
GUNICORN = """
preload_app = True
workers, threads, worker_class = 2, 4, "gthread"
graceful_timeout = 30
control_socket_disable = True
def post_worker_init(worker):
    from benchmarks import soak_app
    soak_app.watch()
def worker_exit(server, worker):
    from benchmarks import soak_app
    soak_app.runtime.close()
"""


@dataclass
class Sample:
    """What a process held at one moment."""

    at: float
    memory: int
    descriptors: int


@dataclass
class Scene:
    """One store, and the programs that write to it."""

    name: str
    trail: str
    folder: Path
    rate: float
    disturb: Callable[[], None]
    said: dict[str, str] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    samples: dict[int, list[Sample]] = field(default_factory=dict)
    disturbed: int = 0

    def start(self) -> None:
        """Start the web app and the pool, and wait until the app answers."""
        (self.folder / "policy.yaml").write_text(RULES)
        (self.folder / "gunicorn.conf.py").write_text(GUNICORN)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environment = {
            **os.environ,
            "SOAK_POLICY": str(self.folder / "policy.yaml"),
            "SOAK_TRAIL": self.trail,
            "SOAK_EFFECTS": str(self.folder / "effects"),
            "SOAK_RATE": str(self.rate),
            "AEGIS_KEY_FILE": str(self.folder / "key"),
        }
        web = ["-m", "gunicorn", "--config", str(self.folder / "gunicorn.conf.py"), "--bind", f"127.0.0.1:{self.port}"]
        log = (self.folder / "web.log").open("w")
        self.web = subprocess.Popen(
            [sys.executable, *web, "benchmarks.soak_app:app"],
            cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        pool_log = (self.folder / "pool.log").open("w")
        self.pool = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.soak_app"],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=pool_log, text=True,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, (self.folder / "web.log").read_text()
                time.sleep(0.2)

    def browse(self, stop: threading.Event, number: int) -> None:
        """One client of the web app: a request after the other, at its share of the rate."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not stop.is_set():
            word = f"w{number}"
            number += CLIENTS
            started = time.perf_counter()
            try:
                connection.request("GET", f"/?{word}")
                self.said[word] = connection.getresponse().read().decode()
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(f"{word}: {error!r}")
                connection.close()
            took = time.perf_counter() - started
            self.waits.append(took)
            stop.wait(max(0.0, CLIENTS / self.rate - took))
        connection.close()

    def listen(self) -> None:
        """Note what the pool says."""
        assert self.pool.stdout is not None
        for line in self.pool.stdout:
            word, status = line.split()
            self.said[word] = status

    def sample(self) -> None:
        """Note what every long-lived process holds. Recycled workers of the pool are left out: they are young."""
        for pid in (self.web.pid, *_children(self.web.pid), self.pool.pid):
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
            except OSError:
                continue
            held = Sample(time.monotonic(), pages * os.sysconf("SC_PAGE_SIZE"), descriptors)
            self.samples.setdefault(pid, []).append(held)

    def stop(self) -> None:
        """End both programs as an operator would."""
        assert self.pool.stdin is not None
        self.pool.stdin.close()
        self.web.send_signal(signal.SIGTERM)
        for name, process in (("web", self.web), ("pool", self.pool)):
            try:
                code = process.wait(90)
            except subprocess.TimeoutExpired:
                process.kill()
                code = -9
            if code:
                log = (self.folder / f"{name}.log").read_text()[-2000:]
                self.errors.append(f"the {name} ended with {code}: {log}")

    def kill(self) -> None:
        """Leave nothing behind, whatever happened."""
        for process in (self.web, self.pool):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    # --- the verdict -------------------------------------------------------------------------------------------------

    def check(self) -> list[str]:
        """Compare what was said and what ran with the trail; return what is wrong."""
        wrong = self.errors[:10]
        ran = Counter((self.folder / "effects").read_text().split())
        os.environ["AEGIS_KEY_FILE"] = str(self.folder / "key")
        trail: dict[str, str] = {}
        with AuditLogger(self.trail) as logger:
            for chunk in logger.chunks():
                for entry in chunk:
                    word = entry["action_params"]["word"]
                    if word in trail:
                        wrong.append(f"{word} is on the trail twice")
                    trail[word] = entry["result_status"]
            verified = logger.verify()
            kinds = Counter(event["event"] for event in logger.reader.events(_everything()))
        self.rows, self.events, self.statuses = verified.rows, kinds, Counter(trail.values())
        wrong += [f"verify: {found.message}" for found in verified.breaks[:5]]
        wrong += [f"{word} ran twice" for word, times in ran.items() if times > 1][:5]
        orphans = [word for word, status in trail.items() if status in ("running", "unknown")]
        wrong += [f"{len(orphans)} calls have no outcome, e.g. {orphans[:3]}"] if orphans else []
        # A block stands also while it cannot be written down; that is logged, and must not happen in calm times.
        self.loud = sum((self.folder / f"{name}.log").read_text().count(_UNWRITTEN) for name in ("web", "pool"))
        unwritten = 0
        for word, status in self.said.items():
            found = trail.get(word)
            unwritten += status == "refused" or (status == "blocked" and found is None)
            if status == "refused" and word in ran:
                wrong.append(f"{word} was refused and ran")
            if status not in ("refused", found) and not (status == "blocked" and found is None):
                wrong.append(f"{word} ended as {status}, and on the trail as {found}")
        if unwritten > self.loud:
            wrong.append(f"{unwritten} calls are not on the trail, and only {self.loud} times that was logged")
        wrong += [f"{word} ran and is on the trail as {trail.get(word)}"
                  for word in ran if trail.get(word) not in ("success", "failed")]  # fmt: skip
        if not kinds["policy_reloaded"]:
            wrong.append("no policy was ever reloaded")
        return wrong + self.growth()

    def growth(self) -> list[str]:
        """Which processes hold more at the end than they did once they were warm."""
        wrong: list[str] = []
        self.flat: list[tuple[float, float, int, int]] = []
        for pid, samples in self.samples.items():
            fifth = len(samples) // 5
            if fifth < 2:
                continue
            early, late = samples[fifth : 2 * fifth], samples[-fifth:]
            before, after = (statistics.median(held.memory for held in part) / 2**20 for part in (early, late))
            fds, fds_after = (max(held.descriptors for held in part) for part in (early, late))
            self.flat.append((before, after, fds, fds_after))
            if after > before * 1.1 + 4:
                wrong.append(f"process {pid} grew from {before:.1f} to {after:.1f} MiB")
            if fds_after > fds + 3:
                wrong.append(f"process {pid} went from {fds} to {fds_after} descriptors")
        return wrong

    def report(self, seconds: float) -> None:
        """The figures, as rows of a table."""
        waits = sorted(self.waits)
        ended = Counter(self.said.values())
        grew = max((after - before for before, after, _, _ in self.flat), default=0.0)
        memory = max((after for _, after, _, _ in self.flat), default=0.0)
        more = max((after - before for _, _, before, after in self.flat), default=0)
        print(f"\n## {self.name}\n\n| what | figure |\n|---|---|")
        print(f"| calls, a second | {len(self.said):,}, {len(self.said) / seconds:.0f} |")
        print(f"| ended as | {', '.join(f'{count:,} {status}' for status, count in ended.most_common())} |")
        print(f"| rows on the trail | {self.rows:,} |")
        print(f"| disturbances, policy reloads seen | {self.disturbed}, {self.events['policy_reloaded']} |")
        p50, p99 = (waits[len(waits) * part // 100] * 1e3 for part in (50, 99))
        print(f"| a web request, p50, p99, max | {p50:.1f} ms, {p99:.1f} ms, {waits[-1]:.1f} s |")
        print(f"| largest process; most that any grew | {memory:.0f} MiB; {grew:+.1f} MiB, {more:+d} descriptors |")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _everything() -> object:
    from aegis_core.audit.filters import Filters

    return Filters()


def lock_for_a_while(path: str) -> None:
    """As a stranger who opens the file and holds on to it."""
    with sqlite3.connect(path, timeout=30, isolation_level=None) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        time.sleep(LOCKED)
        stranger.execute("ROLLBACK")
    stranger.close()


def restart(server: PrivateServer) -> None:
    """Stop the server, alternately in good order and at once, and start it again."""
    server.stop("immediate" if int(time.monotonic()) % 2 else "fast")
    time.sleep(AWAY)
    server.start()


def _threads(
    scenes: list[Scene], seconds: float, *, stop: threading.Event, calm: threading.Event
) -> list[threading.Thread]:
    """Everything that happens while the programs run. From ``calm`` on, nothing disturbs them any more."""

    def disturb(scene: Scene) -> None:
        while not calm.wait(min(DISTURB, seconds / 6)):
            scene.disturb()
            scene.disturbed += 1

    def reload() -> None:
        extra = ""
        while not calm.wait(RELOAD):
            extra = "" if extra else EXTRA
            for scene in scenes:
                (scene.folder / "policy.yaml").write_text(RULES + extra)

    threads = [threading.Thread(target=reload)]
    for scene in scenes:
        threads += [threading.Thread(target=scene.listen), threading.Thread(target=disturb, args=(scene,))]
        threads += [threading.Thread(target=scene.browse, args=(stop, number)) for number in range(CLIENTS)]
    return threads


def soak(scenes: list[Scene], seconds: float) -> None:
    """Run everything for so long."""
    stop, calm = threading.Event(), threading.Event()
    end = time.monotonic() + seconds
    for scene in scenes:
        scene.start()

    threads = _threads(scenes, seconds, stop=stop, calm=calm)
    for thread in threads:
        thread.start()
    try:
        while (left := end - time.monotonic()) > 0:
            if left < max(20, seconds / 10):  # so that every process makes a call once its store is back
                calm.set()
            for scene in scenes:
                scene.sample()
            time.sleep(min(5.0, seconds / 60))
        stop.set()
        for scene in scenes:
            scene.stop()
    finally:
        stop.set()
        calm.set()
        for scene in scenes:
            scene.kill()
        for thread in threads:
            thread.join()


def main() -> int:
    """Print the figures of each store, and what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default 30)")
    parser.add_argument("--rate", type=float, default=40.0, help="calls a second from each of three sources")
    options = parser.parse_args()
    programs = binaries()
    if programs is None and os.environ.get("AEGIS_REQUIRE_POSTGRES"):
        parser.error("there is no PostgreSQL server; install postgresql")
    server = PrivateServer(programs) if programs is not None else None
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "sqlite")
            path.mkdir()
            file = str(path / "audit.db")
            scenes = [Scene("SQLite", file, path, options.rate, lambda: lock_for_a_while(file))]
            if server is not None:
                path = Path(folder, "postgres")
                path.mkdir()
                url = f"{server.url}/{SUPERUSER}"
                scenes.append(Scene("PostgreSQL", url, path, options.rate, lambda: restart(server)))
            soak(scenes, options.minutes * 60)
            wrong = {scene.name: scene.check() for scene in scenes}
            for scene in scenes:
                scene.report(options.minutes * 60)
            for name, problems in wrong.items():
                print(f"\n{name}: " + ("as it must be" if not problems else f"{len(problems)} PROBLEMS"))
                for problem in problems[:20]:
                    print(f"  {problem}")
    finally:
        if server is not None:
            server.remove()
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
