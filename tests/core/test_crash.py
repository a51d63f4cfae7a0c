"""A process that is killed while a tool runs: the trail knows that it was about to, and does not claim to know more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aegis_core.audit.sqlite import AuditLogger

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import asyncio, os, signal, sys, threading
from aegis import Action, Policy, Runtime
from aegis.runtime.audit import AuditLogger

policy = Policy.from_dict({"version": "1", "rules": [{"name": "all", "approval": "auto"}]})
runtime = Runtime(policy=policy, audit_logger=AuditLogger(sys.argv[1]))
runtime.run(Action("warm", "up"), lambda arguments: "done")

def tool(arguments):
    open(sys.argv[2], "w").write("the effect")
    os.kill(os.getpid(), signal.SIGKILL)

async def atool(arguments):
    tool(arguments)
"""
DOORS = {
    "run": "runtime.run(Action('send', 'mail'), tool)",
    "arun": "asyncio.run(runtime.arun(Action('send', 'mail'), atool))",
    "split": "call = runtime.begin(Action('send', 'mail'))\nassert call.permitted\ntool({})",
    "thread": """
thread = threading.Thread(target=runtime.run, args=(Action('send', 'mail'), tool))
thread.start()
thread.join()
""",
}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nothing here kills like that")
@pytest.mark.parametrize("door", DOORS)
def test_12_a_call_whose_process_was_killed_after_the_effect_reads_unknown(door, tmp_path: Path):
    trail, effect = tmp_path / "audit.db", tmp_path / "effect"
    ran = subprocess.run([sys.executable, "-c", PROGRAM + DOORS[door], trail, effect], timeout=60, check=False)
    assert ran.returncode == -signal.SIGKILL
    assert effect.read_text() == "the effect"
    with AuditLogger(trail) as logger:
        entries = logger.get_log()
    assert [(entry["action_type"], entry["result_status"]) for entry in entries] == [
        ("warm", "success"),
        ("send", "unknown"),
    ]


def test_12_while_the_process_lives_such_a_call_reads_running(tmp_path: Path):
    reader, writer = os.pipe()
    program = PROGRAM + "runtime.begin(Action('send', 'mail'))\nprint('begun', flush=True)\nsys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "audit.db", tmp_path / "effect"],
        stdin=reader,
        stdout=subprocess.PIPE,
    )
    os.close(reader)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    with AuditLogger(tmp_path / "audit.db") as logger:
        assert [entry["result_status"] for entry in logger.get_log()] == ["success", "running"]
        os.close(writer)
        process.wait(30)
        assert [entry["result_status"] for entry in logger.get_log()] == ["success", "unknown"]
    process.stdout.close()
