"""``docs/proxy.md`` from nothing to a governed server in each client: its own lines, the real server, a new home."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("mcp")

from tests.examples.test_filesystem_server import server as server  # the real one, from npm, or a skip

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENT = (Path(__file__).parents[2] / "docs" / "proxy.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```(?:json|yaml)\n(?://|#) (\S+)\n(.*?)```", DOCUMENT, re.DOTALL))
WRAPS = re.findall(r"^\$ aegis (wrap .*)$", DOCUMENT, re.MULTILINE)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the document's files are where Linux has them")


@pytest.fixture
def run(tmp_path: Path, server: list[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A new home as the document leaves it, with an ``npx`` that starts the server; and how to run a line in it."""
    home = tmp_path / "alice"
    for name, text in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text.replace("/home/alice", str(home)))
    (home / "notes").mkdir()
    (home / "bin").mkdir()
    npx = home / "bin" / "npx"
    npx.write_text(f'#!/bin/sh\nshift 2\nexec {shlex.join(server)} "$@"\n')
    npx.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AEGIS_", "CLAUDE_", "XDG_"))}
    environment = {**kept, "HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}

    def line(*words: str) -> subprocess.CompletedProcess[str]:
        given = [word.replace("~/", f"{home}/") for word in words]
        return subprocess.run(
            [sys.executable, "-m", "aegis", *given],
            cwd=home, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return line


def test_every_client_ends_with_a_governed_server(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert len(WRAPS) >= 4
    for written in WRAPS[:4]:
        assert run(*shlex.split(written)).returncode == 0
        whose = shlex.split(written)[1:3] if "--client" in written else shlex.split(written)[1:2]
        ran = run("doctor", *whose, "--json")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        [found] = json.loads(ran.stdout)["servers"]
        said = {finding["check"]: finding["said"] for finding in found["findings"]}
        assert said["server"].startswith("14 tools")
        assert said["proxy"] == "the client sees all of them"
        assert "default" not in said, "a rule of the document's policy speaks of every tool"
        assert run("unwrap", *whose).returncode == 0
