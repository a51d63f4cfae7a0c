"""Real servers and tools from npm and PyPI, installed once, in folders that later runs find again.

Where Node.js or a package cannot be had, the tests that need it skip; with AEGIS_REQUIRE_NODE in the environment, they
fail instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["node", "npm", "pypi"]


def npm(*packages: str) -> Path:
    """The folder ``node_modules`` with some packages (``name@version``) in it."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        _unavailable("Node.js and npm are not installed")
    command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", "{folder}", *packages]
    return _installed("npm", packages, [command]) / "node_modules"


def node(modules: Path) -> str:
    """Node.js from a folder of packages that has it."""
    return str(modules / "node" / "bin" / "node")


def pypi(*packages: str) -> Path:
    """The folder of the programs of a virtual environment with some packages in it."""
    python = "{folder}/bin/python"
    create = [sys.executable, "-m", "venv", "{folder}"]
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    return _installed("pypi", packages, [create, install]) / "bin"


def _installed(kind: str, packages: Sequence[str], commands: list[list[str]]) -> Path:
    """Run the commands for a new folder, unless there is one for these packages.

    A virtual environment cannot be moved, so a folder is complete when it says so; two runs that install the same at
    the same time each use their own.
    """
    names = "-".join(sorted(package.rpartition("/")[2].replace("@", "_") for package in packages))
    root = Path(tempfile.gettempdir())
    for folder in root.glob(f"aegis-tests-{kind}-{names}-*"):
        if (folder / "complete").exists():
            return folder
    folder = Path(tempfile.mkdtemp(prefix=f"aegis-tests-{kind}-{names}-", dir=root))
    try:
        for command in commands:
            filled = [word.replace("{folder}", str(folder)) for word in command]
            subprocess.run(filled, check=True, capture_output=True, text=True, timeout=300)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(folder, ignore_errors=True)
        _unavailable(f"{', '.join(packages)} could not be installed: {str(error.stderr or error).strip()[-300:]}")
    (folder / "complete").touch()
    return folder


def _unavailable(why: str) -> None:
    if os.environ.get("AEGIS_REQUIRE_NODE"):
        pytest.fail(why)
    pytest.skip(why)
