"""YAML text to plain data, strictly and safely; and where in the text each piece of data stands.

Works on the parser's events: no recursion (the C composer crashes on deep nesting), no tags, no anchors, no duplicate keys,
and none of YAML 1.1's surprises: a plain ``no``, ``18:00`` or ``2026-01-01`` is an error that says to quote it.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from aegis_core.errors import Problem

__all__ = ["MAX_BYTES", "MAX_NESTING", "Position", "parse_yaml"]

MAX_BYTES = 16 * 1024 * 1024
"""Largest policy file that is read."""
MAX_NESTING = 50
"""Deepest nesting of a policy file."""

Position = tuple[int, int]
"""1-based line and column."""
Path = tuple[str | int, ...]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+)\Z")
_CONSTANTS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# What YAML 1.1 reads as something other than the text it shows, and YAML 1.2 or a person does not.
_SURPRISES = (
    (re.compile(r"(y|n|yes|no|on|off)\Z", re.IGNORECASE), "YAML reads it as a boolean"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?\Z"), "YAML reads it as a base-60 number"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?\Z"), "YAML reads it as a date"),
    (re.compile(r"[-+]?(0[0-7_]+|0b[01_]+|0x[0-9a-fA-F_]+|0o[0-7_]+|[0-9][0-9_]*_[0-9_]*)\Z"), "YAML reads it as a number"),
    (re.compile(r"[-+]?\.(inf|nan)\Z", re.IGNORECASE), "it is not a number that can be compared"),
)
_SUSPECT = re.compile(r"[-+.0-9yYnNoO]")


class _Open:
    """A mapping or sequence whose end has not been read yet."""

    __slots__ = ("data", "key", "key_mark", "path")

    def __init__(self, data: dict[str, Any] | list[Any], path: Path) -> None:
        self.data = data
        self.path = path
        self.key: str | None = None
        self.key_mark: Any = None


class _Builder:
    """Builds plain data from events, collecting every problem instead of stopping at the first."""

    def __init__(self, source: str, positions: dict[Path, Position] | None) -> None:
        self.source = source
        self.positions = positions
        self.problems: list[Problem] = []
        self.stack: list[_Open] = []
        self.root: Any = None
        self.documents = 0

    def problem(self, mark: Any, message: str) -> None:
        self.problems.append(Problem(message, self.source, mark.line + 1, mark.column + 1))

    def path_here(self) -> Path:
        """Path of the value about to be placed. Only needed where positions are collected."""
        if not self.stack:
            return ()
        top = self.stack[-1]
        return (*top.path, len(top.data) if isinstance(top.data, list) else (top.key or ""))

    def place(self, value: Any, mark: Any) -> None:
        """Put a finished value, or a collection just opened, where it belongs."""
        if self.positions is not None:
            self.positions.setdefault(self.path_here(), (mark.line + 1, mark.column + 1))
        if not self.stack:
            self.root = value
            return
        top = self.stack[-1]
        if isinstance(top.data, list):
            top.data.append(value)
        elif top.key is None:
            self.problem(mark, "a key must be plain text, not a list or a mapping")
            top.key = ""
        else:
            top.data[top.key] = value
            top.key = None

    def key(self, event: Any) -> bool:
        """Take a scalar as a mapping's key if one is expected there."""
        top = self.stack[-1] if self.stack else None
        if top is None or top.key is not None or isinstance(top.data, list):
            return False
        name: str = event.value
        mark = event.start_mark
        if event.implicit[0] and name == "<<":
            self.problem(mark, "merge keys ('<<') are not allowed in a policy; write the keys out")
        elif name in top.data:
            self.problem(mark, f"duplicate key {name!r}: it is already given in this mapping; remove one of the two")
        top.key = name
        if self.positions is not None:
            self.positions[(*top.path, name)] = (mark.line + 1, mark.column + 1)
        return True

    def scalar(self, event: Any) -> Any:
        text: str = event.value
        if not event.implicit[0]:  # quoted or a block scalar
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _SUSPECT.match(text):
            if _INT.match(text):
                return int(text) if len(text) < 400 else self.surprise(event, "the number is too long")
            if _FLOAT.match(text):
                return float(text)
            for pattern, why in _SURPRISES:
                if pattern.match(text):
                    return self.surprise(event, why)
        return text

    def surprise(self, event: Any, why: str) -> str:
        text: str = event.value
        self.problem(event.start_mark, f'unquoted {text[:40]} is ambiguous ({why}); write "{text[:40]}" in quotes')
        return text

    def feed(self, event: Any) -> None:
        kind = event.__class__
        if kind is yaml.ScalarEvent:
            if event.anchor is not None or (event.tag is not None and event.tag != "!"):
                self.problem(event.start_mark, "anchors and tags ('&', '!') are not allowed in a policy; write the value out")
            if not self.key(event):
                self.place(self.scalar(event), event.start_mark)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            if event.anchor is not None or event.tag is not None:
                self.problem(event.start_mark, "anchors and tags ('&', '!') are not allowed in a policy; write the value out")
            data: dict[str, Any] | list[Any] = {} if kind is yaml.MappingStartEvent else []
            path = self.path_here() if self.positions is not None else ()
            self.place(data, event.start_mark)
            self.stack.append(_Open(data, path))
            if len(self.stack) > MAX_NESTING:
                raise _TooDeep(event.start_mark)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self.stack.pop()
        elif kind is yaml.AliasEvent:
            self.problem(event.start_mark, f"aliases ('*{event.anchor}') are not allowed in a policy; write the value out")
            if self.stack and self.stack[-1].key is None and isinstance(self.stack[-1].data, dict):
                self.stack[-1].key = ""
            else:
                self.place(None, event.start_mark)
        elif kind is yaml.DocumentStartEvent:
            self.documents += 1
            if self.documents == 2:
                self.problem(event.start_mark, "a policy file holds one YAML document; this is a second one")


class _TooDeep(Exception):  # noqa: N818 - control flow inside this file
    def __init__(self, mark: Any) -> None:
        self.mark = mark


def parse_yaml(
    text: str, source: str, *, positions: dict[Path, Position] | None = None
) -> tuple[Any, list[Problem]]:
    """Parse a policy's text.

    Args:
        text: The text.
        source: Its name, for problems.
        positions: If given, filled with the line and column of every value and key by path (slower; wanted only for errors).

    Returns:
        The data, and every problem found on the way; data after a syntax error is incomplete.
    """
    builder = _Builder(source, positions)
    if len(text) > MAX_BYTES:
        return None, [Problem(f"the file is larger than {MAX_BYTES // 2**20} MiB; split it", source, 1, 1)]
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.feed(event)
    except _TooDeep as deep:
        builder.problem(deep.mark, f"nested more than {MAX_NESTING} deep")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        builder.problems.append(Problem(f"not valid YAML: {what}", source, line, column))
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # ReaderError (control characters, invalid bytes) carries a position but no mark.
        line = text.count("\n", 0, getattr(error, "position", 0) or 0) + 1
        reason = getattr(error, "reason", None) or str(error).splitlines()[0]
        builder.problems.append(Problem(f"not valid YAML: {reason}", source, line, 1))
    return builder.root, builder.problems
