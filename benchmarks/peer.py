"""The peer: agent-aegis 1.0.0, in an environment of its own because it imports itself under our name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

__all__ = ["peer_python", "run_peer"]

PEER = "agent-aegis==1.0.0"
FOLDER = Path(__file__).parents[1] / ".venv-peer"


def peer_python() -> str | None:
    """A Python that has the peer: ``AEGIS_PEER_PYTHON``, or ``.venv-peer``, filled when first needed; or None."""
    given = os.environ.get("AEGIS_PEER_PYTHON")
    if given:
        return given
    python = FOLDER / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = FOLDER / ".installed"
    if stamp.exists():
        return str(python)
    print(f"Installing {PEER} into {FOLDER.name} (once) ...", file=sys.stderr)
    try:
        venv.create(FOLDER, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PEER]
        subprocess.run(pip, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The peer cannot be installed ({error}); its figures are left out.", file=sys.stderr)
        return None
    stamp.touch()
    return str(python)


def run_peer(script: str, *arguments: str) -> Any:
    """What a script prints as JSON when the peer's Python runs it; None without a peer."""
    python = peer_python()
    if python is None:
        return None
    done = subprocess.run([python, "-I", "-c", script, *arguments], check=True, capture_output=True, encoding="utf-8")
    return json.loads(done.stdout)
