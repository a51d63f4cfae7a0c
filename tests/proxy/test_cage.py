"""What governs a server lies where the server cannot write, however the way there is spelled."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from aegis_mcp.proxy.cage import own_files, reachable

links = pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege on Windows")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A policy in ``tmp_path/home/aegis``; ``tmp_path/data`` is a folder elsewhere."""
    (tmp_path / "home" / "aegis").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    file = tmp_path / "home" / "aegis" / "policy.yaml"
    file.write_text("version: '1'\n")
    return file


def test_a_folder_elsewhere_is_no_breach(policy: Path, tmp_path: Path) -> None:
    assert reachable(["npx", "-y", "server", str(tmp_path / "data")], own_files([policy], "x.db")) == []


@pytest.mark.parametrize(
    "spelled",
    [
        "{home}/aegis",
        "{home}",
        "{home}/aegis/",
        "{home}/aegis/policy.yaml",
        "{home}/../home/aegis",
        "{data}/../home",
        "--allow={home}",
        "--allow=[{home}]",
        "-r{home}",
        "--allow={data},{home}",
        "--mount=type=bind,src={home},dst=/work",
        "{home}:/work:rw",
        "npx -y server '{home}'",
        "/",
    ],
)
def test_a_folder_around_the_policy_is_found_however_it_is_written(policy: Path, tmp_path: Path, spelled: str) -> None:
    word = spelled.format(home=tmp_path / "home", data=tmp_path / "data")
    assert [file for file, _ in reachable(["sh", "-c", word], [policy])] == [policy.resolve()]


def test_a_file_url_names_its_folder(policy: Path) -> None:
    assert reachable(["server", policy.parent.as_uri()], [policy])
    assert reachable(["server", policy.parent.as_uri().replace("file:", "FILE:")], [policy])


@pytest.mark.parametrize(
    "word", ["https://example.com/", "postgresql://user@host/db", "--url=http://localhost:80/", "a\0b"]
)
def test_an_address_is_not_a_folder(policy: Path, word: str) -> None:
    assert reachable(["server", word], [policy]) == []


def test_a_relative_folder_counts_from_where_the_server_starts(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "data")
    assert reachable(["server", "."], [policy]) == []
    assert reachable(["server", "../home"], [policy])
    monkeypatch.chdir(tmp_path)
    assert reachable(["server", "."], [policy])


def test_the_home_folder_is_found_by_its_short_names(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    for word in ("~", "~/aegis", "$HOME", "${HOME}/aegis", "--dir=~"):
        assert reachable(["server", word], [policy]), word


@links
def test_a_link_to_the_policys_folder_is_that_folder(policy: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(policy.parent)
    assert reachable(["server", str(tmp_path / "way")], [policy])


@links
def test_a_policy_reached_by_a_link_can_be_replaced_where_the_link_is(policy: Path, tmp_path: Path) -> None:
    link = tmp_path / "data" / "policy.yaml"
    link.symlink_to(policy)
    assert reachable(["server", str(tmp_path / "data")], [link])
    (tmp_path / "data" / "folder").symlink_to(policy.parent)
    assert reachable(["server", str(tmp_path / "data")], [tmp_path / "data" / "folder" / "policy.yaml"])


@links
def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert reachable(["server", str(tmp_path)], [tmp_path / "a" / "policy.yaml"])


def test_the_same_file_in_another_case_is_found_where_case_does_not_count(policy: Path, tmp_path: Path) -> None:
    other = str(policy.parent).replace("aegis", "AEGIS")
    assert bool(reachable(["server", other], [policy])) is Path(other).exists()


def test_files_that_are_not_there_yet_are_protected_by_their_folder(tmp_path: Path) -> None:
    assert reachable(["server", str(tmp_path)], [tmp_path / "later" / "aegis_audit.db"])


def test_a_file_that_is_not_there_yet_is_known_by_where_it_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for trail in (tmp_path / "aegis_audit.db", "aegis_audit.db"):
        for word in (str(tmp_path / "aegis_audit.db"), "--db=aegis_audit.db", "./aegis_audit.db"):
            assert reachable(["server", word], [trail]), word
        assert reachable(["server"], [trail], environment={"DB": str(tmp_path / "aegis_audit.db")})
        for word in (str(tmp_path / "other.db"), "elsewhere/aegis_audit.db", str(tmp_path / "gone" / "aegis_audit.db")):
            assert reachable(["server", word], [trail]) == [], word


def test_what_is_ours_is_the_policy_its_lock_the_trail_and_its_key(
    policy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AEGIS_KEY_FILE", str(tmp_path / "key"))
    names = {file.name for file in own_files([policy], str(tmp_path / "t.db"))}
    locks = {"aegis.lock", "aegis.lock.seen", "aegis.lock.turn"}
    assert names == {"policy.yaml", *locks, "t.db", "t.db-wal", "t.db.key", "t.db.lock", "key"}
    assert own_files([], "postgresql://host/db") == [tmp_path / "key"]


def test_a_variable_that_names_a_file_of_ours_counts_and_a_folder_does_not(policy: Path, tmp_path: Path) -> None:
    folder = {"HOME": str(tmp_path / "home"), "PWD": os.sep}
    assert reachable(["server"], [policy], environment=folder) == []
    assert reachable(["server"], [policy], environment={"MEMORY_FILE_PATH": str(policy)})
