"""The protocol's own conformance suite says the same about a server with the proxy in front of it as without.

Its scenarios cover both eras. What our server on the SDK lacks (the tasks extension) fails alike both times.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("mcp")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

from tests.mcp.connections import MAJOR
from tests.proxy.http.running import running
from tests.proxy.packages import node, npm

if TYPE_CHECKING:
    from pathlib import Path

if MAJOR == 1:
    pytest.skip("the server for the conformance suite speaks both eras, so it needs mcp 2.x", allow_module_level=True)

pytestmark = pytest.mark.slow  # installs Node.js and the suite

SUITE = "@modelcontextprotocol/conformance"
POLICY = """
version: "1"
defaults: {approval: auto, risk_level: low}
rules: []
"""


async def verdicts(version: str, url: str, folder: Path) -> dict[str, tuple[int, int]]:
    """For every scenario of the suite, how many of its checks passed and failed."""
    modules = await asyncio.to_thread(npm, "node@22", f"{SUITE}@{version}")
    command = [node(modules), str(modules / SUITE / "dist" / "index.js"), "server", "--url", url, "--suite", "all"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )
    said = (await process.communicate())[0].decode()
    found = re.findall(r"^. ([\w-]+): (\d+) passed, (\d+) failed", said, re.MULTILINE)
    return {name: (int(passed), int(failed)) for name, passed, failed in found}


@pytest.mark.parametrize(("version", "passes"), [("0.1.16", 44), ("0.2.0-alpha.12", 200)])
async def test_the_conformance_suite_says_the_same_direct_and_through_the_proxy(
    tmp_path: Path, version: str, passes: int
) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    start = [sys.executable, "-m", "aegis", "proxy", "--policy", str(tmp_path / "policy.yaml")]
    with running([sys.executable, "-m", "tests.proxy.conformance_server"], said=r"at (http\S+)") as (_, server):
        options = ["--db", str(tmp_path / "trail.db"), "--http", "--listen", "127.0.0.1:0", "--upstream", server]
        with running([*start, *options], said=r"at (http\S+)$") as (_, proxy):
            direct = await verdicts(version, server, tmp_path)
            proxied = await verdicts(version, proxy, tmp_path)
    assert proxied == direct
    assert sum(passed for passed, _ in direct.values()) >= passes
    assert {name for name, (_, failed) in direct.items() if failed} == {
        name for name in direct if name.startswith("tasks-") and name != "tasks-status-notifications"
    }
