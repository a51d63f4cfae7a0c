"""examples/mcp_session.py does what it says, offline, with a real server."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mcp")

EXAMPLE = Path(__file__).parents[2] / "examples" / "mcp_session.py"


def test_it_shows_a_call_allowed_one_asked_about_one_blocked_and_the_trail():
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "read_text_file: a,b"
    assert any(line.startswith("write_file: wrote") for line in lines)
    assert any("blocked by rule 'never_delete'" in line for line in lines)
    assert "on disk: 'a,b\\n3,4\\n'" in lines  # the write ran, the deletion did not
    trail = [line.split()[:3] for line in lines[lines.index("the trail:") + 1 :]]
    assert trail == [
        ["read_text_file", "auto", "success"],
        ["write_file", "approve", "success"],
        ["delete_file", "block", "blocked"],
    ]
