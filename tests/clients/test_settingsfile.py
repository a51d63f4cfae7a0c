"""A settings file is replaced as a whole, or not at all."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from aegis.clients.settingsfile import SettingsFile
from aegis_core.errors import AegisError

if TYPE_CHECKING:
    from pathlib import Path


def test_somebody_elses_change_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("{}")
    file = SettingsFile.read(path)
    path.write_text('{"theirs": 1}')
    with pytest.raises(AegisError, match="changed by another program just now; run the command again"):
        file.replace(b"ours")
    assert path.read_text() == '{"theirs": 1}'
    assert [found.name for found in tmp_path.iterdir()] == ["settings.json"]


def test_a_file_that_somebody_made_meanwhile_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.json"
    file = SettingsFile.read(path, missing="{}")
    assert file.text == "{}"
    path.parent.mkdir()
    path.write_text('{"theirs": 1}')
    with pytest.raises(AegisError, match="changed by another program"):
        file.replace(b"ours")
    assert path.read_text() == '{"theirs": 1}'


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("{}")
    file = SettingsFile.read(path)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(AegisError, match="cannot be written: Permission denied"):
            file.replace(b"ours")
    finally:
        tmp_path.chmod(0o700)
    assert path.read_text() == "{}"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_file_that_its_owner_made_read_only_is_left(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("{}")
    path.chmod(0o400)
    file = SettingsFile.read(path)
    for write in (file.keep, lambda: file.replace(b"ours")):
        with pytest.raises(AegisError, match="it is read-only"):
            write()
    assert [found.name for found in tmp_path.iterdir()] == ["settings.json"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only the superuser may give a file away")
def test_the_owner_stays_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("{}")
    os.chown(path, 12345, 12345)
    path.chmod(0o604)
    SettingsFile.read(path).replace(b"[]")
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (12345, 12345, 0o604)
