"""The policy that is drafted keeps the tools off what governs them, however they are told to get there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from aegis import Action, Approval, Policy
from aegis.clients.claude_code.event import Event, readings
from aegis.clients.claude_code.rules import draft, writable

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege on Windows")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, with Aegis's files and Claude Code's settings in it."""
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    for variable in ("CLAUDE_CONFIG_DIR", "AEGIS_KEY_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / ".aegis").mkdir()
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "settings.json").write_text("{}")
    (tmp_path / "work").mkdir()
    return tmp_path


@pytest.fixture
def policy(home: Path) -> Policy:
    path = home / ".aegis" / "claude-code.yaml"
    path.write_text(draft(path, str(home / ".aegis" / "aegis_audit.db")))
    return Policy.from_yaml(path)


def decide(policy: Policy, tool: str, target: str = "claude-code", **arguments: Any) -> Approval:
    return policy.evaluate(Action(tool, target, arguments, agent="claude-code", session_id="s")).approval


FILES = (
    ".aegis/claude-code.yaml",
    ".aegis/aegis.lock",
    ".aegis/aegis_audit.db",
    ".aegis/aegis_audit.db-wal",
    ".aegis/aegis_audit.db.key",
    ".claude/settings.json",
    ".claude/settings.local.json",
    ".claude.json",
    "work/.claude/settings.json",
    "work/.claude/settings.local.json",
    "work/.mcp.json",
)


@pytest.mark.parametrize("file", FILES)
def test_what_governs_cannot_be_written(policy: Policy, home: Path, file: str) -> None:
    path = str(home / file)
    for tool in ("Write", "Edit", "MultiEdit"):
        assert decide(policy, tool, file_path=path, content="x") is Approval.BLOCK
    assert decide(policy, "write_file", "filesystem", path=path, content="x") is Approval.BLOCK
    assert decide(policy, "write_file", "other", file_path=path, content="x") is Approval.BLOCK
    assert decide(policy, "move_file", "filesystem", source="/tmp/x", destination=path) is Approval.BLOCK
    assert decide(policy, "move_file", "filesystem", source=path, destination="/tmp/x") is Approval.BLOCK
    assert decide(policy, "Bash", command=f"echo x > {path}") is not Approval.AUTO


@pytest.mark.parametrize(
    "spelled",
    [
        "{home}/projects/../.aegis/claude-code.yaml",
        "{home}/.aegis/../.aegis/claude-code.yaml",
        "{home}//.aegis//claude-code.yaml",
        "{home}/.aegis/./claude-code.yaml",
        "~/.aegis/claude-code.yaml",
        "../.aegis/claude-code.yaml",
        ".aegis/claude-code.yaml",
        "{home}/.AEGIS/CLAUDE-CODE.YAML",
        "{home}/.claude/SETTINGS.json",
        "{home}/.claude/./settings.json",
        "{home}/.claude//settings.json",
        "{home}/%2e%2e/.claude/settings.json",
        "{home}/.claude\\settings.json",
        "{home}/.claude/settings.json\0.txt",
        "{home}/.cl\uff41ude/settings.json",
    ],
)
def test_no_spelling_of_a_path_gets_around_it(policy: Policy, home: Path, spelled: str) -> None:
    assert decide(policy, "Write", file_path=spelled.format(home=home), content="x") is Approval.BLOCK


@posix
def test_no_link_leads_around_it(policy: Policy, home: Path) -> None:
    (home / "work" / "a").symlink_to(home / ".aegis")
    (home / "work" / "b.json").symlink_to(home / ".claude" / "settings.json")
    (home / "work" / "c").symlink_to(home / "work" / "a")
    for path in ("work/a/claude-code.yaml", "work/b.json", "work/c/aegis_audit.db"):
        assert decide(policy, "Write", file_path=str(home / path), content="x") is Approval.BLOCK
        assert decide(policy, "Edit", file_path=str(home / path), old_string="a", new_string="b") is Approval.BLOCK
    assert decide(policy, "NotebookEdit", notebook_path=str(home / "work/a/claude-code.yaml")) is Approval.BLOCK


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf ~/.aegis",
        "rm -rf ~/.aegis; ls",
        "mv ~/.aegis ~/x",
        'rm -rf "$HOME/.aegis" && ls',
        "(cd ~/.aegis)",
        "cd ~/.aegis\nrm *",
        "ln -s ~/.aegis x",
        "cat /dev/null > $HOME/.aegis/claude-code.yaml",
        "cd / && sed -i s/block/auto/ home/u/.aegis/claude-code.yaml",
        "sqlite3 aegis_audit.db 'delete from records'",
        "cp x ~/.claude/settings.json",
        "jq 'del(.hooks)' .claude/settings.local.json | sponge .claude/settings.local.json",
        "python -c \"open('/home/me/.claude.json','w')\"",
        "aegis approvals approve 1234",
        "/usr/bin/aegis hook uninstall",
        "aegis  unwrap .mcp.json",
        "python3 -m aegis approvals approve 12",
        "'aegis' hook uninstall",
        "printf x | tee .mcp.json",
    ],
)
def test_a_shell_command_that_names_it_is_blocked(policy: Policy, command: str) -> None:
    assert decide(policy, "Bash", command=command) is Approval.BLOCK
    assert decide(policy, "PowerShell", command=command) is Approval.BLOCK


