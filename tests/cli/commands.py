"""Running a command of ours in this process: as if typed, in a folder and with variables of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aegis.cli import main

if TYPE_CHECKING:
    from pathlib import Path


def typed(folder: Path, *words: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``aegis`` with these words; a process of its own would cost more than what it does."""
    out, error = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        for name in [name for name in os.environ if name.startswith(("AEGIS_", "CLAUDE_", "XDG_"))]:
            patch.delenv(name)
        for name, value in {"HOME": str(home), "USERPROFILE": str(home), "COLUMNS": "200", **variables}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["aegis", *words])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error), pytest.raises(SystemExit) as left:
            main()
    code = left.value.code
    return subprocess.CompletedProcess(words, code if isinstance(code, int) else 0, out.getvalue(), error.getvalue())
