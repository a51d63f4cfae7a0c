"""``aegis wrap`` and ``aegis unwrap`` as people run them, on the settings they have."""

from __future__ import annotations

import codecs
import json
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis.clients.jsontext import parse
from aegis.clients.servers import servers
from aegis.clients.wrapping import unwrap_all, wrap_all
from tests.cli.commands import typed

if TYPE_CHECKING:
    import subprocess

POLICY = """
version: "1"
rules:
  - {name: look, match: {type: "list_*"}, approval: auto}
"""
DESKTOP = """{
  "globalShortcut": "Ctrl+Space",
  "mcpServers": {
    "filesystem": {
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-filesystem", "/data"],
      "env": { "DEBUG": "1" }
    },
    "memory": { "command": "/opt/memory" },
    "remote": { "type": "http", "url": "https://example.com/mcp" }
  }
}
"""
VSCODE = """{
\t// our servers
\t"servers": {
\t\t"git": {
\t\t\t"type": "stdio",
\t\t\t"args": [
\t\t\t\t"mcp-server-git", // from PyPI
\t\t\t\t"--repository", "${workspaceFolder}",
\t\t\t],
\t\t\t"command": "uvx" /* on PATH */,
\t\t},
\t\t"time": {"command": "uvx", "args": [ /* none */ ]},
\t},
\t"inputs": [],
}"""
CODE = (
    '{"numStartups":7,"mcpServers":{"a":{"command":"a","args":[]}},'
    '"projects":{"/w/x":{"mcpServers":{"a":{"type":"stdio","command":"b","args":["1"],"env":{}}},"allowedTools":[]}}}'
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a policy, and another for settings; the working directory is a third."""
    for name in ("aegis", "client", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "aegis" / "policy.yaml").write_text(POLICY)
    return tmp_path


def aegis(place: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return typed(place / "work", *words, home=place, **variables)


def wrap(place: Path, file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return aegis(place, "wrap", str(file), "--policy", str(place / "aegis" / "policy.yaml"), *words)


def written(place: Path, text: str | bytes, name: str = "settings.json") -> Path:
    file = place / "client" / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_servers_that_are_programs_run_through_the_proxy_by_absolute_paths(place: Path) -> None:
    file = written(place, DESKTOP)
    ran = wrap(place, file)
    assert ran.returncode == 1, "one server is reached over HTTP"
    after: dict[str, Any] = json.loads(file.read_text())["mcpServers"]
    program: str = after["filesystem"]["command"]
    words: list[str] = after["filesystem"]["args"]
    assert Path(program).is_absolute()
    assert Path(program).name.startswith(("aegis", "python"))
    policy, trail = str(place / "aegis" / "policy.yaml"), str(place / "aegis" / "aegis_audit.db")
    options = ["--policy", policy, "--db", trail, "--server", "filesystem"]
    behind = ["npx", "-y", "@modelcontextprotocol/server-filesystem", "/data"]
    assert words[words.index("proxy") :] == ["proxy", *options, "--", *behind]
    assert after["filesystem"]["env"] == {"DEBUG": "1"}
    assert after["memory"]["args"][-2:] == ["--", "/opt/memory"]
    assert after["remote"] == json.loads(DESKTOP)["mcpServers"]["remote"]
    assert "remote: not governed: it is reached over HTTP" in ran.stdout
    assert "filesystem: runs through the proxy" in ran.stdout


@pytest.mark.parametrize("text", [DESKTOP, VSCODE, CODE], ids=["claude-desktop", "vscode", "claude-code"])
@pytest.mark.parametrize("shape", ["as it is", "crlf", "bom", "no newline"])
def test_wrap_then_unwrap_gives_the_very_same_bytes(place: Path, text: str, shape: str) -> None:
    data = text.encode()
    data = {"crlf": data.replace(b"\n", b"\r\n"), "bom": codecs.BOM_UTF8 + data, "no newline": data.rstrip()}.get(
        shape, data
    )
    file = written(place, data)
    assert wrap(place, file).returncode in (0, 1)
    assert file.read_bytes() != data
    assert file.with_name("settings.json.before-aegis").read_bytes() == data
    ran = aegis(place, "unwrap", str(file))
    assert ran.returncode == 0, ran.stderr
    assert file.read_bytes() == data
    assert [path.name for path in file.parent.iterdir()] == ["settings.json"], "nothing is left behind"


def test_doing_it_twice_changes_nothing(place: Path) -> None:
    file = written(place, VSCODE)
    assert wrap(place, file).returncode == 0
    once, before = file.read_bytes(), file.stat().st_mtime_ns
    again = wrap(place, file)
    assert again.returncode == 0
    assert file.read_bytes() == once
    assert file.stat().st_mtime_ns == before
    assert "git: runs through the proxy already" in again.stdout
    assert aegis(place, "unwrap", str(file)).returncode == 0
    assert aegis(place, "unwrap", str(file)).returncode == 0
    assert file.read_bytes() == VSCODE.encode()


def test_another_policy_replaces_the_one_that_was_put_in(place: Path) -> None:
    file = written(place, VSCODE)
    wrap(place, file)
    (place / "aegis" / "other.yaml").write_text(POLICY)
    ran = wrap(place, file, "--policy", str(place / "aegis" / "other.yaml"), "--db", "postgresql://host/trail")
    assert ran.returncode == 0, ran.stderr
    text = file.read_text()
    assert "other.yaml" in text
    assert "policy.yaml" not in text
    assert "postgresql://host/trail" in text
    aegis(place, "unwrap", str(file))
    assert file.read_bytes() == VSCODE.encode()


@pytest.mark.parametrize("shape", [["srv", "-y"], ["srv"]])
def test_options_that_somebody_gave_the_proxy_by_hand_stay(place: Path, shape: list[str]) -> None:
    file = written(place, json.dumps({"mcpServers": {"a": {"command": shape[0], "args": shape[1:]}}}))
    wrap(place, file)
    by_hand = json.loads(file.read_text())
    args = by_hand["mcpServers"]["a"]["args"]
    args[1:1] = ["--locked", "--hold", "20", "--db=/elsewhere/trail.db", "--allow-writable-policy"]
    file.write_text(json.dumps(by_hand))
    assert "runs through the proxy\n" in wrap(place, file).stdout
    args = json.loads(file.read_text())["mcpServers"]["a"]["args"]
    own = args[: args.index("--")]
    assert [word for word in own if word.startswith("--")] == ["--policy", "--db", "--locked", "--hold", "--server"]
    assert own[own.index("--hold") + 1] == "20"
    assert "already" in wrap(place, file).stdout
    aegis(place, "unwrap", str(file))
    assert json.loads(file.read_text()) == {"mcpServers": {"a": {"command": shape[0], "args": shape[1:]}}}


def test_only_the_servers_asked_for_are_touched(place: Path) -> None:
    file = written(place, DESKTOP)
    ran = wrap(place, file, "--server", "memory")
    assert ran.returncode == 0, "the server that cannot be governed was not asked for"
    after = json.loads(file.read_text())["mcpServers"]
    assert after["filesystem"]["command"] == "npx"
    assert "proxy" in after["memory"]["args"]
    wrap(place, file)
    assert aegis(place, "unwrap", str(file), "--server", "memory").returncode == 0
    after = json.loads(file.read_text())["mcpServers"]
    assert after["memory"] == {"command": "/opt/memory"}
    assert "proxy" in after["filesystem"]["args"]
    missing = wrap(place, file, "--server", "filesytem")
    assert missing.returncode == 2
    assert "there is no server 'filesytem'; there are: filesystem, memory, remote" in missing.stderr


def test_a_dry_run_shows_the_difference_without_secrets_and_changes_nothing(place: Path) -> None:
    file = written(place, DESKTOP.replace('"DEBUG": "1"', '"API_KEY": "abc123secret"'))
    before = file.read_bytes()
    ran = wrap(place, file, "--dry-run")
    assert '-      "command": "npx",' in ran.stdout
    assert '"proxy", "--policy"' in ran.stdout
    assert "abc123secret" not in ran.stdout
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["settings.json"]


def test_a_difference_shows_tabs_as_tabs_and_says_which_is_which(place: Path) -> None:
    file = written(place, VSCODE)
    lines = wrap(place, file, "--dry-run").stdout.splitlines()
    assert lines[:2] == [f"--- {file} now", f"+++ {file} then"]
    assert '-\t\t\t"command": "uvx" /* on PATH */,' in lines
    assert not any("\\t" in line for line in lines)


def test_settings_that_cannot_be_written_are_left_and_it_is_said(place: Path) -> None:
    file = written(place, DESKTOP)
    file.with_name("settings.json.before-aegis").mkdir()
    ran = wrap(place, file)
    assert ran.returncode == 2
    assert "settings.json.before-aegis: cannot be written" in ran.stderr
    assert file.read_text() == DESKTOP


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes")
def test_a_pipe_is_no_settings_file(place: Path) -> None:
    os.mkfifo(place / "client" / "pipe.json")
    ran = wrap(place, place / "client" / "pipe.json")
    assert (ran.returncode, "is a pipe or a device" in ran.stderr) == (2, True)


def test_what_the_user_changed_meanwhile_stays_when_the_proxy_is_taken_out(place: Path) -> None:
    file = written(place, DESKTOP)
    wrap(place, file)
    text = file.read_text().replace('"/data"]', '"/data", "/more"]').replace("Ctrl+Space", "Alt+Space")
    text = text.replace('"memory": {', '"new": {"command": "x"},\n    "memory": {')
    file.write_text(text)
    ran = aegis(place, "unwrap", str(file))
    assert ran.returncode == 0
    wanted = DESKTOP.replace('"/data"]', '"/data", "/more"]').replace("Ctrl+Space", "Alt+Space")
    assert file.read_text() == wanted.replace('"memory": {', '"new": {"command": "x"},\n    "memory": {')
    assert file.with_name("settings.json.before-aegis").exists(), "the file is not what it was; the backup stays"


def test_settings_that_were_written_anew_by_a_formatter_are_unwrapped_all_the_same(place: Path) -> None:
    for text in (DESKTOP, CODE):
        file = written(place, text)
        wrap(place, file)
        file.write_text(json.dumps(json.loads(file.read_text()), indent=4))
        aegis(place, "unwrap", str(file))
        assert json.loads(file.read_text()) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "mcpServers": {\n    "a": {"command" "x"}\n  }\n}', ":3:21: expected a colon after the key 'command'"),
        ('{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}', ":1:40: the key 'a' is there twice"),
        ('{"mcpServers": {}}', "there are no MCP servers in it"),
        (b'{"mcpServers": {"a": {"command": "\xff"}}}', "the byte 0xFF is not UTF-8"),
        ("", ":1:1: the text ends too early"),
    ],
)
def test_settings_that_cannot_be_read_for_certain_are_refused_and_left(
    place: Path, text: str | bytes, said: str
) -> None:
    file = written(place, text)
    before = file.read_bytes()
    for ran in (wrap(place, file), aegis(place, "unwrap", str(file))):
        assert ran.returncode == 2
        assert said in ran.stderr
        assert "Traceback" not in ran.stderr
    assert file.read_bytes() == before


def test_what_is_missing_is_said_in_a_sentence(place: Path) -> None:
    gone = wrap(place, place / "client" / "gone.json")
    assert (gone.returncode, "there is no such file" in gone.stderr) == (2, True)
    folder = wrap(place, place / "client")
    assert (folder.returncode, "is a folder" in folder.stderr) == (2, True)
    neither = aegis(place, "unwrap")
    assert (neither.returncode, "say whose settings" in neither.stderr) == (2, True)
    file = written(place, DESKTOP)
    unread = aegis(place, "wrap", str(file), "--policy", str(place / "none.yaml"))
    assert (unread.returncode, "none.yaml" in unread.stderr) == (2, True)
    odd = aegis(place, "wrap", str(file), "--policy", str(place / "aegis" / "policy.yaml"), "--db", "/x/${HOME}/t.db")
    assert (odd.returncode, "choose another path" in odd.stderr) == (2, True)
    assert file.read_text() == DESKTOP


def test_entries_that_are_no_plain_commands_are_left_with_a_reason(place: Path) -> None:
    entries = {
        "a": {"command": ["npx"]},
        "b": {"command": "x", "args": "y"},
        "c": {"command": "x", "args": [1]},
        "d": 7,
        "e": {},
        "empty": {"command": "", "args": []},
    }
    file = written(place, json.dumps({"mcpServers": entries}))
    before = file.read_bytes()
    ran = wrap(place, file, "--json")
    assert ran.returncode == 1
    report = json.loads(ran.stdout)
    assert [fate["done"] for fate in report["servers"]] == ["left"] * 6
    assert all(fate["why"] for fate in report["servers"])
    assert file.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and links")
def test_the_files_mode_and_a_link_to_it_stay_and_the_backup_is_private(place: Path) -> None:
    file = written(place, DESKTOP)
    file.chmod(0o640)
    link = place / "work" / "link.json"
    link.symlink_to(file)
    wrap(place, link)
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert stat.S_IMODE(file.with_name("settings.json.before-aegis").stat().st_mode) == 0o600
    assert "proxy" in file.read_text()


def test_a_server_that_may_write_to_what_governs_it_is_left_unless_that_is_asked_for(place: Path) -> None:
    entries = {
        "policy": {"command": "x", "args": [str(place / "aegis")]},
        "settings": {"command": "x", "args": [str(place / "client")]},
        "variable": {"command": "x", "env": {"MEMORY_FILE_PATH": str(place / "aegis" / "policy.yaml")}},
        "elsewhere": {"command": "x", "args": [str(place / "work")]},
    }
    file = written(place, json.dumps({"mcpServers": entries}))
    ran = wrap(place, file, "--json")
    assert ran.returncode == 1
    fates = {fate["server"]: fate["done"] for fate in json.loads(ran.stdout)["servers"]}
    assert fates == {"policy": "left", "settings": "left", "variable": "left", "elsewhere": "wrapped"}
    ran = wrap(place, file, "--allow-writable-policy")
    assert ran.returncode == 0
    assert file.read_text().count("--allow-writable-policy") == 4


@pytest.mark.skipif(sys.platform != "linux", reason="the other systems' folders are told in test_locations")
def test_a_clients_own_settings_are_found(place: Path) -> None:
    places = {
        "claude-desktop": ".config/Claude/claude_desktop_config.json",
        "claude-code": ".claude.json",
        "cursor": ".cursor/mcp.json",
        "vscode": ".config/Code/User/mcp.json",
    }
    for client, where in places.items():
        file = place / where
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(VSCODE)
        ran = aegis(place, "wrap", "--client", client, "--policy", str(place / "aegis" / "policy.yaml"))
        assert ran.returncode == 0, ran.stderr
        assert file.read_text() != VSCODE
        assert aegis(place, "unwrap", "--client", client).returncode == 0
        assert file.read_text() == VSCODE


def test_a_wrapped_server_really_answers_through_the_proxy(place: Path) -> None:
    pytest.importorskip("mcp")
    (place / "files").mkdir()
    entry = {"command": sys.executable, "args": ["-m", "aegis.demo.server"]}
    file = written(place, json.dumps({"mcpServers": {"demo": entry}}))
    assert wrap(place, file).returncode == 0
    from aegis_mcp.listing import list_tools

    after = json.loads(file.read_text())["mcpServers"]["demo"]
    listed = list_tools([after["command"], *after["args"]])
    assert "list_directory" in {tool["name"] for tool in listed.tools}


WORDS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
ENTRIES = st.fixed_dictionaries(
    {"command": WORDS.filter(bool)},
    optional={"args": st.lists(WORDS, max_size=3), "env": st.dictionaries(WORDS, WORDS, max_size=2)},
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(WORDS, ENTRIES, max_size=3),
    st.sampled_from([None, 2, "\t"]),
    st.booleans(),
    WORDS.filter(lambda word: word != "--"),
)
def test_any_settings_come_back_as_they_were(
    entries: dict[str, Any], indent: int | str | None, ascii_only: bool, policy: str
) -> None:
    text = json.dumps({"mcpServers": entries}, indent=indent, ensure_ascii=ascii_only)
    options = [("--policy", policy), ("--db", "x")]
    through, fates = wrap_all(
        text, servers(parse(text)), program=["/bin/aegis"], options=options, refusal=lambda _: None
    )
    assert [fate.done for fate in fates] == ["wrapped"] * len(entries)
    assert all(server.behind is not None for server in servers(parse(through)))
    assert [server.behind for server in servers(parse(through))] == [server.command for server in servers(parse(text))]
    again, _ = wrap_all(
        through, servers(parse(through)), program=["/bin/aegis"], options=options, refusal=lambda _: None
    )
    assert again == through
    assert unwrap_all(through, servers(parse(through)))[0] == text
