"""Adding an entry to an object or an array as text, at its end, and taking one out so that nothing is left of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aegis.clients.jsontext import Edit, after_gap

if TYPE_CHECKING:
    from aegis.clients.jsontext import Node

__all__ = ["appended", "taken_out"]

_BLANKS = re.compile(r"[ \t\r\n]*\Z")


def appended(text: str, container: Node, entry: str) -> Edit:
    """Put an entry behind the last one, on a line of its own if that one is.

    Args:
        text: The whole text.
        container: An object or an array.
        entry: A key with its value, or a value.
    """
    spans = _spans(container)
    if not spans:
        return Edit(container.start + 1, container.start + 1, entry)
    start, end = spans[-1]
    blanks = _BLANKS.search(text, container.start, start)
    return Edit(end, end, f",{(blanks[0] if blanks else '') or ' '}{entry}")


def taken_out(text: str, container: Node, number: int) -> Edit:
    """Take an entry out, by its number, with the comma and the blanks that came with it."""
    spans = _spans(container)
    start, end = spans[number]
    if number:
        return Edit(spans[number - 1][1], end, "")
    if len(spans) > 1:
        return Edit(start, spans[1][0], "")
    behind = after_gap(text, end)
    return Edit(container.start + 1, behind + 1 if text[behind : behind + 1] == "," else end, "")


def _spans(container: Node) -> list[tuple[int, int]]:
    if container.members is not None:
        return [(member.start, member.value.end) for member in container.members]
    return [(item.start, item.end) for item in container.items or ()]
