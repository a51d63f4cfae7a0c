"""What ``aegis proxy``, and the other commands before a server's command, say of options that cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import typed

if TYPE_CHECKING:
    from pathlib import Path

HTTP = ("--http", "--listen", "127.0.0.1:0", "--upstream")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text('version: "1"\n')
    return tmp_path


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("proxy", "--polcy", "x", "--", "server"), "No such option '--polcy'"),
        (("proxy", "--policy", "policy.yaml", "--obs", "--", "server"), "No such option '--obs'"),
        (("init", "--ouput", "x", "--", "server"), "No such option '--ouput'"),
        (("tools", "diff", "--polcy", "x", "--", "server"), "No such option '--polcy'"),
        (("tools", "accept", "--tols", "x", "--", "server"), "No such option '--tols'"),
        (("doctor", "--polcy", "x", "--", "server"), "No such option '--polcy'"),
    ],
)
def test_a_mistyped_option_is_no_servers_command(home: Path, words: tuple[str, ...], sentence: str) -> None:
    ran = typed(home, *words, home=home)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert sentence in ran.stderr
    assert [file.name for file in home.iterdir()] == ["policy.yaml"]


@pytest.mark.parametrize("before", [(), ("--",)])
def test_what_stands_behind_the_servers_command_is_the_servers(home: Path, before: tuple[str, ...]) -> None:
    ran = typed(home, "proxy", "--policy", "policy.yaml", *before, "no-such-server", "--polcy", "--help", home=home)
    assert ran.returncode == 1
    assert "'no-such-server' was not found" in ran.stderr


@pytest.mark.parametrize(
    "url", ["http://[::1/mcp", "http://h:port/mcp", "http://h:99999/", "ftp://h/", "http://u:p@h/", "http://", "h", ""]
)
def test_an_upstream_that_is_no_servers_address_is_said_in_a_sentence(home: Path, url: str) -> None:
    ran = typed(home, "proxy", "--policy", "policy.yaml", *HTTP, url, home=home)
    assert ran.returncode == 2
    assert "--http needs --upstream URL" in ran.stderr


def test_http_with_a_command_is_told_that_it_takes_none(home: Path) -> None:
    ran = typed(home, "proxy", "--policy", "policy.yaml", "--http", "--", "server", home=home)
    assert ran.returncode == 2
    assert "give no command" in ran.stderr


@pytest.mark.parametrize(
    ("db", "why"), [("nowhere/trail.db", "there is no folder"), ("policy.yaml", "it is some other file")]
)
def test_a_trail_that_cannot_be_one_is_said_before_the_server_starts(home: Path, db: str, why: str) -> None:
    ran = typed(home, "proxy", "--policy", "policy.yaml", "--db", db, "--", "no-such-server", home=home)
    assert ran.returncode == 3
    assert f"{db!r} cannot be used as the audit trail" in ran.stderr
    assert why in ran.stderr
    assert [file.name for file in home.iterdir()] == ["policy.yaml"]


def test_a_file_that_is_no_program_is_told_from_one_that_is_not_there(home: Path) -> None:
    ran = typed(home, "proxy", "--policy", "policy.yaml", "--", "./policy.yaml", home=home)
    assert ran.returncode == 1
    assert "'./policy.yaml' is no program, or may not be run" in ran.stderr
