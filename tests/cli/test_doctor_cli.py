"""``aegis doctor`` on servers that are well, and on every way in which they are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.commands import typed

if TYPE_CHECKING:
    from pathlib import Path

SERVER = """
import json, sys
tools = [{"name": name, "description": sys.argv[2] if len(sys.argv) > 2 else "", "inputSchema": {"type": "object",
          "properties": {"path": {"type": "string"}}}} for name in sys.argv[1].split(",")]
for line in sys.stdin:
    message = json.loads(line)
    result = {"tools": tools} if message["method"] == "tools/list" else {"protocolVersion": "2025-11-25",
              "capabilities": {"tools": {}}, "serverInfo": {"name": "tiny", "version": "1"}}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""
POLICY = """
version: "1"
rules:
  - {name: look, match: {type: [read, list], target: tiny}, approval: auto}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with Aegis's files, one with settings, and a server that lists the tools it is told to."""
    for name in ("aegis", "client", "server"):
        (tmp_path / name).mkdir()
    (tmp_path / "aegis" / "policy.yaml").write_text(POLICY)
    (tmp_path / "server" / "tiny.py").write_text(SERVER)
    return tmp_path


def aegis(place: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return typed(place / "client", *words, home=place, **variables)


def entry(place: Path, *words: str) -> dict[str, Any]:
    return {"command": sys.executable, "args": [str(place / "server" / "tiny.py"), *(words or ("read,list",))]}


def settings(place: Path, *options: str, **entries: Any) -> Path:
    """Settings with these servers, wrapped."""
    file = place / "client" / "mcp.json"
    file.write_text(json.dumps({"mcpServers": entries}))
    aegis(place, "wrap", str(file), "--policy", str(place / "aegis" / "policy.yaml"), *options)
    return file


def examine(place: Path, *words: str, **variables: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and what was found of the only server: state and sentence by what was looked at."""
    ran = aegis(place, "doctor", *words, "--json", **variables)
    assert ran.stdout, ran.stderr
    report = json.loads(ran.stdout)
    assert report["ok"] is (ran.returncode == 0)
    found = report["servers"][-1]["findings"]
    return ran.returncode, {finding["check"]: (finding["state"], finding["said"]) for finding in found}


def test_a_server_that_is_well(place: Path) -> None:
    file = settings(place, tiny=entry(place))
    code, found = examine(place, str(file))
    assert code == 0, found
    assert {state for state, _ in found.values()} == {"ok", "note"}
    assert found["server"] == ("ok", "2 tools, tiny")
    assert found["proxy"] == ("ok", "the client sees all of them")
    assert "will be made" in found["trail"][1]
    assert "will be pinned" in found["lock"][1]
    assert not (place / "aegis" / "aegis.lock").exists(), "looking pins nothing"
    shown = aegis(place, "doctor", str(file))
    assert shown.returncode == 0
    assert "ok       server        2 tools, tiny" in shown.stdout


def test_a_server_by_its_command(place: Path) -> None:
    words = ["--policy", str(place / "aegis" / "policy.yaml"), "--server", "tiny", "--json", "--"]
    ran = aegis(place, "doctor", *words, sys.executable, str(place / "server" / "tiny.py"), "read,write")
    assert ran.returncode == 0, ran.stdout
    found = {finding["check"]: finding for finding in json.loads(ran.stdout)["servers"][0]["findings"]}
    assert found["default"]["said"] == "no rule speaks of write: the default decides (block)"


def test_rules_that_match_nothing_and_servers_of_another_name_are_told(place: Path) -> None:
    code, found = examine(place, str(settings(place, tiny=entry(place, "reed"))))
    assert code == 1
    assert found["rules"][0] == "problem"
    code, found = examine(place, str(settings(place, other=entry(place))))
    assert code == 1
    assert found["rules"] == ("problem", "every tool of 'other' is blocked")


def test_a_server_that_does_not_start_or_does_not_answer(place: Path) -> None:
    broken = {"command": sys.executable, "args": ["-c", "raise SystemExit('no database')"]}
    code, found = examine(place, str(settings(place, tiny=broken)))
    assert (code, found["server"][0]) == (3, "failed")
    assert "no database" in found["server"][1]
    code, found = examine(place, str(settings(place, tiny={"command": "no-such-program"})))
    assert (code, found["command"][0]) == (3, "failed")
    silent = {"command": sys.executable, "args": ["-c", "import time; time.sleep(60)"]}
    code, found = examine(place, str(settings(place, tiny=silent)), "--timeout", "1")
    assert (code, "within 1 s" in found["server"][1]) == (3, True)


def test_an_aegis_that_is_gone(place: Path) -> None:
    file = settings(place, tiny=entry(place))
    data = json.loads(file.read_text())
    data["mcpServers"]["tiny"]["command"] = str(place / "bin" / "aegis")
    file.write_text(json.dumps(data))
    code, found = examine(place, str(file))
    assert (code, found["aegis"][0]) == (3, "failed")


def test_a_policy_that_does_not_load(place: Path) -> None:
    file = settings(place, tiny=entry(place))
    (place / "aegis" / "policy.yaml").write_text("rules: 7")
    code, found = examine(place, str(file))
    assert (code, found["policy"][0]) == (1, "problem")
    assert "server" not in found


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_trail_whose_folder_is_not_there(place: Path) -> None:
    command = ("--policy", str(place / "aegis" / "policy.yaml"), "--db", str(place / "nowhere" / "trail.db"))
    code, found = examine(place, *command, "--json", "--", "no-such-server")
    assert (code, found["trail"][0]) == (3, "failed")
    assert "there is no folder" in found["trail"][1]


def test_a_trail_that_others_can_read_or_that_is_none(place: Path) -> None:
    file = settings(place, tiny=entry(place))
    trail = place / "aegis" / "aegis_audit.db"
    assert aegis(place, "db", "upgrade", "--db", str(trail)).returncode == 0
    assert examine(place, str(file))[1]["trail"] == ("ok", str(trail))
    trail.chmod(0o644)
    code, found = examine(place, str(file))
    assert (code, found["trail"][0]) == (1, "problem")
    assert str(trail) in found["trail"][1]
    trail.write_text("something else " * 100)
    code, found = examine(place, str(file))
    assert (code, found["trail"][0]) == (3, "failed")


def test_the_cage_rule(place: Path) -> None:
    near = entry(place, "read,list", str(place / "aegis"))
    file = settings(place, "--allow-writable-policy", tiny=near)
    code, found = examine(place, str(file))
    assert code == 0, found
    assert found["cage"][0] == "note"
    assert "that is allowed" in found["cage"][1]
    text = file.read_text()
    file.write_text(text.replace('"--allow-writable-policy", ', ""))
    assert file.read_text() != text
    code, found = examine(place, str(file))
    assert (code, found["cage"][0]) == (1, "problem")
    assert "could rewrite what governs them" in found["cage"][1]
    by_settings = entry(place, "read,list", str(place / "client"))
    file.write_text(json.dumps({"mcpServers": {"tiny": by_settings}}))
    wrapped = settings(place, "--allow-writable-policy", tiny=by_settings)
    assert examine(place, str(wrapped))[1]["cage"][0] == "note"


def test_tools_that_changed_since_they_were_accepted(place: Path) -> None:
    words = ["--policy", str(place / "aegis" / "policy.yaml"), "--server", "tiny", "--"]
    accepted = aegis(place, "tools", "accept", "--yes", *words, *map(str, [sys.executable, *entry(place)["args"]]))
    assert accepted.returncode == 0, accepted.stderr
    lock = (place / "aegis" / "aegis.lock").read_bytes()
    file = settings(place, tiny=entry(place))
    assert examine(place, str(file))[1]["lock"][0] == "ok"
    code, found = examine(place, str(settings(place, tiny=entry(place, "read,list", "another description"))))
    assert (code, found["proxy"][0]) == (1, "problem")
    assert "keeps read, list from the client" in found["proxy"][1]
    assert (place / "aegis" / "aegis.lock").read_bytes() == lock


def test_servers_that_are_not_governed_are_told(place: Path) -> None:
    file = settings(place, tiny=entry(place), web={"url": "https://example.com/mcp"})
    ran = aegis(place, "doctor", str(file))
    assert ran.returncode == 1
    assert "not governed: it is reached over HTTP" in ran.stdout
    assert aegis(place, "doctor", str(file), "--server", "tiny").returncode == 0
    aegis(place, "unwrap", str(file))
    ran = aegis(place, "doctor", str(file), "--server", "tiny")
    assert (ran.returncode, "see aegis wrap" in ran.stdout) == (1, True)


def test_variables_are_filled_in_as_far_as_they_are_known(place: Path) -> None:
    file = settings(place, tiny={"command": "${MY_PYTHON}", "args": ["${env:MY_SERVER}", "read,list"]})
    known = {"MY_PYTHON": sys.executable, "MY_SERVER": str(place / "server" / "tiny.py")}
    assert examine(place, str(file), **known)[0] == 0
    file = settings(place, tiny={"command": sys.executable, "args": ["${workspaceFolder}/x.py"]})
    code, found = examine(place, str(file))
    assert code == 0
    assert "only the client can fill in" in found["tools"][1]


def test_a_strangers_distribution_of_our_name_is_told(place: Path) -> None:
    info = place / "site" / "aegis_core-9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aegis-core\nVersion: 9\n")
    (info / "top_level.txt").write_text("aegis_core\n")
    file = settings(place, tiny=entry(place))
    ran = subprocess.run(
        [sys.executable, "-m", "aegis", "doctor", str(file)],
        env={**os.environ, "PYTHONPATH": str(place / "site")}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "belongs to the distribution aegis-core too" in ran.stdout


def test_what_cannot_be_used_is_said_in_a_sentence(place: Path) -> None:
    for words, said in (
        ([], "say what to look at"),
        (["npx", "x"], "give the --policy"),
        (["gone.json"], "there is no such file"),
        (["--policy", "p", "--server", "a", "--server", "b", "--", "x"], "one server"),
    ):
        ran = aegis(place, "doctor", *words)
        assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr
