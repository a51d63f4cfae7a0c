"""Where each client keeps its settings, on each system."""

from __future__ import annotations

from pathlib import Path

import pytest

from aegis.clients.locations import hook_settings, ours_in_reach, user_settings

HOME = Path("/home/alice")


@pytest.mark.parametrize(
    ("client", "system", "where"),
    [
        ("claude-desktop", "darwin", "/home/alice/Library/Application Support/Claude/claude_desktop_config.json"),
        ("claude-desktop", "win32", "/appdata/Claude/claude_desktop_config.json"),
        ("claude-desktop", "linux", "/home/alice/.config/Claude/claude_desktop_config.json"),
        ("claude-code", "darwin", "/home/alice/.claude.json"),
        ("claude-code", "win32", "/home/alice/.claude.json"),
        ("cursor", "linux", "/home/alice/.cursor/mcp.json"),
        ("vscode", "darwin", "/home/alice/Library/Application Support/Code/User/mcp.json"),
        ("vscode", "win32", "/appdata/Code/User/mcp.json"),
        ("vscode", "linux", "/home/alice/.config/Code/User/mcp.json"),
    ],
)
def test_every_clients_file_is_known_on_every_system(client: str, system: str, where: str) -> None:
    environ = {"APPDATA": "/appdata"} if system == "win32" else {}
    assert user_settings(client, system=system, home=HOME, environ=environ) == Path(where)


def test_folders_that_were_moved_are_followed() -> None:
    assert user_settings("vscode", system="linux", home=HOME, environ={"XDG_CONFIG_HOME": "/c"}) == Path(
        "/c/Code/User/mcp.json"
    )
    moved = {"CLAUDE_CONFIG_DIR": "/elsewhere"}
    assert user_settings("claude-code", home=HOME, environ=moved) == Path("/elsewhere/.claude.json")
    assert hook_settings(home=HOME, environ=moved) == Path("/elsewhere/settings.json")
    assert hook_settings(home=HOME, environ={}) == HOME / ".claude" / "settings.json"


def test_a_client_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="client must be one of claude-desktop, claude-code, cursor, vscode"):
        user_settings("emacs")


def test_only_settings_that_run_aegis_are_ours(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"command": "/bin/aegis"}')
    (tmp_path / "b").write_text('{"command": "npx"}')
    assert ours_in_reach([tmp_path / "a", tmp_path / "b", tmp_path / "c", tmp_path]) == [tmp_path / "a"]
