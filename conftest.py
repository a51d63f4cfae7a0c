"""Runs every snippet of README.md and docs/ as a test, each document in a folder of its own.

- A ``python`` block runs, after the ones before it in its document.
- A ``yaml`` or ``json`` block whose first line is a comment naming a file (``# policy.yaml``) is written there; every
  ``yaml`` block that begins with ``version:`` must load as a policy.
- In a ``console`` block, every ``$ aegis ...`` line runs, with the document's folder as ``~``; it must not fail, and
  output shown below it (``...`` for anything) must be what it printed. A line ending in ``# exit N`` must exit with N.
  Other commands (``pip``, ``make``) are for reading; their own tests run them.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sybil import Sybil
from sybil.parsers.markdown import ClearNamespaceParser, CodeBlockParser, PythonCodeBlockParser, SkipParser

from aegis import Policy

if TYPE_CHECKING:
    from sybil import Example

_FILE = re.compile(r"(?:#|//) ([\w./-]+\.(?:yaml|yml|json|py|jsonl))\n")
# Documents whose snippets need an extra, and the module it brings; without it they are left out.
_NEEDS = {
    "langchain": "langchain_core",
    "openai-agents": "agents",
    "openai_agents": "agents",
    "llamaindex": "llama_index",
    "webhooks": "httpx",
}
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _policy(example: Example) -> None:
    text = str(example.parsed)
    named = _FILE.match(text)
    if named:
        Path(named[1]).parent.mkdir(parents=True, exist_ok=True)
        Path(named[1]).write_text(text, encoding="utf-8")
    body = text[named.end() :] if named else text
    if body.startswith("version:"):
        Policy.from_string(body, source=f"{example.path}:{example.line}")


def _data(example: Example) -> None:
    text = str(example.parsed)
    named = _FILE.match(text)
    if named:
        Path(named[1]).parent.mkdir(parents=True, exist_ok=True)
        Path(named[1]).write_text(text[named.end() :], encoding="utf-8")


def _console(example: Example) -> None:
    for command, expected in re.findall(r"^\$ ([^\n]*)\n((?:(?!\$ )[^\n]*\n?)*)", str(example.parsed), re.MULTILINE):
        words = shlex.split(command, comments=True)
        if words[:1] != ["aegis"] or any(word in ("|", "&&", ">", "&") for word in words):
            continue
        words = [str(Path.cwd() / word[2:]) if word.startswith("~/") else word for word in words]  # as a shell does
        code = re.search(r"# exit (\d+)$", command)
        ran = subprocess.run(  # noqa: S603 - our own documentation's commands
            [sys.executable, "-m", "aegis", *words[1:]],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=_environment(),
            timeout=120,
            check=False,
        )
        where = f"{example.path}:{example.line}: $ {command}"
        assert ran.returncode == (int(code[1]) if code else 0), f"{where}\n{ran.stdout}{ran.stderr}"
        if expected.strip():
            said = ran.stdout + ran.stderr
            assert doctest.OutputChecker().check_output(expected, said, _FLAGS), f"{where}\nprinted:\n{said}"


def _environment() -> dict[str, str]:
    """A reader's: his home is the folder of the document, and nothing is set up yet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AEGIS_", "CLAUDE_", "XDG_"))}
    home = str(Path.cwd())
    return {**kept, "HOME": home, "USERPROFILE": home, "APPDATA": home, "COLUMNS": "120", "NO_COLOR": "1"}


def _setup(namespace: dict[str, Any]) -> None:
    folder = TemporaryDirectory()
    namespace["__folder__"] = folder, Path.cwd()
    os.chdir(folder.name)


def _teardown(namespace: dict[str, Any]) -> None:
    folder, before = namespace["__folder__"]
    os.chdir(before)
    folder.cleanup()


pytest_collect_file = Sybil(
    parsers=[
        SkipParser(),
        ClearNamespaceParser(),
        PythonCodeBlockParser(),
        CodeBlockParser("yaml", _policy),
        CodeBlockParser("json", _data),
        CodeBlockParser("console", _console),
    ],
    patterns=["README.md", "docs/*.md", "docs/*/*.md", "integrations/*/README.md"],
    excludes=[
        pattern
        for name, module in _NEEDS.items()
        if find_spec(module) is None
        for pattern in (f"docs/{name}.md", f"docs/integrations/{name}.md", f"integrations/{name}/README.md")
    ],
    setup=_setup,
    teardown=_teardown,
).pytest()
