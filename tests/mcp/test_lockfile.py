"""The lock file: what it keeps it gives back, what it shows is all there is, and what cannot be trusted is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.errors import AegisError
from aegis_core.text import visible
from aegis_mcp.pinning.changes import changes
from aegis_mcp.pinning.definition import Definition, definition_of, definitions_of
from aegis_mcp.pinning.lockfile import LockFile
from tests.core.policy.strategies import examples

if TYPE_CHECKING:
    from pathlib import Path

ADD = {
    "name": "add",
    "description": "Adds.\nTwo numbers.",
    "inputSchema": {"type": "object", "b": 1, "a": [2, {"d": None}]},
}


def put(file: LockFile, server: str, *tools: dict[str, Any]) -> None:
    found = {name: them[0] for name, them in definitions_of(tools).items()}
    file.edit(server, lambda _: found)


def contents(file: LockFile) -> dict[str, Any]:
    return {server: [tool.content for tool in tools.values()] for server, tools in file.read().servers.items()}


text = st.text(st.characters(), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
tools = st.dictionaries(text, values, max_size=4).flatmap(
    lambda rest: st.fixed_dictionaries(
        {"name": text}, optional={"description": text | values, "inputSchema": values, "title": text}
    ).map(lambda tool: {**rest, **tool})
)


@examples(25)
@given(st.dictionaries(text, st.lists(tools, max_size=3), max_size=2))
def test_whatever_a_server_says_is_given_back_and_every_character_shows_itself(
    tmp_path_factory: Any, servers: Any
) -> None:
    file = LockFile(tmp_path_factory.mktemp("lock") / "aegis.lock")
    for server, listed in servers.items():
        put(file, server, *listed)
    again = LockFile(file.path)
    for server, listed in servers.items():
        kept = again.read().of(server)
        assert kept == {name: them[0] for name, them in definitions_of(listed).items()}
        assert [tool.content for tool in kept.values()] == [
            them[0].content for _, them in sorted(definitions_of(listed).items())
        ]
    if servers:
        assert all(visible(line) == line for line in file.path.read_text("utf-8").split("\n"))


def test_it_reads_like_text_made_for_review(tmp_path: Path) -> None:
    file = LockFile(tmp_path / "aegis.lock")
    put(file, "maths", {**ADD, "description": "Adds.\nTwo nümbers.\u202e\u200b\x7f\U000e0041"})
    assert (
        file.path.read_text("utf-8")
        == textwrap.dedent("""\
        {
          "aegis_lock": 1,
          "servers": {
            "maths": {
              "add": {
                "digest": "%s",
                "description": [
                  "Adds.",
                  "Two nümbers.\\u202e\\u200b\\u007f\\udb40\\udc41"
                ],
                "definition": {
                  "inputSchema": {
                    "a": [
                      2,
                      {
                        "d": null
                      }
                    ],
                    "b": 1,
                    "type": "object"
                  }
                }
              }
            }
          }
        }
        """)
        % file.read().servers["maths"]["add"].digest
    )
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["aegis.lock", "aegis.lock.turn"]


def test_the_digest_is_of_the_meaning_not_of_the_order() -> None:
    turned = {key: ADD[key] for key in reversed(ADD)}
    assert definition_of(turned) == definition_of(ADD)
    assert definition_of({**ADD, "x": None}) != definition_of(ADD)
    assert definition_of({**ADD, "x": 1}) != definition_of({**ADD, "x": True})
    assert definition_of({**ADD, "x": "1"}) != definition_of({**ADD, "x": 1})


@pytest.mark.parametrize("tool", [{}, {"name": 1}, {"name": "x", "inputSchema": float("nan")}])
def test_what_cannot_be_pinned_is_refused(tool: Any) -> None:
    with pytest.raises(AegisError, match="cannot be pinned"):
        Definition(tool)


def test_a_definition_nested_too_deep_is_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(AegisError, match="cannot be pinned"):
        Definition({"name": "x", "inputSchema": deep})


def damaged(document: Any = None, *, digest: str | None = None, **entry: Any) -> str:
    made = definition_of({"name": "t", **entry})
    tool = {"digest": digest or made.digest, "definition": entry}
    return json.dumps(document if document is not None else {"aegis_lock": 1, "servers": {"s": {"t": tool}}})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is damaged: Expecting value"),
        (b"\xff", "is damaged: it is not UTF-8"),
        (b"[1]", "is damaged: the file: must be a mapping, got a list"),
        (b"{}", "is damaged: aegis_lock: missing key 'aegis_lock'"),
        (b'{"aegis_lock": 2, "servers": {}}', "is of version 2, and this Aegis knows version 1"),
        (b'{"aegis_lock": 1, "aegis_lock": 1, "servers": {}}', "the key 'aegis_lock' is there twice"),
        (b'{"aegis_lock": 1, "servers": {"s": {"t": {}, "t": {}}}}', "the key 't' is there twice"),
        (b'{"aegis_lock": 1, "servers": {}, "more": 1}', "is damaged: more: unknown key 'more'"),
        (b'{"aegis_lock": 1, "servers": {"s": {"t": {"digest": "md5:1", "definition": {}}}}}', "be sha256: and 64"),
        (b'{"aegis_lock": 1, "servers": {"s": {"t": {"digest": 1, "definition": {"a": NaN}}}}}', "NaN is not JSON"),
        (b'{"aegis_lock": 1, "servers": ' + b"[" * 100_000, "is damaged"),
        (damaged(digest="sha256:" + "0" * 64).encode(), "does not have the digest beside it"),
        (b"<<<<<<< ours\n", "is damaged: Expecting value"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_trusted_is_refused_in_a_sentence(tmp_path: Path, data: bytes, why: str) -> None:
    file = LockFile(tmp_path / "aegis.lock")
    file.path.write_bytes(data)
    for work in (file.read, lambda: put(file, "s", ADD)):
        with pytest.raises(AegisError) as raised:
            work()
        assert str(raised.value).startswith(f"the lock file {str(file.path)!r} ")
        assert why in str(raised.value)
    assert file.path.read_bytes() == data


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_or_what_is_no_file_is_refused(tmp_path: Path) -> None:
    elsewhere = LockFile(tmp_path / "elsewhere")
    put(elsewhere, "s", ADD)
    (tmp_path / "link").symlink_to(elsewhere.path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, why in (
        ("link", "it is a symbolic link"),
        ("folder", "is no regular file"),
        ("pipe", "is no regular file"),
    ):
        for work in (LockFile(tmp_path / name).read, lambda name=name: put(LockFile(tmp_path / name), "s")):
            with pytest.raises(AegisError, match=why):
                work()
    assert contents(elsewhere) == {"s": [ADD]}


def test_a_file_that_was_edited_by_hand_is_read_again(tmp_path: Path) -> None:
    file = LockFile(tmp_path / "aegis.lock")
    assert not file.changed()
    put(file, "s", ADD)
    assert not file.changed()
    other = LockFile(file.path)
    put(other, "t", ADD)
    assert file.changed()
    assert sorted(contents(file)) == ["s", "t"]
    file.path.unlink()
    assert file.changed()
    assert contents(file) == {}


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from aegis_mcp.pinning.definition import definition_of
        from aegis_mcp.pinning.lockfile import LockFile
        file = LockFile(Path(sys.argv[1]))
        for number in range(6):
            tool = definition_of({"name": f"{sys.argv[2]} t{number}"})
            for server in (sys.argv[2], "shared"):
                file.edit(server, lambda before: {**(before or {}), tool.name: tool})
    """)
    path = tmp_path / "aegis.lock"
    processes = [subprocess.Popen([sys.executable, "-c", program, str(path), f"s{n}"]) for n in range(4)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
    servers = LockFile(path).read().servers
    counts = {name: len(tools) for name, tools in servers.items()}
    assert counts == {"s0": 6, "s1": 6, "s2": 6, "s3": 6, "shared": 24}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["aegis.lock", "aegis.lock.turn"]


@pytest.mark.skipif(sys.platform == "win32", reason="kills with a signal")
def test_a_process_that_is_killed_while_it_writes_leaves_a_whole_file(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from aegis_mcp.pinning.definition import definition_of
        from aegis_mcp.pinning.lockfile import LockFile
        file = LockFile(Path(sys.argv[1]))
        number = len(file.read().of("s") or {})
        print(number, flush=True)
        while True:
            number += 1
            tool = definition_of({"name": f"t{number}", "description": "x" * 5000})
            file.edit("s", lambda before: {**(before or {}), tool.name: tool})
            print(number, flush=True)
    """)
    path = tmp_path / "aegis.lock"
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [int(process.stdout.readline()) for _ in range(5)]
            process.kill()
        assert len(LockFile(path).read().of("s") or {}) >= said[-1]
    put(LockFile(path), "t", ADD)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["aegis.lock", "aegis.lock.turn"]


def test_a_difference_shows_what_does_not_show_itself() -> None:
    before = {"add": definition_of(ADD), "gone": definition_of({"name": "gone"})}
    hidden = {**ADD, "description": "Adds.\n\u202e\x1b[2KTwo numbers.\U000e0049", "title": "A\nB"}
    listed = definitions_of(
        [hidden, {"name": "new", "description": "x\ry"}, {"name": "two"}, {"name": "two", "title": "2"}]
    )
    found = changes(before, listed)
    assert [change.headline for change in found] == [
        "add: changed (title, description)", "new: new", "two: listed 2 times with different definitions",
        "gone: not listed any more",
    ]  # fmt: skip
    lines = [line for change in found for line in change.diff()]
    assert lines[:8] == ["@@ title @@", "+ A", "+ B", "@@ description @@", "  Adds.", "- Two numbers.",
                         "+ \\u202e\\e[2KTwo numbers.\\U000e0049", "+ description: x\\ry"]  # fmt: skip
    assert all(line == visible(line) for line in lines)
