"""The real things, each in a process of its own: a console, an agent, and Chromium."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from aegis.runtime.audit import AuditLogger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]


def chromium() -> str | None:
    """Where the browser is; None if it is not installed."""
    return os.environ.get("AEGIS_TEST_CHROMIUM") or shutil.which("chromium")


class _Lines:
    """Lines of a process's standard output, to be waited for."""

    def __init__(self, stream: IO[str]) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put(None)

    def next(self, seconds: float = 60.0) -> str:
        line = self._lines.get(timeout=seconds)
        assert line is not None, "the process has ended"
        return line


class Agent:
    """Makes calls, and hears how they end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin = process.stdin
        self._lines = _Lines(process.stdout)
        assert json.loads(self._lines.next()) == {"ready": True}

    def call(self, type: str, target: str, params: dict[str, Any], **more: Any) -> None:  # noqa: A002 - the action's name
        """Begin a call."""
        self._stdin.write(json.dumps({"type": type, "target": target, "params": params, **more}) + "\n")
        self._stdin.flush()

    def ended(self) -> dict[str, Any]:
        """How the next call ended."""
        found: dict[str, Any] = json.loads(self._lines.next())
        return found


class Stage:
    """A folder with a trail and a policy, a console that looks at it, and agents."""

    def __init__(self, folder: Path, link: str) -> None:
        self.folder = folder
        self.link = link
        self.base = link.partition("/login")[0]


@contextlib.contextmanager
def stage(folder: Path, policy: str, *, approver: str = "ann", db: str = "aegis_audit.db") -> Iterator[Stage]:
    """Start a console in a folder."""
    (folder / "policy.yaml").write_text(policy)
    with AuditLogger(db if "://" in db else folder / db) as trail:
        trail.upgrade()
    arguments = ["console", "--db", db, "--policy", "policy.yaml", "--listen", "127.0.0.1:0", "--as", approver]
    with process([sys.executable, "-m", "aegis", *arguments], folder) as running:
        assert running.stdout is not None
        lines = _Lines(running.stdout)
        while not (found := re.search(r"http://\S+", lines.next())):
            pass
        yield Stage(folder, found[0])


@contextlib.contextmanager
def agent(folder: Path, *, db: str = "aegis_audit.db") -> Iterator[Agent]:
    """Start an agent in a folder."""
    with process([sys.executable, "-m", "tests.console.agent", db, "policy.yaml"], folder) as running:
        yield Agent(running)


@contextlib.contextmanager
def process(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended afterwards, whatever it does."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AEGIS_CONSOLE")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [environment.get("PYTHONPATH")])])
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Chromium, driven from here."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # No sandbox: tests run as root in containers, where it cannot be had.
        found = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield found
        finally:
            found.close()


def watched(page: Page) -> list[str]:
    """Everything that goes wrong on a page, as it does."""
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    page.on(
        "console",
        lambda said: wrong.append(f"{said.type}: {said.text}") if said.type in ("error", "warning") else None,
    )
    return wrong
