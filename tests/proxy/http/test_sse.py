"""Server-sent events are read as the specification says, however the bytes come."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_mcp.proxy.http import sse
from aegis_mcp.proxy.http.sse import Events

STREAM = (
    b"\xef\xbb\xbfid: 1\r\ndata: \r\n\r\n: ping\n\n"
    b'event: message\rdata: {"a":\rdata:1}\r\rretry: 5\ndata:x\nid: 2\n\ndata: cut'
)


def read(pieces: list[bytes]) -> list[tuple[bytes | None, bytes, bool]]:
    events = Events()
    return [(event.data, event.kind, event.resumable) for piece in pieces for event in events.feed(piece)]


@given(st.lists(st.integers(0, len(STREAM))))
def test_it_does_not_matter_how_the_bytes_are_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(places)]
    assert read(pieces) == [
        (b"", b"", True),
        (None, b"", False),
        (b'{"a":\n1}', b"message", False),
        (b"x", b"", True),
    ]


def test_an_event_leaves_as_it_was_read() -> None:
    events = Events().feed(STREAM)
    assert b"".join(event.render() for event in events) == (
        b'id: 1\ndata: \n\n: ping\n\nevent: message\ndata: {"a":\ndata: 1}\n\nretry: 5\nid: 2\ndata: x\n\n'
    )
    assert events[3].render(b"other\n") == b"retry: 5\nid: 2\ndata: other\n\n"


def test_an_event_leaves_as_soon_as_it_is_complete() -> None:
    events = Events()
    assert events.feed(b"data: 1\r\n") == []
    assert [event.data for event in events.feed(b"\r")] == [b"1"]
    assert events.feed(b"\n") == []
    assert [event.data for event in events.feed(b"data: 2\n\n")] == [b"2"]


def test_an_event_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_BYTES", 1000)
    for piece in (b"data: " + b"x" * 90, b"data: x\n" * 10):
        with pytest.raises(ValueError, match="longer than"):
            read([piece] * 100)
    events = Events()
    for _ in range(100):
        assert len(events.feed(b"data: " + b"x" * 90 + b"\n\n")) == 1
