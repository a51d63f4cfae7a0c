"""Where the clients keep their settings, by operating system.

From the clients' own documentation, November 2026: Claude Desktop (macOS and Windows; the Linux path is that of its
community builds), Claude Code (``~/.claude.json`` holds servers of the user and, by project, of the user in it;
``~/.claude/settings.json`` holds hooks; CLAUDE_CONFIG_DIR moves both), Cursor and VS Code. Settings that belong to a
project (``.mcp.json``, ``.cursor/mcp.json``, ``.vscode/mcp.json``, ``.claude/settings.json``) are in its folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CLIENTS", "PROJECT_FILES", "hook_settings", "ours_in_reach", "settings_files", "user_settings"]

CLIENTS = ("claude-desktop", "claude-code", "cursor", "vscode")
PROJECT_FILES = (
    ".mcp.json",
    ".cursor/mcp.json",
    ".vscode/mcp.json",
    ".claude/settings.json",
    ".claude/settings.local.json",
)
"""Settings of a project, relative to its folder."""
_LONGEST = 64 * 1024 * 1024


def user_settings(
    client: str, *, system: str | None = None, home: Path | None = None, environ: Mapping[str, str] | None = None
) -> Path:
    """The file in which a client keeps its user's MCP servers.

    Args:
        client: One of `CLIENTS`.
        system: ``darwin``, ``win32`` or another of `sys.platform`'s; default this machine's.
        home: The user's folder; default this user's.
        environ: The environment variables that count; default this process's.
    """
    system = sys.platform if system is None else system
    home = Path.home() if home is None else home
    environ = os.environ if environ is None else environ
    if client == "claude-code":
        moved = environ.get("CLAUDE_CONFIG_DIR")
        return Path(moved) / ".claude.json" if moved else home / ".claude.json"
    if client == "cursor":
        return home / ".cursor" / "mcp.json"
    programs = _programs(system, home, environ)
    if client == "claude-desktop":
        return programs / "Claude" / "claude_desktop_config.json"
    if client == "vscode":
        return programs / "Code" / "User" / "mcp.json"
    raise ValueError(f"client must be one of {', '.join(CLIENTS)}, got {client!r}")


def _programs(system: str, home: Path, environ: Mapping[str, str]) -> Path:
    """The folder in which programs keep their settings."""
    if system == "darwin":
        return home / "Library" / "Application Support"
    if system == "win32":
        return Path(environ.get("APPDATA") or home / "AppData" / "Roaming")
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config")


def hook_settings(*, home: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The file in which Claude Code keeps its user's hooks."""
    moved = (os.environ if environ is None else environ).get("CLAUDE_CONFIG_DIR")
    home = Path.home() if home is None else home
    return Path(moved) / "settings.json" if moved else home / ".claude" / "settings.json"


def settings_files() -> list[Path]:
    """Every file from which a client of this user, working in this folder, may learn to run Aegis or not to."""
    files = [user_settings(client) for client in CLIENTS]
    files.append(hook_settings())
    files += [Path.cwd() / name for name in PROJECT_FILES]
    return files


def ours_in_reach(files: list[Path]) -> list[Path]:
    """Those of some settings that run Aegis: who rewrites them takes it out."""
    return [file for file in files if _names_us(file)]


def _names_us(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return b"aegis" in opened.read(_LONGEST)
    except OSError:
        return False
