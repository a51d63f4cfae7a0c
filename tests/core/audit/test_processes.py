"""Several processes on one trail, and processes that die: real ones, with real kill -9."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aegis_core.audit import AuditLogger
from tests.core.audit.killing import killed
from tests.core.audit.samples import call, intent, outcome

PROCESSES = int(os.environ.get("AEGIS_TEST_PROCESSES", "4"))
CALLS = int(os.environ.get("AEGIS_TEST_CALLS", "60"))

ROOT = Path(__file__).parents[3]


def start(code: str, *args: object, **options: Any) -> subprocess.Popen[str]:
    program = f"import sys\nfrom tests.core.audit.samples import *\nfrom aegis_core.audit import AuditLogger\n{code}"
    command = [sys.executable, "-c", program, *map(str, args)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, **options)


CALLER = """
import time
path, name, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
longest = 0.0
with AuditLogger(path) as logger:
    for number in range(calls):
        started = time.perf_counter()
        call(logger, session_id=name)
        longest = max(longest, time.perf_counter() - started)
print(longest)
"""


def test_line_20_many_processes_on_one_file_lose_nothing_and_none_starves(tmp_path):
    """AEGIS_TEST_PROCESSES=8 AEGIS_TEST_CALLS=5000 for the long run."""
    path = tmp_path / "audit.db"
    children = [start(CALLER, path, f"s{number}", CALLS) for number in range(PROCESSES)]
    longest = [float(child.communicate(timeout=600)[0]) for child in children]
    assert [child.returncode for child in children] == [0] * PROCESSES
    assert max(longest) < 5  # a second on an idle machine; a starved process waits for ever
    with AuditLogger(path) as logger:
        assert logger.count() == logger.count(status="success") == PROCESSES * CALLS
        for number in range(PROCESSES):
            assert logger.count(session_id=f"s{number}") == CALLS
        assert logger.verify().ok


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("tasks", [0, 20], ids=["plain", "20 tasks"])
def test_line_12_whatever_was_acknowledged_before_a_kill_is_on_the_trail(tmp_path, tasks):
    """Fifty writers; AEGIS_TEST_KILLS says another number."""
    path = tmp_path / "audit.db"
    intents, outcomes = killed(str(path), tasks)
    with AuditLogger(path) as logger:
        entries = {entry["call_id"]: entry["result_status"] for entry in logger.get_log()}
        assert intents <= set(entries)
        assert all(entries[call_id] == "success" for call_id in outcomes)
        assert set(entries.values()) <= {"success", "unknown"}
        assert logger.verify().ok
        call(logger)


HALF = """
import os, time
logger = AuditLogger(sys.argv[1])
begun = intent(type="half")
logger.write(begun)
print("begun", flush=True)
time.sleep(600)
"""


def test_a_kill_between_intent_and_outcome_leaves_unknown(tmp_path):
    path = tmp_path / "audit.db"
    child = start(HALF, path)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    with AuditLogger(path) as logger:
        assert [entry["result_status"] for entry in logger.get_log()] == ["running"]
        child.kill()
        child.communicate()
        assert [entry["result_status"] for entry in logger.get_log()] == ["unknown"]
        assert logger.count(status="unknown") == 1


STOPPED = """
import time
logger = AuditLogger(sys.argv[1])
def hold(transaction):
    print("held", flush=True)
    time.sleep(600)
logger.transact(hold)
"""


def test_a_process_that_stops_in_its_turn_makes_calls_fail_and_not_hang(tmp_path, monkeypatch):
    monkeypatch.setattr("aegis_core.audit.writer.PATIENCE", 0.3)
    path = tmp_path / "audit.db"
    with AuditLogger(path) as logger:
        call(logger)
        child = start(STOPPED, path)
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Exception, match="busy"):
            logger.write(intent())
        child.kill()
        child.communicate()
        call(logger)
        assert logger.count(status="success") == 2


QUICK = """
logger = AuditLogger(sys.argv[1], durable=sys.argv[2] == "durable")
for _ in range(200):
    call(logger)
if sys.argv[3] == "thread":
    import asyncio
    asyncio.run(logger.awrite(intent()))
"""


@pytest.mark.parametrize("mode", ["durable", "fast"])
@pytest.mark.parametrize("thread", ["thread", "inline"])
def test_a_forgotten_close_neither_hangs_nor_loses_anything(tmp_path, mode, thread):
    path = tmp_path / "audit.db"
    child = start(QUICK, path, mode, thread, stderr=subprocess.PIPE)
    assert child.communicate(timeout=60)[1] == ""
    assert child.returncode == 0
    with AuditLogger(path) as logger:
        assert logger.count(status="success") == 200


WORKERS = """
import multiprocessing
logger = AuditLogger(sys.argv[1])
def work(number):
    call(logger, type=f"t{number}")
    return number
if __name__ == "__main__":
    call(logger)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert sorted(pool.map(work, range(40))) == list(range(40))
    call(logger)
"""


def test_a_pool_of_forked_workers_shares_a_logger(tmp_path):
    path = tmp_path / "audit.db"
    child = start(WORKERS, path, stderr=subprocess.PIPE)
    assert child.communicate(timeout=60)[1] == ""
    assert child.returncode == 0
    with AuditLogger(path) as logger:
        assert logger.count(status="success") == 42
        assert logger.verify().ok


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_the_writer(tmp_path):
    with AuditLogger(tmp_path / "audit.db") as logger:
        begun = intent()
        logger.write(begun)
        logger.transact(lambda tx: tx.execute("UPDATE writers SET process = process || '1'"))
        assert logger.get_log()[0]["result_status"] == "unknown"
        logger.write(outcome(begun))
        assert logger.get_log()[0]["result_status"] == "success"
