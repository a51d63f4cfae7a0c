"""Processes that serve, for as long as a test needs them."""

from __future__ import annotations

import re
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["running"]


@contextmanager
def running(command: list[str], *, said: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """A process, and what it said on standard error that matches."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    reading: threading.Thread | None = None
    try:
        for line in process.stderr:
            found = re.search(said, line)
            if found:
                break
        else:
            raise AssertionError("it ended without saying so")
        reading = threading.Thread(target=process.stderr.read)  # or it would stop at a full pipe
        reading.start()
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=30)
        process.stderr.close()
