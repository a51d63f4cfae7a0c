"""YAML text to plain data, strictly and safely; and where in the text each piece of data stands.

Works on the parser's events: no recursion (the C composer crashes on deep nesting), no tags, no anchors, no duplicate
keys, and none of YAML 1.1's surprises: a plain ``no``, ``18:00`` or ``2026-01-01`` is an error that says to quote it.
"""

from __future__ import annotations

import functools
import math
import re
from typing import Any, Final, NamedTuple

import yaml

from aegis_core.errors import Problem
from aegis_core.text import visible

__all__ = ["MAX_BYTES", "MAX_NESTING", "UNREADABLE", "Parsed", "Path", "Place", "Position", "parse_yaml"]

MAX_BYTES = 16 * 1024 * 1024
"""Largest policy file that is read."""
MAX_NESTING = 50
"""Deepest nesting of a policy file."""
MAX_PROBLEMS = 1000
"""Problems after which the rest of the text is not looked at."""

Position = tuple[int, int]
"""1-based line and column."""
Path = tuple[str | int, ...]
"""Keys and list indexes that lead to a piece of data."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LINE = re.compile(r"\r\n?|\n")
# What YAML does not allow in a text, besides what it takes for line breaks and no editor shows as one, and what makes a
# line read differently from what it says.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)

_LONG = 100  # Characters beyond which a plain scalar is no number.
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?\Z")
_CONSTANTS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# What some YAML reads as something other than the text it shows, and other YAML or a person does not.
_SURPRISES = (
    (r"(?i:y|n|yes|no|on|off)\Z", "YAML reads it as true or false"),
    (r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?\Z", "YAML reads it as a base-60 number"),
    (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?\Z", "YAML reads it as a date"),
    (r"[-+]?(0[0-9_]+|0b[01_]+|0x[0-9a-fA-F_]+|0o[0-7_]+)\Z", "YAML reads it as a number of another base"),
    (r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?\Z", "some YAML reads it as a number"),
    (r"[-+]?\.[0-9_]+([eE][-+]?[0-9]+)?\Z", "some YAML reads it as a number"),
    (r"[-+]?\.(?i:inf|nan)\Z", "it is not a number that can be compared"),
    (r"(=|<<)\Z", "YAML gives it a meaning of its own"),
)
# Parameters are called so (x and y, n), and a key is never a truth value: as a key it is what it says.
_LETTERS = frozenset("yYnN")
_SUSPECT = re.compile(r"[-+.0-9yYnNoO=<]")


@functools.cache  # compiled when it is needed: few policies hold such a text
def _surprises() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), why) for pattern, why in _SURPRISES)


class _Unreadable:
    """Stands where a value was that a problem has been reported for."""

    def __repr__(self) -> str:
        return "(unreadable)"


UNREADABLE: Final = _Unreadable()
"""The value of what could not be read; the problem with it is already among `Parsed.problems`."""


class Place(NamedTuple):
    """Where a piece of data stands.

    Attributes:
        key: Where its key stands, or the value itself where it has none.
        value: Where the value stands.
    """

    key: Position
    value: Position


class Parsed(NamedTuple):
    """What a text says.

    Attributes:
        data: The data; None where it could not be read to its end.
        problems: Everything wrong with it as YAML.
        whole: Whether the text was read to its end.
    """

    data: Any
    problems: list[Problem]
    whole: bool


def parse_yaml(text: str, source: str, *, places: dict[Path, Place] | None = None) -> Parsed:
    """Parse a policy's text.

    Args:
        text: The text.
        source: Its name, for problems.
        places: If given, filled with where every piece of data stands, by path (slower; wanted only for errors).
    """
    if len(text) > MAX_BYTES:
        problem = Problem(f"the text is larger than {MAX_BYTES // 2**20} MiB; split it", source, 1, 1)
        return Parsed(None, [problem], whole=False)
    text = text.removeprefix("\ufeff")
    builder = _Builder(source, places)
    for found in _FORBIDDEN.finditer(text):
        builder.add(_position(text, found.start()), f"the character U+{ord(found[0]):04X} is not allowed; remove it")
        if len(builder.problems) == MAX_PROBLEMS:
            break
    if not builder.problems:
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                builder.feed(event)
        except _Stop:
            return Parsed(None, builder.problems, whole=False)
        except yaml.MarkedYAMLError as error:
            builder.add(*_syntax_problem(error, text))
        except yaml.YAMLError as error:  # without a mark: none is known for texts of allowed characters
            builder.add((1, 1), f"not valid YAML: {error}")
        else:
            return Parsed(builder.root, builder.problems, whole=True)
    return Parsed(None, builder.problems, whole=False)


def _position(text: str, index: int) -> Position:
    """Line and column of a character."""
    line, start = 1, 0
    for found in _LINE.finditer(text, 0, index):
        line, start = line + 1, found.end()
    return line, index - start + 1


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> tuple[Position, str]:
    """A syntax error in words that help."""
    mark = error.problem_mark or error.context_mark
    lines = _LINE.split(text)
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    if line > len(lines):  # the end of a text whose last line does not end
        line, column = len(lines), len(lines[-1]) + 1
    problem, context = error.problem or "", error.context or ""
    if lines[line - 1][column - 1 :].startswith("\t"):
        message = "a tab cannot indent here; use spaces"
    elif "scanning an alias" in context:
        message = "a value that begins with '*' must be in quotes"
    elif "mapping values are not allowed" in problem:
        message = "a ':' is not allowed here; put a value with ': ' in it in quotes, or check the indentation"
    else:
        message = f"not valid YAML: {' '.join(part for part in (context, problem) if part)}"
    return (line, column), message


class _Stop(Exception):  # noqa: N818 - control flow inside this file
    """The rest of the text is not looked at."""


class _Open:
    """A mapping or sequence whose end has not been read yet."""

    __slots__ = ("data", "key", "key_position", "path")

    def __init__(self, data: dict[Any, Any] | list[Any], path: Path) -> None:
        self.data = data
        self.path = path
        self.key: Any = None
        self.key_position: Position | None = None


class _Builder:
    """Builds plain data from events, collecting every problem instead of stopping at the first."""

    def __init__(self, source: str, places: dict[Path, Place] | None) -> None:
        self.source = source
        self.places = places
        self.problems: list[Problem] = []
        self.stack: list[_Open] = []
        self.root: Any = None
        self.documents = 0

    def add(self, position: Position, message: str) -> None:
        self.problems.append(Problem(visible(message), self.source, *position))

    def problem(self, mark: Any, message: str) -> None:
        self.add((mark.line + 1, mark.column + 1), message)
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Stop

    def feed(self, event: Any) -> None:
        kind = event.__class__
        if kind is yaml.ScalarEvent:
            if event.anchor is not None or event.tag is not None:
                self.refuse_decoration(event)
            top = self.stack[-1] if self.stack else None
            if top is not None and top.key is None and top.data.__class__ is dict:
                self.open_key(top, event)
            else:
                self.place(self.scalar(event), event.start_mark)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            if event.anchor is not None or event.tag is not None:
                self.refuse_decoration(event)
            path = self.path_here() if self.places is not None else ()
            data: dict[Any, Any] | list[Any] = {} if kind is yaml.MappingStartEvent else []
            self.place(data, event.start_mark)
            self.stack.append(_Open(data, path))
            if len(self.stack) > MAX_NESTING:
                self.problem(event.start_mark, f"nested more than {MAX_NESTING} deep")
                raise _Stop
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self.stack.pop()
        elif kind is yaml.AliasEvent:
            name = event.anchor
            hint = f'; if it is a pattern, put it in quotes: "*{name}"'
            self.problem(event.start_mark, f"aliases (*{name}) are not allowed in a policy{hint}")
            self.place(UNREADABLE, event.start_mark)
        elif kind is yaml.DocumentStartEvent:
            self.documents += 1
            if self.documents > 1:
                self.problem(event.start_mark, "a policy file holds one YAML document, and this is a second one")
                raise _Stop

    def refuse_decoration(self, event: Any) -> None:
        what = "anchors (&)" if event.anchor is not None else "tags (!)"
        self.problem(event.start_mark, f"{what} are not allowed in a policy; write the value out, or put it in quotes")

    def open_key(self, top: _Open, event: Any) -> None:
        """Take a scalar as the key of the value that comes next."""
        key, mark = event.value, event.start_mark
        if event.implicit[0]:
            if key == "<<":
                self.problem(mark, "merge keys (<<) are not allowed in a policy; write the keys out")
                key = UNREADABLE
            elif key not in _LETTERS:
                value = self.scalar(event)
                if value.__class__ is not str and value is not UNREADABLE:
                    self.problem(
                        mark, f'a key must be text; write "{key}" in quotes' if key else "a key is missing here"
                    )
                    key = UNREADABLE
        if key in top.data:
            self.problem(mark, f"duplicate key {key!r}: this mapping has it already; remove one of the two")
        top.key = key
        top.key_position = (mark.line + 1, mark.column + 1)

    def path_here(self) -> Path:
        """Path of the value about to be placed."""
        if not self.stack:
            return ()
        top = self.stack[-1]
        return (*top.path, len(top.data) if top.data.__class__ is list else top.key)

    def place(self, value: Any, mark: Any) -> None:
        """Put a finished value, or a collection just opened, where it belongs."""
        if not self.stack:
            self.root = value
            if self.places is not None:
                self.places[()] = Place((mark.line + 1, mark.column + 1), (mark.line + 1, mark.column + 1))
            return
        top = self.stack[-1]
        if top.data.__class__ is dict and top.key is None:
            self.problem(mark, "a key must be text, not a list or a mapping") if value is not UNREADABLE else None
            top.key = UNREADABLE
            return
        if self.places is not None:
            here = (mark.line + 1, mark.column + 1)
            self.places.setdefault(self.path_here(), Place(top.key_position or here, here))
        if isinstance(top.data, list):
            top.data.append(value)
        else:
            if top.key is not UNREADABLE:
                top.data[top.key] = value
            top.key = None

    def scalar(self, event: Any) -> Any:
        """The value of a scalar: text if it is quoted, else what it looks like to everybody."""
        text: str = event.value
        if not event.implicit[0]:  # quoted or a block scalar
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if not _SUSPECT.match(text):
            return text
        if len(text) > _LONG:
            number = _INT.match(text) or _FLOAT.match(text)
            return self.surprise(event, "it is too long for a number") if number else text
        if _INT.match(text):
            return int(text)
        if _FLOAT.match(text):
            value = float(text)
            return value if math.isfinite(value) else self.surprise(event, "it is too large for a number")
        for pattern, why in _surprises():
            if pattern.match(text):
                return self.surprise(event, why)
        return text

    def surprise(self, event: Any, why: str) -> object:
        text = event.value if len(event.value) <= 40 else event.value[:40] + "…"
        self.problem(event.start_mark, f'unquoted {text} is ambiguous ({why}); write "{text}" in quotes')
        return UNREADABLE
