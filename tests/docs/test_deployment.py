"""The programs of docs/deployment.md, run as they stand there by the servers they are written for."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from aegis.runtime.audit import AuditLogger

DOCUMENT = Path(__file__).parents[2] / "docs" / "deployment.md"
BLOCK = re.compile(r"^```\w+\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

if sys.platform == "win32":
    pytest.skip("prefork servers need a fork", allow_module_level=True)


@pytest.fixture
def programs(tmp_path):
    """The document's programs, in a folder."""
    for name, text in BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


children: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _no_process_is_left():
    yield
    while children:
        child = children.pop()
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def start(folder: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}:{DOCUMENT.parents[1]}", **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    children.append(child)
    return child


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def fetch(port: int, path: str, child: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            assert child.poll() is None, child.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.1)


def writers(trail: AuditLogger) -> int:
    found: Any = trail.read(lambda db: db.execute("SELECT count(DISTINCT writer) FROM records WHERE kind = 'intent'"))
    return int(found.fetchone()[0])


def stops(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGTERM)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 0, output
    assert "Traceback" not in output, output


def changes_the_policy(folder: Path, trail: AuditLogger, processes: int) -> None:
    policy = folder / "policy.yaml"
    policy.write_text(policy.read_text(encoding="utf-8").replace("reads", "reading"), encoding="utf-8")
    deadline = time.monotonic() + 60
    while True:
        events = [event for event in trail.reader.events(_all()) if event["event"] == "policy_reloaded"]
        if len(events) >= processes:
            return
        assert time.monotonic() < deadline, f"{len(events)} of {processes} workers saw the new policy"
        time.sleep(0.1)


def _all() -> Any:
    from aegis_core.audit.filters import Filters

    return Filters()


@pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="gunicorn is not installed")
def test_a_preloaded_gunicorn_app_writes_one_trail_from_all_workers(programs):
    port = free_port()
    child = start(programs, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--no-control-socket", "web:app")
    for number in range(40):
        assert fetch(port, f"/data/{number}", child) == f"contents of /data/{number}"
    with AuditLogger(programs / "aegis_audit.db") as trail:
        changes_the_policy(programs, trail, processes=2)
        assert fetch(port, "/data/last", child)
        stops(child)
        assert trail.count(status="success") == trail.count() == 41
        assert 1 <= writers(trail) <= 2
        assert trail.verify().ok


@pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="uvicorn is not installed")
@pytest.mark.skipif(importlib.util.find_spec("starlette") is None, reason="starlette is not installed")
def test_an_asgi_app_opens_and_closes_its_runtime_in_the_lifespan(programs):
    port = free_port()
    command = ["-m", "uvicorn", "asgi:app", "--workers", "2", "--host", "127.0.0.1", "--port", str(port)]
    child = start(programs, *command)
    for number in range(20):
        assert fetch(port, f"/data/{number}", child) == f"contents of /data/{number}"
    with AuditLogger(programs / "aegis_audit.db") as trail:
        changes_the_policy(programs, trail, processes=1)  # the other may have begun with the new one
        stops(child)
        assert trail.count(status="success") == trail.count() == 20
        assert trail.verify().ok


def test_a_pool_that_recycles_its_workers_loses_nothing(programs):
    child = start(programs, "pool.py", PYTHONWARNINGS="ignore::DeprecationWarning")
    output, _ = child.communicate(timeout=120)
    assert child.returncode == 0, output
    assert len(output.splitlines()) == 59
    assert len({line.rpartition(" ")[2] for line in output.splitlines()}) > 2, "no worker was replaced"
    with AuditLogger(programs / "aegis_audit.db") as trail:
        assert trail.count(status="success") == trail.count() == 60
        assert trail.verify().ok


FAST = """
import time
from terminated import *
from aegis.runtime.audit import AuditLogger
from tests.core.audit.samples import call

trail = AuditLogger("fast.db", durable=False)
for _ in range(2_000):
    call(trail)
print("accepted", flush=True)
time.sleep(600)
"""


def test_in_fast_mode_a_termination_that_is_an_exit_loses_nothing(programs):
    (programs / "fast.py").write_text(FAST, encoding="utf-8")
    child = start(programs, "fast.py")
    assert child.stdout is not None
    assert child.stdout.readline() == "accepted\n"
    child.send_signal(signal.SIGTERM)
    output, _ = child.communicate(timeout=60)
    assert (child.returncode, output) == (143, "")
    with AuditLogger(programs / "fast.db") as trail:
        assert trail.count(status="success") == 2_000
