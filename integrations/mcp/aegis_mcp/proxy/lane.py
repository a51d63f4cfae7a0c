"""Keeps messages in order although some of them wait.

Every message of the client takes a place in line. It leaves when everything before it has left, except that a call
which waits for a person steps out of line, so that the calls behind it do not wait with it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lane", "Place"]


class Place:
    """One message's place in line."""

    __slots__ = ("_data", "_lane", "_left", "_stepped_out")

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._data: bytes | None = None
        self._left = False
        self._stepped_out = False

    @property
    def settled(self) -> bool:
        """Whether nobody behind has to wait for this place any more."""
        return self._left or self._stepped_out

    def send(self, data: bytes) -> None:
        """The message may go: at once if it stepped out of line, else in its turn."""
        if self._stepped_out:
            self._lane.emit(data)
            return
        self._data = data
        self._left = True
        self._lane.advance()

    def drop(self) -> None:
        """The message does not go."""
        self._left = True
        self._lane.advance()

    def step_out(self) -> None:
        """Let the messages behind overtake."""
        if not self._left:
            self._stepped_out = True
            self._lane.advance()

    def take(self) -> bytes | None:
        """What is to be sent when the place is reached, if anything."""
        data, self._data = self._data, None
        return data


class Lane:
    """The line in front of one destination.

    Args:
        emit: Sends one message; called in order.
    """

    def __init__(self, emit: Callable[[bytes], None]) -> None:
        self.emit = emit
        self._places: deque[Place] = deque()

    @property
    def idle(self) -> bool:
        """Whether nobody is in line."""
        return not self._places

    def place(self) -> Place:
        """A place at the end of the line."""
        place = Place(self)
        self._places.append(place)
        return place

    def advance(self) -> None:
        """Send what can go now."""
        while self._places and self._places[0].settled:
            data = self._places.popleft().take()
            if data is not None:
                self.emit(data)
