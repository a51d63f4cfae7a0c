"""Server-sent events, one at a time as they arrive. Nothing waits for more than the end of its own event."""

from __future__ import annotations

from aegis_mcp.proxy.frames import MAX_BYTES

__all__ = ["Event", "Events"]


class Event:
    """One event.

    Attributes:
        data: What its ``data`` lines hold; None if it has none.
        kind: Its ``event`` field; empty for a message.
        resumable: Whether it has an id, from which the client can resume the stream.
    """

    __slots__ = ("_others", "data", "kind", "resumable")

    def __init__(self, lines: list[bytes]) -> None:
        data: list[bytes] = []
        self._others: list[bytes] = []
        self.kind = b""
        self.resumable = False
        for line in lines:
            name, _, value = line.partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
                continue
            self._others.append(line)
            if name == b"event":
                self.kind = value.removeprefix(b" ")
            elif name == b"id":
                self.resumable = True
        self.data = b"\n".join(data) if data else None

    def render(self, data: bytes | None = None) -> bytes:
        """The event as it goes out, with other data if there is any: written anew, so that it reads as it was read."""
        data = self.data if data is None else data.rstrip(b"\n")
        lines = self._others if data is None else [*self._others, *(b"data: " + line for line in data.split(b"\n"))]
        return b"\n".join(lines) + b"\n\n"


class Events:
    """Cuts a stream into events."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._pieces: list[bytes] = []
        self._size = 0
        self._after_return = False
        self._begun = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Take some bytes; return the events that are complete now.

        Raises:
            ValueError: An event is longer than a message may be.
        """
        chunk = self._with_plain_ends(chunk)
        self._size += len(chunk)
        self._pieces.append(chunk)
        if b"\n" not in chunk:
            if self._size > MAX_BYTES:
                raise ValueError(f"an event is longer than {MAX_BYTES // 2**20} MiB")
            return []
        *lines, rest = b"".join(self._pieces).split(b"\n")
        self._pieces = [rest] if rest else []
        if not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
        events: list[Event] = []
        for line in lines:
            if line and not (line.startswith(b":") and not self._lines):
                self._lines.append(line)
                continue
            if line:  # a comment between events keeps the connection alive, and goes at once
                events.append(Event([line]))
            elif self._lines:
                events.append(Event(self._lines))
                self._lines = []
                self._size = len(rest)
        if not self._lines:
            self._size = len(rest)
        elif self._size > MAX_BYTES:
            raise ValueError(f"an event is longer than {MAX_BYTES // 2**20} MiB")
        return events

    def _with_plain_ends(self, chunk: bytes) -> bytes:
        """The bytes with every end of a line, of which there are three kinds, as a newline."""
        if self._after_return and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_return = False
        if b"\r" in chunk:
            self._after_return = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk
