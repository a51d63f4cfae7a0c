"""A call's arguments for people's eyes: one row a value, nothing invisible, long ones folded up."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Leaf", "brief", "leaves", "marked", "pointer"]

LONG = 600
"""Characters of a value that are shown at once."""
_LINES = 12
_MASKED = re.compile(r"\[redacted[^\]]*\]")
_CUT = re.compile(r"… \[cut: [^\]]*\]\Z")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value among a call's arguments.

    Attributes:
        at: Where it is, as a JSON Pointer.
        names: The keys and positions that lead to it.
        value: The value.
        kind: ``text``, ``number``, ``true or false``, ``null``, ``empty list``, ``empty mapping``.
        masked: Whether a secret in it is masked.
        cut: Whether it was too long to be kept.
    """

    at: str
    names: tuple[str, ...]
    value: Any
    kind: str
    masked: bool
    cut: bool

    @property
    def is_whole(self) -> bool:
        """Whether all of it is known here: only then can it be changed, or a rule be made about it."""
        return not (self.masked or self.cut)

    @property
    def is_plain_text(self) -> bool:
        """Whether it is text that an input field shows as it is."""
        return isinstance(self.value, str) and all(visible(line) == line for line in self.value.split("\n"))

    @property
    def editable(self) -> str:
        """What an input field starts with: the text itself, or JSON in which nothing is invisible."""
        return self.value if self.is_plain_text else json.dumps(self.value)

    @property
    def shown(self) -> Markup:
        """The value with every invisible character made visible."""
        return marked(self.value) if isinstance(self.value, str) else escape(json.dumps(self.value))

    @property
    def is_long(self) -> bool:
        """Whether it is folded up at first."""
        return isinstance(self.value, str) and (len(self.value) > LONG or self.value.count("\n") >= _LINES)

    @property
    def beginning(self) -> Markup:
        """What is seen of a value that is folded up."""
        return marked("\n".join(str(self.value)[:LONG].split("\n")[:_LINES]))


def leaves(params: Mapping[str, Any]) -> Iterator[Leaf]:
    """Every value among some arguments, in order."""
    for name, value in params.items():
        yield from _walk((str(name),), value)


def _walk(names: tuple[str, ...], value: Any) -> Iterator[Leaf]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _walk((*names, str(name)), inner)
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _walk((*names, str(number)), inner)
    else:
        text = value if isinstance(value, str) else ""
        yield Leaf(pointer(names), names, value, _kind(value), bool(_MASKED.search(text)), bool(_CUT.search(text)))


def _kind(value: Any) -> str:
    match value:
        case str():
            return "text"
        case None:
            return "null"
        case bool():
            return "true or false"
        case dict():
            return "empty mapping"
        case list():
            return "empty list"
        case _:
            return "number"


def pointer(names: tuple[str, ...]) -> str:
    """The JSON Pointer (RFC 6901) that some names make."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def marked(text: object) -> Markup:
    """Text as HTML in which every control, direction-changing or invisible character is an escape that stands out.

    Line breaks are shown as escapes and break the line, too.
    """
    text = str(text)
    if visible(text) == text:
        return escape(text)
    pieces: list[str] = []
    for character in text:
        shown = visible(character)
        if shown == character:
            pieces.append(escape(character))
        else:
            kind = "esc nl" if character == "\n" else "esc"
            pieces.append(f'<mark class="{kind}" title="{escape(_name(character))}">{escape(shown)}</mark>')
            if character == "\n":
                pieces.append("\n")
    return Markup("".join(pieces))  # noqa: S704 - every piece was escaped just above


def _name(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'control character')}"


def brief(params: Mapping[str, Any], limit: int = 160) -> str:
    """Arguments on one line, for lists."""
    parts: list[str] = []
    left = limit
    for name, value in params.items():
        text = value[:limit] if isinstance(value, str) else json.dumps(value, ensure_ascii=False)[:limit]
        parts.append(f"{visible(str(name))}={visible(text)}")
        left -= len(parts[-1]) + 2
        if left <= 0:
            break
    joined = "  ".join(parts)
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"
