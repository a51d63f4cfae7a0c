"""examples/llamaindex_agent.py does what it says, offline."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("llama_index.core")

EXAMPLE = Path(__file__).parents[2] / "examples" / "llamaindex_agent.py"


def test_it_shows_a_call_allowed_one_asked_about_one_blocked_and_the_trail():
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["success", "approval", "success", "error"]
    trail = [line.split()[:3] for line in lines[lines.index("the trail:") + 1 :]]
    assert trail == [
        ["read_file", "auto", "success"],
        ["send_email", "approve", "success"],
        ["delete_file", "block", "blocked"],
    ]
