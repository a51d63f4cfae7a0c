"""Starting: what an import and ``aegis --version`` cost beside the peer's, each a process of its own, in turns.

Run it as ``python -m benchmarks.bench_import``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.peer import peer_python
from benchmarks.table import header, row

ROUNDS = 15


def main() -> None:
    """Print one table."""
    peer = peer_python()
    ours = sys.executable
    names = "Policy, Runtime"
    commands = {
        "pass": [ours, "-I", "-c", "pass"],
        "import": [ours, "-I", "-c", "import aegis"],
        "names": [ours, "-I", "-c", f"from aegis import {names}"],
        "version": [ours, "-I", "-m", "aegis", "--version"],
        "script": [_script(ours), "--version"],
    }
    if peer is not None:
        commands["peer names"] = [peer, "-I", "-c", f"from aegis import {names}"]
        commands["peer script"] = [_script(peer), "--version"]
    took = dict.fromkeys(commands, 9000000000.0)
    with tempfile.TemporaryDirectory() as elsewhere:  # so that no folder named aegis is in the way
        for _ in range(ROUNDS):
            for name, command in commands.items():
                started = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, cwd=elsewhere)
                took[name] = min(took[name], time.perf_counter() - started)
    header()
    row("import aegis, beside a bare interpreter", took["import"], took["pass"])
    row("from aegis import Policy, Runtime, beside a bare interpreter", took["names"], took["pass"])
    row("aegis --version, beside a bare interpreter", took["script"], took["pass"])
    if peer is not None:
        row("import aegis, beside the peer's Policy and Runtime", took["import"], took["peer names"], 0.8)
        # Names are loaded when they are first used.
        row("from aegis import Policy, Runtime, beside the peer's", took["names"], took["peer names"])
        row("aegis --version, beside the peer's", took["script"], took["peer script"], 1)
        row("python -m aegis --version, beside the peer's", took["version"], took["peer script"], 1)


def _script(python: str) -> str:
    return str(Path(python).with_name("aegis.exe" if sys.platform == "win32" else "aegis"))


if __name__ == "__main__":
    main()
