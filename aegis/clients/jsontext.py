"""JSON as text: what it says, and where every part of it stands.

Reads JSON and what editors allow beside it (comments, a comma after the last entry). What two programs could read
differently, duplicate keys above all, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder, dumps
from typing import TYPE_CHECKING, Any

from aegis_core.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Edit", "JsonTextError", "Member", "Node", "after_gap", "apply", "parse", "quoted"]

MAX_DEPTH = 200
_SKIP = re.compile(r"(?:[ \t\r\n]+|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_SCALAR = re.compile(r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)(?![\w.+-])")
_DECODER = JSONDecoder()
_WORDS = {"true": True, "false": False, "null": None}


class JsonTextError(AegisError):
    """A text is not JSON that every program would read alike.

    Attributes:
        line: Where, counted from 1.
        column: In that line, counted from 1, in characters.
    """

    def __init__(self, problem: str, text: str, at: int) -> None:
        before = text[:at]
        self.line = before.count("\n") + 1
        self.column = at - before.rfind("\n")
        super().__init__(f"{self.line}:{self.column}: {problem}")


@dataclass(frozen=True, slots=True)
class Member:
    """A key of an object, where it begins, and its value."""

    key: str
    start: int
    value: Node


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands in the text: from ``start`` to before ``end``.

    Attributes:
        scalar: A string, number, boolean or None; meaningless for objects and arrays.
        members: An object's; None for anything else.
        items: An array's; None for anything else.
    """

    start: int
    end: int
    scalar: Any = None
    members: tuple[Member, ...] | None = None
    items: tuple[Node, ...] | None = None

    def get(self, *keys: str) -> Node | None:
        """The value that a path of keys leads to."""
        node: Node | None = self
        for key in keys:
            found = [member.value for member in node.members or () if member.key == key] if node else []
            node = found[0] if found else None
        return node

    @property
    def text(self) -> str | None:
        """The string it is; None if it is no string."""
        return self.scalar if isinstance(self.scalar, str) else None


@dataclass(frozen=True, slots=True)
class Edit:
    """Put ``text`` where ``start`` to ``end`` was."""

    start: int
    end: int
    text: str


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text with some edits that do not overlap."""
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def after_gap(text: str, at: int) -> int:
    """Where the blanks and comments that begin at a place end."""
    found = _SKIP.match(text, at)
    return found.end() if found else at


def quoted(text: str) -> str:
    """A string as JSON writes it."""
    return dumps(text, ensure_ascii=not text.isprintable())


def parse(text: str) -> Node:
    """What a text says.

    Raises:
        JsonTextError: It is broken, has a key twice, or is nested deeper than 200 levels.
    """
    reader = _Reader(text)
    node, at = reader.value(reader.skip(0), 0)
    at = reader.skip(at)
    if at != len(text):
        raise reader.error("there is something after the end of the JSON", at)
    return node


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text

    def error(self, problem: str, at: int) -> JsonTextError:
        return JsonTextError(problem, self.text, at)

    def skip(self, at: int) -> int:
        """Past blanks and comments."""
        at = after_gap(self.text, at)
        if self.text.startswith("/*", at):
            raise self.error("a comment that does not end", at)
        return at

    def value(self, at: int, depth: int) -> tuple[Node, int]:
        if depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH} levels", at)
        first = self.text[at : at + 1]
        if first == "{":
            return self._object(at, depth)
        if first == "[":
            return self._array(at, depth)
        if first == '"':
            string, end = self._string(at)
            return Node(at, end, string), end
        found = _SCALAR.match(self.text, at)
        if found is None:
            raise self.error("expected a value" if first else "the text ends too early", at)
        word = found[0]
        return Node(at, found.end(), _WORDS[word] if word in _WORDS else float(word)), found.end()

    def _string(self, at: int) -> tuple[str, int]:
        try:
            string, end = _DECODER.raw_decode(self.text, at)
        except JSONDecodeError as problem:
            raise self.error(problem.msg[:1].lower() + problem.msg[1:], problem.pos) from None
        return string, end

    def _object(self, start: int, depth: int) -> tuple[Node, int]:
        members: list[Member] = []
        seen: set[str] = set()
        at = self.skip(start + 1)
        while self.text[at : at + 1] != "}":
            if self.text[at : at + 1] != '"':
                raise self.error(
                    "expected a key in double quotes" if at < len(self.text) else "an object ends early", at
                )
            key, end = self._string(at)
            if key in seen:
                raise self.error(f"the key {key[:80]!r} is there twice; two programs could read it differently", at)
            seen.add(key)
            colon = self.skip(end)
            if self.text[colon : colon + 1] != ":":
                raise self.error(f"expected a colon after the key {key[:80]!r}", colon)
            value, end = self.value(self.skip(colon + 1), depth + 1)
            members.append(Member(key, at, value))
            at = self._next(end, "}")
        return Node(start, at + 1, members=tuple(members)), at + 1

    def _array(self, start: int, depth: int) -> tuple[Node, int]:
        items: list[Node] = []
        at = self.skip(start + 1)
        while self.text[at : at + 1] != "]":
            item, end = self.value(at, depth + 1)
            items.append(item)
            at = self._next(end, "]")
        return Node(start, at + 1, items=tuple(items)), at + 1

    def _next(self, at: int, closing: str) -> int:
        """Past the comma to what follows it, or to the closing bracket."""
        at = self.skip(at)
        if self.text[at : at + 1] == ",":
            return self.skip(at + 1)
        if self.text[at : at + 1] != closing:
            raise self.error(f"expected a comma or {closing!r}" if at < len(self.text) else "the text ends early", at)
        return at