@pytest.mark.parametrize(
    "command",
    [
        'rm ~/.ae""gis/x',
        "rm ~/.ae''gis/x",
        "rm ~/.a'e'gis/x",
        "rm ~/.a\\egis.x",
        "rm -r ~/.aeg*",
        "rm -r ~/.[a]egis",
        "rm ~/.{aegis,x}/p",
        "rm $'\\x2eaegis'",
        "eval $(echo cm0gLXJm | base64 -d)",
        "x=aegiz; rm ~/.${x/z/s}",
        "rm -rf ~/.claude",
        "mv ~/.claude /tmp/x",
        "cd ~/.claude; ls",
        "rm settings.json",
        "find ~ -name 'claude-code*' -delete",
        "a=aegis; $a hook uninstall",
        "${A} hook uninstall",
        "rm -rf ~",
        'rm -rf "$HOME"/ ',
        "chmod -R 0 ${HOME}; ls",
    ],
)
def test_a_shell_command_that_may_hide_it_is_asked_about(policy: Policy, command: str) -> None:
    assert decide(policy, "Bash", command=command) is not Approval.AUTO


@pytest.mark.parametrize(
    "command",
    ["ls -la", "git status", "pytest -q tests", "pip install aegis-agents", "rg aegis src", "npm test -- --run 'a b'",
     "cat README.md | head", "git commit -m 'Add x'", "python -m pytest *.py", "cd aegis && make", "echo $HOME",
     "aegis test policies/x.aegis-test.yaml", "ls aegis/*.py", "rm ~/notes/a.txt", "cp $A b", "cd ~ && ls",
     "X=$Y make"],
)  # fmt: skip
def test_everyday_commands_are_left_to_the_client(policy: Policy, command: str) -> None:
    assert decide(policy, "Bash", command=command) is Approval.AUTO


def test_everyday_files_are_left_to_the_client(policy: Policy, home: Path) -> None:
    for path in (
        "work/a.py",
        "work/.vscode/settings.json",
        "work/aegis/policy.py",
        ".claude/plans/x.md",
        "new/deep/file",
    ):
        assert decide(policy, "Write", file_path=str(home / path), content="x") is Approval.AUTO, path
    assert decide(policy, "Read", file_path=str(home / ".aegis" / "claude-code.yaml")) is Approval.AUTO
    assert decide(policy, "Grep", pattern="x", path="../..") is Approval.AUTO
    assert decide(policy, "create_issue", "github", title="x") is Approval.AUTO


def test_it_passes_the_cage_rule_and_a_policy_without_its_rules_does_not(policy: Policy, home: Path) -> None:
    event = Event("PreToolUse", "s", "t", "Read", {}, None, None, interrupted=False, facts={"cwd": str(home / "work")})
    db = str(home / ".aegis" / "aegis_audit.db")
    assert writable(policy, db, event, agent="claude-code", user=None) is None
    asking = Policy.from_string('version: "1"\ndefaults: {approval: approve}')
    assert writable(asking, db, event, agent=None, user=None) is None
    reading = Policy.from_string('version: "1"\nrules:\n  - {name: r, match: {type: Read}, approval: auto}')
    assert writable(reading, db, event, agent=None, user=None) is None
    shell = Policy.from_string('version: "1"\nrules:\n  - {name: r, match: {type: Bash}, approval: auto}')
    found = writable(shell, db, event, agent=None, user=None)
    assert found is not None
    assert found[0] == "Bash"
    elsewhere = str(home / "other" / "trail.db")
    assert writable(policy, elsewhere, event, agent=None, user=None) == ("Write", elsewhere)


def test_a_trail_in_postgresql_and_odd_names_can_be_protected_too(home: Path) -> None:
    path = home / "it's [here]" / "a+b: c.yaml"
    text = draft(path, "postgresql://host/trail")
    policy = Policy.from_string(text)
    assert decide(policy, "Write", file_path=str(path), content="x") is Approval.BLOCK
    assert decide(policy, "Bash", command="rm 'a+b: c.yaml'") is Approval.BLOCK


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("Bash", [("Bash", "claude-code")]),
        ("mcp__github__create_issue", [("create_issue", "github")]),
        ("mcp__a__b__c", [("b__c", "a"), ("c", "a__b")]),
        ("mcp__a___b", [("_b", "a"), ("b", "a_")]),
        ("mcp__", [("mcp__", "claude-code")]),
        ("mcp__a__", [("mcp__a__", "claude-code")]),
        ("mcp____b", [("mcp____b", "claude-code")]),
    ],
)
def test_names_are_divided_in_every_way_they_can_be(name: str, read: list[tuple[str, str]]) -> None:
    assert readings(name) == read
