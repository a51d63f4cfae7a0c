"""Lines out of pipes and into pipes, real ones: whole, in order, and held up where they do not get away."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import IO, TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.errors import AegisError
from aegis_mcp.proxy import pipes
from aegis_mcp.proxy.pipes import Lines, Outlet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="os.pipe() is no use to asyncio there")


def unbuffered(file: Path | int, mode: str) -> IO[bytes]:
    """As asyncio wants its pipes. Whoever reads it closes it."""
    return (
        os.fdopen(file, mode, buffering=0) if isinstance(file, int) else cast("IO[bytes]", file.open(mode, buffering=0))
    )


async def until(condition: Callable[[], object]) -> None:
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came")


async def reading(taken: list[bytes]) -> tuple[Lines, int]:
    """Lines that end up in a list, and the descriptor to write to."""
    theirs, ours = os.pipe()
    lines = Lines(taken.append)
    await lines.read(unbuffered(theirs, "rb"))
    return lines, ours


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"\n", b"a\nb", b"\r\n", b" \n"]), max_size=12))
def test_however_the_bytes_come_the_lines_are_the_same(chunks: list[bytes]) -> None:
    async def cut() -> list[bytes]:
        taken: list[bytes] = []
        lines = Lines(taken.append)
        for chunk in chunks:
            lines.data_received(chunk)
        lines.connection_lost(None)
        assert lines.ended.done()
        return taken

    expected = [line + b"\n" for line in b"".join(chunks).split(b"\n") if line.strip()]
    assert asyncio.run(cut()) == expected


async def test_lines_are_handed_over_as_they_come_and_the_last_may_lack_its_end() -> None:
    taken: list[bytes] = []
    lines, fd = await reading(taken)
    os.write(fd, b'{"a":1}\n\n{"b"')
    await until(lambda: taken)
    assert taken == [b'{"a":1}\n']
    os.write(fd, b":2}")
    os.close(fd)
    await asyncio.wait_for(lines.ended, 20)
    assert taken == [b'{"a":1}\n', b'{"b":2}\n']


async def test_a_line_that_is_too_long_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "MAX_BYTES", 100)
    taken: list[bytes] = []
    lines, fd = await reading(taken)
    os.write(fd, b"x" * 90)
    await asyncio.sleep(0.01)
    os.write(fd, b"x" * 20)
    with pytest.raises(AegisError, match="is longer than"):
        await asyncio.wait_for(lines.ended, 20)
    os.close(fd)
    assert taken == []


async def test_what_goes_wrong_with_a_line_ends_the_reading() -> None:
    def take(_line: bytes) -> None:
        raise KeyError("a bug")

    theirs, ours = os.pipe()
    lines = Lines(take)
    await lines.read(unbuffered(theirs, "rb"))
    os.write(ours, b"one\ntwo\n")
    with pytest.raises(KeyError):
        await asyncio.wait_for(lines.ended, 20)
    os.close(ours)


async def test_plain_files_are_read_and_written_too(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"one\ntwo")
    outlet = Outlet()
    await outlet.open(unbuffered(tmp_path / "out", "wb"))
    lines = Lines(outlet.write)
    outlet.holds_up(lines)
    await lines.read(unbuffered(tmp_path / "in", "rb"))
    assert lines.ended.done()
    await outlet.close(grace=20)
    assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"


async def test_who_does_not_read_holds_up_who_writes_and_nothing_is_lost() -> None:
    lines, fd = await reading([])
    nobody_reads, ours = os.pipe()
    outlet = Outlet()
    await outlet.open(unbuffered(ours, "wb"))
    outlet.holds_up(lines)
    lines.take = outlet.write
    os.set_blocking(fd, False)
    line, written = b"x" * 1023 + b"\n", 0
    for _ in range(100):
        await asyncio.sleep(0)
        try:
            while True:
                written += os.write(fd, line)
        except BlockingIOError:
            continue
    held = written
    assert held < 1024 * 1024, "it would have taken everything"
    os.set_blocking(nobody_reads, False)
    got = b""
    while len(got) < written:
        await asyncio.sleep(0)
        try:
            got += os.read(nobody_reads, 1 << 20)
        except BlockingIOError:
            continue
    assert got == line * (written // 1024) + line[: written % 1024]
    lines.close()
    await outlet.close(grace=20)
    os.close(fd)
    os.close(nobody_reads)


async def test_when_the_reader_has_gone_what_held_up_goes_on_and_writing_is_no_error() -> None:
    lines, fd = await reading([])
    nobody_reads, ours = os.pipe()
    outlet = Outlet()
    await outlet.open(unbuffered(ours, "wb"))
    outlet.holds_up(lines)
    outlet.write(b"x" * 300_000)  # more than the pipe holds
    taken: list[bytes] = []
    lines.take = taken.append
    os.write(fd, b"one\n")
    for _ in range(20):
        await asyncio.sleep(0)
    assert taken == []
    os.close(nobody_reads)
    await until(lambda: taken)
    outlet.write(b"nobody hears it\n")
    lines.close()
    await outlet.close(grace=20)
    os.close(fd)
