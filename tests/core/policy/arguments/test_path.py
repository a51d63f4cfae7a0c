"""param_path against the standard library, and against a real file system."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.policy.arguments import PathCondition, PathSpec
from aegis_core.policy.arguments.path_text import _PLAIN_POSIX, _doubts, path_problem
from aegis_core.policy.reading import read

if TYPE_CHECKING:
    from pathlib import Path

PARTS = st.sampled_from(
    [
        "a",
        "data",
        "Data",
        ".",
        "..",
        "...",
        "",
        "~",
        "%2e%2e",
        "x.csv",
        ".x",
        "a b",
        " ",
        "$HOME",
        "*",
        "b..c",
        "c:",
        "\\",
        "．．",
    ]
)
PATHS = st.builds(
    lambda lead, parts: lead + "/".join(parts),
    st.sampled_from(["", "/", "//", "/data/", "~"]),
    st.lists(PARTS, max_size=6),
)


def condition(**spec: Any) -> PathCondition:
    return PathCondition(read(PathSpec, spec))


@given(PATHS | st.text(max_size=30))
def test_what_lies_under_a_folder_lies_under_it_for_the_standard_library_too(path: str) -> None:
    if condition(under="/data").judge(path) is True:
        normal = posixpath.normpath(path)
        assert posixpath.commonpath(["/data", normal]) == "/data"
        assert ".." not in path.split("/")


@given(PATHS | st.text(alphabet="a./ ~%$*[{\\:\0é-_", max_size=20))
def test_the_shortcut_for_plain_paths_passes_nothing_that_has_a_doubt(path: str) -> None:
    if _PLAIN_POSIX.fullmatch(path):
        assert _doubts("posix").search(path) is None
        assert path.isprintable()


@given(PATHS, PATHS)
def test_a_base_is_the_same_as_writing_it_in_front(base: str, path: str) -> None:
    if not base.startswith("/") or path_problem(base, "posix") or path.startswith("/") or path_problem(path, "posix"):
        return
    joined = condition(under="/data", base=base).judge(path)
    assert joined is condition(under="/data").judge(f"{base}/{path}" if not base.endswith("/") else base + path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tmp_path = tmp_path.resolve()
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "data" / "a.txt").write_text("a")
    (tmp_path / "secret" / "key.txt").write_text("k")
    (tmp_path / "data" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "data" / "key").symlink_to(tmp_path / "secret" / "key.txt")
    (tmp_path / "data" / "in").symlink_to(tmp_path / "data" / "sub")
    (tmp_path / "data" / "dangling").symlink_to(tmp_path / "secret" / "new.txt")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data" / "loop")
    (tmp_path / "door").symlink_to(tmp_path / "data")
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="making links needs rights there")
@pytest.mark.parametrize(
    ("path", "truth"),
    [
        ("data", True),
        ("data/a.txt", True),
        ("data/in", True),
        ("data/in/new.txt", True),
        ("data/new.txt", True),
        ("data/new/deeper/file.txt", True),
        ("data/out", None),
        ("data/out/key.txt", None),
        ("data/out/new.txt", None),
        ("data/key", None),
        ("data/dangling", None),
        ("data/dangling/x", None),
        ("data/loop", None),
        ("data/loop/x", None),
        ("data/a.txt/x", None),
        ("data/out/../a.txt", None),
        ("secret/key.txt", False),
        ("door/a.txt", None),
        ("elsewhere/x", False),
    ],
)
def test_with_resolve_links_are_followed_and_both_paths_must_agree(tree: Path, path: str, truth: bool | None) -> None:
    test = condition(under=str(tree / "data"), resolve=True)
    assert test.judge(f"{tree}/{path}") is truth
    assert condition(under=str(tree / "data"), resolve=True, base=str(tree)).judge(path) is truth


@pytest.mark.skipif(os.name == "nt", reason="making links needs rights there")
def test_with_resolve_a_folder_that_is_a_link_itself_stands_for_where_it_leads(tree: Path) -> None:
    test = condition(under=str(tree / "door"), resolve=True)
    assert test.judge(f"{tree}/door/a.txt") is True
    assert test.judge(f"{tree}/secret/key.txt") is False
    assert test.judge(f"{tree}/data/a.txt") is None


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_with_resolve_a_folder_that_may_not_be_read_is_undecided(tree: Path) -> None:
    (tree / "data" / "sub").chmod(0)
    assert condition(under=str(tree / "data"), resolve=True).judge(f"{tree}/data/sub/x/y") is None
    (tree / "data" / "sub").chmod(0o700)


def test_with_resolve_a_relative_path_needs_a_base() -> None:
    style = "windows" if os.name == "nt" else "posix"
    assert condition(name="a.txt", resolve=True, style=style).judge("a.txt") is None


def test_resolve_is_for_paths_of_this_machine() -> None:
    with pytest.raises(ValueError, match="resolve follows links on this machine"):
        condition(name="x", resolve=True, style="posix" if os.name == "nt" else "windows")


def test_without_resolve_the_file_system_is_not_asked(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise AssertionError("the file system was asked")

    for name in ("stat", "lstat", "readlink", "getcwd"):
        monkeypatch.setattr(os, name, fail)
    assert condition(under="/data", base="/data").judge("a.txt") is True


def test_a_path_that_does_not_fit_its_folders_is_undecided_without_a_base() -> None:
    assert condition(under="/data").judge("data/x") is None
    assert condition(under="data").judge("/data/x") is None
    assert condition(under="data", base="/srv").judge("data/x") is True
    assert condition(under="data", base="/srv").judge("/srv/data/x") is True
